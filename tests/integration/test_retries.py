"""What is tried again, where, how often, and what never is (U01 to U03)."""
import socket
import struct
import threading
import time

import pytest

from harness import free_port, proxy
from origin import echo, reply
from test_upstream_faults import background, problem
from wire import wait_until


def reset(_request, peer):
    peer.reset()


def hang(_request, peer):
    peer.hang()


def garbage(_request, peer):
    peer.send(b"this is no HTTP\r\n\r\n")
    peer.close()


def status(code, headers=()):
    return lambda request, peer: reply(code, body=b"no", headers=headers)


def leave(conn):
    """Both ways at once, as a client that is killed does: a FIN alone would still want its answer (U04)."""
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def upstream(*origins, **options):
    """One worker, so that turns are exact; no breaker, so that each attempt goes out."""
    return {**proxy(*origins, **{"breaker": False, "timeout": "200ms", **options}), "workers": 1}


FAULTS = {"reset": reset, "timeout": hang, "502": status(502), "503": status(503), "504": status(504)}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
@pytest.mark.parametrize("fault", FAULTS)
def test_methods_that_may_be_repeated_go_elsewhere(lab, fault, method):
    bad, good = lab.origin(FAULTS[fault]), lab.origin()
    weir = lab.weir(upstream(bad, good))
    for _ in range(2):
        assert weir.request(method, "/").status == 200
    assert (len(bad.requests), len(good.requests)) == (2, 2)  # the second attempt takes a turn, too
    assert weir.metric("weir_upstream_retries_total", upstream="origin") == 2


@pytest.mark.parametrize("method", ["POST", "PATCH", "STRANGE"])
@pytest.mark.parametrize("fault", FAULTS)
def test_U01_others_are_delivered_once(lab, fault, method):
    """The origin may have done it: only the client can know whether it is to be done again."""
    bad, good = lab.origin(FAULTS[fault]), lab.origin()
    weir = lab.weir(upstream(bad, good, retry={"attempts": 5}))
    answers = [weir.request(method, "/", body=b"once").status for _ in range(2)]
    assert sorted(answers)[0] == 200 and sorted(answers)[1] >= 502
    assert (len(bad.requests), len(good.requests)) == (1, 1)


def test_a_refused_connection_is_no_delivery(lab):
    good = lab.origin()
    weir = lab.weir(upstream(f"http://127.0.0.1:{free_port()}", good))
    for n in range(4):
        assert weir.request("POST", f"/{n}", body=b"once").status == 200
    assert [r.target for r in good.requests] == ["/0", "/1", "/2", "/3"]


def test_the_last_answer_goes_to_the_client(lab):
    origins = [lab.origin(status(503, [("X-From", str(n))])) for n in range(2)]
    weir = lab.weir(upstream(*origins))
    response = weir.get()
    assert response.status == 503 and response.body == b"no"
    assert [len(o.requests) for o in origins] == [1, 1]
    assert response.header("x-from") == "1"


@pytest.mark.parametrize("on, fault, again", [
    (["reset"], "reset", True), (["reset"], "503", False), (["reset"], "timeout", False), (["503"], "503", True),
    ([503, 429], "503", True), (["connect_failure"], "reset", False), ([], "reset", False)])
def test_on(lab, on, fault, again):
    bad, good = lab.origin(FAULTS[fault]), lab.origin()
    weir = lab.weir(upstream(bad, good, timeout="200ms" if fault == "timeout" else "20s", retry={"on": on}))
    assert (weir.get().status == 200) == again


def test_bad_responses_only_where_asked(lab):
    bad, good = lab.origin(garbage), lab.origin()
    weir = lab.weir(upstream(bad, good))
    problem(weir.get(), 502, "upstream_bad_response")
    weir.reload(upstream(bad, good, retry={"on": ["bad_response"]}))
    for _ in range(2):
        assert weir.get().status == 200


def test_U02_retry_after_is_respected(lab):
    bad, good = lab.origin(status(503, [("Retry-After", "3")])), lab.origin()
    weir = lab.weir(upstream(bad, good))
    statuses = sorted(weir.get().status for _ in range(2))
    assert statuses == [200, 503]
    assert (len(bad.requests), len(good.requests)) == (1, 1)


def test_U02_the_budget_bounds_the_storm(lab):
    """When everything fails, an upstream gets its requests, and a fifth more (3 a second in any case), not twice as many."""
    origins = [lab.origin(reset) for _ in range(2)]
    weir = lab.weir(upstream(*origins, timeout="20s", retry={"attempts": 3, "backoff": {"base": "0s"}}))
    sent = 600
    for _ in range(sent):
        assert weir.get().status == 502
    attempts = sum(len(o.requests) for o in origins)
    retries = weir.metric("weir_upstream_retries_total", upstream="origin")
    assert attempts == sent + retries
    assert 10 <= retries <= sent * 0.2 + 40, retries
    assert weir.metric("weir_retry_budget_exhausted_total", upstream="origin") >= sent - retries


def test_no_budget_at_all(lab):
    bad, good = lab.origin(reset), lab.origin()
    weir = lab.weir(upstream(bad, good, retry={"budget": {"percent": 0, "min": 0}}))
    assert sorted(weir.get().status for _ in range(2)) == [200, 502]


