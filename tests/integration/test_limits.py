"""Everything has a limit, and a defined behaviour at it."""
import contextlib
import threading
import time

import pytest

from harness import proxy
from origin import echo
from test_upstream_faults import background, problem
from wire import Truncated, wait_until

HELLO = [{"match": {"path": "/*"}, "respond": {"body": "hi"}}]


def limited(lab, **limits):
    return lab.weir({"limits": limits, "routes": HELLO})


def before_origin(lab, **limits):
    origin = lab.origin()
    return lab.weir({**proxy(origin), "limits": limits}), origin


# ---- requests on one connection ----

def test_D3_max_requests_per_connection(lab):
    """The last answer says close; what was pipelined behind its request is not served."""
    weir, origin = before_origin(lab, max_requests_per_connection=3)
    with weir.connect() as conn:
        conn.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: weir.test\r\n\r\n" % i for i in range(5)))
        closes = [conn.response().closes for _ in range(3)]
        assert closes == [False, False, True]
        conn.assert_closed()
    assert [r.target for r in origin.requests] == ["/0", "/1", "/2"]
    assert weir.get("/after").status == 200


def test_D3_a_thousand_requests_by_default(lab):
    weir = lab.weir({"routes": HELLO})
    with weir.connect() as conn:
        conn.send(b"GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n" * 1000)
        closes = [conn.response().closes for _ in range(1000)]
        assert not any(closes[:999]) and closes[999]
        conn.assert_closed()


@pytest.mark.parametrize("first", ["GET /1 HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n",
                                   "GET /1 HTTP/1.0\r\nHost: a\r\n\r\n"])
