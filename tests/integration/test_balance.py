"""Workers share their work, and no request holds a loop for long."""
import threading

import pytest

from harness import proxy

pytestmark = pytest.mark.release

YIELDS = "weir_loop_yields_total"


def test_a_large_answer_is_sent_in_parts(lab):
    text = "x" * 4000
    weir = lab.weir({"routes": [{"match": {"path": "/"}, "respond": {"json": [text] * 1000}}]})
    before = weir.metric(YIELDS)
    answer = weir.get("/")
    assert answer.json() == [text] * 1000
    # the socket takes much more than a share of 256 KiB before it is full
    assert weir.metric(YIELDS) - before >= 2


def test_pipelined_requests_let_others_in(lab):
    weir = lab.weir("routes: [{match: {path: /}, respond: {body: hello}}]")
    before = weir.metric(YIELDS)
    with weir.connect() as conn:
        conn.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 600)
        for _ in range(600):
            assert conn.response("GET").status == 200
    assert weir.metric(YIELDS) - before >= 2


def test_many_small_chunks_of_a_request_let_others_in(lab):
    origin = lab.origin()
    weir = lab.weir(proxy(origin))
    before = weir.metric(YIELDS)
    with weir.connect() as conn:
        conn.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" +
                  b"1\r\nx\r\n" * 4000 + b"0\r\n\r\n")
        answer = conn.response("POST")
    assert answer.status == 200
    assert origin.requests[0].body == b"x" * 4000
    assert weir.metric(YIELDS) - before >= 4


def test_many_small_chunks_of_a_response_let_others_in(lab):
    def answer(request, peer):
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 8000 + b"0\r\n\r\n")
    weir = lab.weir(proxy(lab.origin(answer)))
    before = weir.metric(YIELDS)
    assert weir.get("/").body == b"x" * 8000
    assert weir.metric(YIELDS) - before >= 2


def test_how_long_loops_are_held_is_told(lab):
    weir = lab.weir("workers: 2\nroutes: [{match: {path: /}, respond: {body: hello}}]")
    for _ in range(20):
        assert weir.get("/").status == 200
    weir.wait_metric(20, "weir_worker_request_duration_seconds_count")
    metrics = weir.metrics()
    for worker in ("0", "1"):
        assert metrics.find("weir_loop_hold_seconds_bucket", worker=worker, le="0.001")
        assert metrics.find("weir_worker_request_duration_seconds_bucket", worker=worker, le="+Inf")
    assert metrics.sum("weir_loop_hold_seconds_count") >= 20
    assert metrics.sum("weir_worker_request_duration_seconds_sum") > 0