def test_attempts_end_with_the_deadline(lab):
    origins = [lab.origin(hang) for _ in range(2)]
    weir = lab.weir({**upstream(*origins, timeout="200ms", retry={"attempts": 10}, path="/*", deadline="500ms")})
    began = time.monotonic()
    response = weir.get()
    assert response.status == 504 and time.monotonic() - began < 5
    assert sum(len(o.requests) for o in origins) <= 3


def test_an_attempt_that_cannot_finish_is_not_made(lab):
    """The upstream takes 300 ms, as it has for a while; 150 ms before the deadline none is begun (but one a second)."""
    def slow(request, peer):
        time.sleep(0.3)
        return echo(request, peer)

    origins = [lab.origin(slow), lab.origin(slow)]
    config = upstream(*origins, timeout="5s", retry={"attempts": 2})
    config["routes"].append({"match": {"path": "/short"}, "deadline": "450ms", "proxy": "origin"})
    weir = lab.weir(config)
    for result in [background(weir.get) for _ in range(10)]:
        assert result().status == 200

    def late(request, peer):
        time.sleep(0.3)
        peer.reset()

    origins[0].answer = origins[1].answer = late
    before = sum(len(o.requests) for o in origins)
    results = [background(lambda: weir.get("/short")) for _ in range(8)]
    for result in results:
        result()
    assert sum(len(o.requests) for o in origins) - before <= 8 + 2


def test_no_attempt_for_a_client_that_has_gone(lab):
    """U02: none when the client is gone."""
    release = threading.Event()
    bad, good = lab.origin(lambda request, peer: peer.wait(release) and peer.reset()), lab.origin()
    weir = lab.weir(upstream(bad, good, timeout="30s"))
    conn = weir.connect()
    conn.request("GET", "/")
    wait_until(lambda: bad.requests, "it is at the origin")
    leave(conn)
    wait_until(lambda: weir.metric("weir_bulkhead_in_flight", upstream="origin") == 0, "it has ended")
    release.set()
    assert weir.get().status == 200
    assert len(good.requests) == 1


def test_a_small_body_is_kept(lab):
    """U03: the next attempt begins anew, with the whole body."""
    def half(request, peer):
        peer.reset()
        return True

    for size in (10, 30000, 65536):
        bad, good = lab.origin(), lab.origin()
        bad.on_head = half
        weir = lab.weir(upstream(bad, good, timeout="5s"))
        for _ in range(2):
            response = weir.request("PUT", "/", body=b"x" * size)
            assert response.status == 200 and response.json()["length"] == size
        assert len(good.requests) == 2


def test_a_streamed_body_is_sent_once(lab):
    bad, good = lab.origin(), lab.origin()
    bad.on_head = lambda request, peer: peer.reset() or True
    weir = lab.weir(upstream(bad, good, timeout="5s"))
    statuses = sorted(weir.request("PUT", "/", body=b"x" * 500000).status for _ in range(2))
    assert statuses == [200, 502]
    assert len(good.requests) == 1


def test_U03_nothing_is_left_of_the_first_attempt(lab):
    """An answer that was dropped leaves no byte in the next one, on the same connection or another."""
    calls = []

    def first_fails(request, peer):
        calls.append(request)
        if len(calls) % 2:
            return reply(503, body=b"y" * 3000, headers=[("X-Old", "1"), ("Set-Cookie", "old=1")])
        return reply(200, body=b"fresh")

    origin = lab.origin(first_fails)
    weir = lab.weir(upstream(origin))
    for _ in range(5):
        response = weir.get()
        assert (response.status, response.body) == (200, b"fresh")
        assert not response.header("x-old") and not response.header("set-cookie")
    assert len(calls) == 10 and len(origin.peers) == 1  # the dropped answer was read to its end


def test_retry_after_of_a_full_bulkhead_is_reckoned(lab):
    """Who is turned away is told when those who wait will be through."""
    def slow(request, peer):
        time.sleep(0.4)
        return echo(request, peer)

    origin = lab.origin(slow)
    weir = lab.weir(upstream(origin, timeout="20s", max_in_flight=1, max_pending=6))
    assert weir.get().status == 200
    results = [background(weir.get) for _ in range(7)]
    wait_until(lambda: weir.metric("weir_bulkhead_pending") == 6, "the queue is full")
    response = weir.get()
    problem(response, 503, "bulkhead_full")
    assert 2 <= int(response.header("retry-after")) <= 30
    assert [r().status for r in results] == [200] * 7


def test_who_leaves_the_queue_frees_his_place(lab):
    release = threading.Event()
    origin = lab.origin(lambda request, peer: peer.wait(release) and echo(request, peer))
    weir = lab.weir(upstream(origin, timeout="20s", max_in_flight=1, max_pending=1))
    held = background(weir.get)
    wait_until(lambda: origin.requests, "one is at the origin")
    conn = weir.connect()
    conn.request("GET", "/left")
    wait_until(lambda: weir.metric("weir_bulkhead_pending") == 1, "one waits")
    leave(conn)
    wait_until(lambda: weir.metric("weir_bulkhead_pending") == 0, "it has left")
    second = background(weir.get)
    wait_until(lambda: weir.metric("weir_bulkhead_pending") == 1, "there is room for another")
    release.set()
    assert held().status == second().status == 200
    assert [r.target for r in origin.requests] == ["/", "/"]