def test_nothing_is_served_after_a_request_that_closes(lab, first):
    weir, origin = before_origin(lab)
    with weir.connect() as conn:
        conn.send(first.encode() + b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        response = conn.response()
        assert response.status == 200 and response.closes
        conn.assert_closed()
    assert [r.target for r in origin.requests] == ["/1"]


# ---- max_body ----

def test_max_body_by_length(lab):
    weir, origin = before_origin(lab, max_body="1000B")
    assert weir.post("/", b"x" * 1000).json()["length"] == 1000
    origin.clear()
    with weir.refuses("body_too_large"):
        problem(weir.post("/", b"x" * 1001), 413, "body_too_large")
    assert origin.bytes == b""


def test_max_body_in_chunks(lab):
    weir, origin = before_origin(lab, max_body="1000B")
    start = b"POST / HTTP/1.1\r\nHost: weir.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    with weir.connect() as conn:
        conn.send(start + b"1f4\r\n" + b"x" * 500 + b"\r\n1f4\r\n" + b"x" * 500 + b"\r\n0\r\n\r\n")
        assert conn.response().json()["length"] == 1000
    origin.clear()
    with weir.refuses("body_too_large"), weir.connect() as conn:
        conn.send(start + b"1f4\r\n" + b"x" * 500 + b"\r\n1f5\r\n" + b"x" * 501 + b"\r\n0\r\n\r\n")
        response = conn.response()
        problem(response, 413, "body_too_large")
        assert response.closes
        conn.assert_closed()
    assert origin.requests == []


def test_max_body_announced_as_huge(lab):
    """It is refused at once: weir waits for no byte of it."""
    weir, _ = before_origin(lab)
    with weir.connect() as conn:
        conn.send(b"POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 9223372036854775807\r\n\r\n")
        problem(conn.response(), 413, "body_too_large")


def test_max_body_default_is_1_mib(lab):
    weir, _ = before_origin(lab)
    assert weir.post("/", b"x" * 1024 * 1024).status == 200
    assert weir.post("/", b"x" * (1024 * 1024 + 1)).status == 413


def test_max_body_is_for_requests_only(lab):
    origin = lab.origin(lambda request, peer: b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000)
    assert len(lab.weir({**proxy(origin), "limits": {"max_body": "1000B"}}).get().body) == 5000


# ---- heads ----

def test_max_uri(lab):
    weir = limited(lab, max_uri="100B")
    assert weir.get("/" + "a" * 99).status == 200
    with weir.refuses("uri_too_long"):
        problem(weir.get("/" + "a" * 100), 414, "uri_too_long")


def test_max_headers(lab):
    weir = limited(lab, max_headers=10)
    assert weir.get(headers={f"X-{i}": "y" for i in range(9)}).status == 200  # and Host
    with weir.refuses("too_many_headers"):
        problem(weir.get(headers={f"X-{i}": "y" for i in range(10)}), 431, "too_many_headers")


def test_max_header_bytes(lab):
    weir = limited(lab, max_header_bytes="1KiB")

    def sized(n):
        start = b"GET / HTTP/1.1\r\nHost: weir.test\r\nX: "
        return start + b"y" * (n - len(start) - 4) + b"\r\n\r\n"
    with weir.connect() as conn:
        conn.send(sized(1000))
        assert conn.response().status == 200
    with weir.refuses("header_too_large"), weir.connect() as conn:
        conn.send(sized(1030))
        problem(conn.response(), 431, "header_too_large")


def test_larger_heads_where_they_are_allowed(lab):
    origin = lab.origin()
    weir = lab.weir({**proxy(origin), "limits": {"max_header_bytes": "48KiB", "max_headers": 500, "max_uri": "16KiB"}})
    told = weir.get("/" + "a" * 15000, headers={f"X-{i}": "y" * 50 for i in range(400)}).json()
    assert len(told["target"]) == 15001
    assert len([n for n, _ in told["headers"] if n.startswith("X-") and n[2:].isdigit()]) == 400


# ---- time ----

def test_idle_timeout_closes_in_silence(lab):
    weir = limited(lab, idle_timeout="300ms", header_timeout="300ms")
    with weir.connect() as used, weir.connect() as fresh:
        assert used.exchange().status == 200
        used.assert_closed()
        fresh.assert_closed()
    assert weir.metric("weir_refusals_total") == 0


def test_idle_timeout_counts_from_the_last_answer(lab):
    """A connection in use is kept, however old."""
    weir = limited(lab, idle_timeout="2s")
    with weir.connect() as conn:
        for _ in range(6):
            assert conn.exchange().status == 200
            time.sleep(0.6)


def test_a_long_request_is_not_idle(lab):
    release = threading.Event()
    origin = lab.origin(lambda request, peer: peer.wait(release) and echo(request, peer))
    weir = lab.weir({**proxy(origin),
                     "limits": {"idle_timeout": "200ms", "header_timeout": "200ms", "body_timeout": "200ms"}})
    result = background(weir.get)
    wait_until(lambda: origin.requests, "the request is at the origin")
    time.sleep(1)
    release.set()
    assert result().status == 200


# ---- max_connections, max_in_flight ----

def test_max_connections(lab):
    """The connections that are there keep being served; one more is served when one of them has gone."""
    weir = lab.weir({"limits": {"max_connections": 4}, "routes": HELLO, "workers": 2})
    conns = [weir.connect() for _ in range(4)]
    for conn in conns:
        assert conn.exchange().status == 200
    surplus = weir.connect()
    surplus.request()
    for _ in range(20):
        assert all(conn.exchange().status == 200 for conn in conns)
        time.sleep(0.02)
    assert weir.metric("weir_worker_connections") <= 4 + 1  # that of this question
    conns[0].close()

    with contextlib.suppress(Truncated):  # it was turned away, or it has waited
        assert surplus.response().status in (200, 503)
    surplus.close()

    def served():
        with contextlib.suppress(Truncated, OSError):
            return weir.get().status == 200
    wait_until(served, "there is room again")


@pytest.mark.parametrize("handler", ["respond", "proxy"])
def test_max_in_flight(lab, handler):
    release = threading.Event()
    origin = lab.origin(lambda request, peer: peer.wait(release) and echo(request, peer))
    config = proxy(origin, path="/held")
    config["routes"].append({"match": {"path": "/quick"}, "respond": {"body": "hi"}})
    weir = lab.weir({**config, "limits": {"max_in_flight": 2}})
    target = {"respond": "/quick", "proxy": "/held"}[handler]
    held = [background(lambda: weir.get("/held")) for _ in range(2)]
    wait_until(lambda: len(origin.requests) == 2, "two requests are at the origin")
    with weir.refuses("too_many_in_flight", 2):
        for _ in range(2):
            response = weir.get(target)
            problem(response, 503, "too_many_in_flight")
            assert int(response.header("retry-after")) >= 0
    release.set()
    assert [result().status for result in held] == [200, 200]
    wait_until(lambda: weir.get("/quick").status == 200, "there is room again")


def test_many_connections(lab):
    """600 at once, all kept, all served, and then none is left over."""
    weir = lab.weir({"routes": HELLO})
    conns = [weir.connect() for _ in range(600)]
    for _ in range(2):
        for conn in conns:
            conn.request()
        assert all(conn.response().status == 200 for conn in conns)
    assert weir.metric("weir_worker_connections") >= 600
    for conn in conns:
        conn.close()
    wait_until(lambda: weir.metric("weir_worker_connections") < 10, "the connections are gone")
