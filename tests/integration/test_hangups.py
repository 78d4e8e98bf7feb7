"""Clients that leave before their answer is there (U04): what was done for them ends at once, and is counted; one that has
only said all it has to say is answered."""
import contextlib
import json
import os
import socket
import struct
import tempfile
import threading

import pytest

from harness import proxy
from origin import echo
from test_upstream_faults import full_backlog, hang
from wire import Conn, wait_until

pytestmark = pytest.mark.release

FOREVER = {"timeout": "300s", "deadline": "300s", "connect_timeout": "60s"}  # longer than any test waits


def reset(conn):
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


@contextlib.contextmanager
def leaves(weir, conn):
    """The client goes, and the request is over: counted as client_closed, and nothing of it is left."""
    yield
    with weir.refuses("client_closed"):
        reset(conn)
    weir.wait_metric(0, "weir_in_flight_requests")
    wait_until(lambda: weir.metric("weir_worker_connections") <= 1, "the connection is gone")


def test_U04_before_the_response(lab):
    origin = lab.origin(hang)
    log = lab.path("access.log")
    weir = lab.weir({**proxy(origin, **FOREVER), "use": ["log"], "middleware": {"log": {"access_log": {"path": log}}}})
    conn = weir.connect()
    with leaves(weir, conn):
        conn.request()
        wait_until(lambda: origin.requests, "the request is at the origin")
    wait_until(lambda: origin.open == 0, "the upstream connection is closed")
    wait_until(lambda: os.path.getsize(log), "the request is logged")
    with open(log, encoding="utf-8") as f:
        line = json.loads(f.readline())
    assert line["http.response.status_code"] == 499 and line["code"] == "client_closed"


def test_U04_inside_the_response(lab):
    """The origin has begun, and says nothing more for now."""
    def answer(_request, peer):
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        peer.hang()
    origin = lab.origin(answer)
    weir = lab.weir({**proxy(origin, **FOREVER), "limits": {"body_timeout": "300s"}})
    conn = weir.connect()
    with leaves(weir, conn):
        conn.request()
        conn.head()
        assert conn.exactly(5) == b"first"
    wait_until(lambda: origin.open == 0, "the upstream connection is closed")


def test_U04_inside_the_request(lab):
    origin = lab.origin()
    weir = lab.weir({**proxy(origin, **FOREVER), "limits": {"body_timeout": "300s"}})
    conn = weir.connect()
    with leaves(weir, conn):
        conn.send(b"POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 10\r\n\r\nhello")
        wait_until(lambda: origin.bytes.endswith(b"hello"), "the origin has the first half")
    wait_until(lambda: origin.open == 0, "the upstream connection is closed")
    assert origin.requests == []


def test_U04_while_the_origin_does_not_read(lab):
    """The whole body is in weir and in the kernel, as far as it goes in."""
    release = threading.Event()
    origin = lab.origin()
    origin.on_head = lambda request, peer: not peer.wait(release)
    weir = lab.weir({**proxy(origin, **FOREVER), "limits": {"max_body": "100MiB", "body_timeout": "300s"}})
    conn = weir.connect()
    with leaves(weir, conn):
        conn.send(b"POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 50000000\r\n\r\n")
        conn.sock.settimeout(1)
        with contextlib.suppress(socket.timeout):
            for _ in range(500):
                conn.sock.sendall(b"x" * 100000)
    release.set()
    wait_until(lambda: origin.open == 0, "the upstream connection is closed")


def test_U04_in_the_queue_for_a_connection(lab):
    """It leaves the queue; its place is not lost to others."""
    release = threading.Event()
    origin = lab.origin(lambda request, peer: peer.wait(release) and echo(request, peer))
    weir = lab.weir(proxy(origin, pool={"max_connections": 1}, **FOREVER))
    first, second = weir.connect(), weir.connect()
    first.request("GET", "/first")
    wait_until(lambda: origin.requests, "the first is at the origin")
    second.request("GET", "/second")
    weir.wait_metric(2, "weir_in_flight_requests")
    with weir.refuses("client_closed"):
        reset(second)
    weir.wait_metric(1, "weir_in_flight_requests")
    release.set()
    assert first.response().status == 200
    assert first.exchange("GET", "/third").status == 200
    assert [r.target for r in origin.requests] == ["/first", "/third"]


def test_U04_while_connecting(lab):
    with full_backlog() as url:
        weir = lab.weir(proxy(url, **FOREVER))
        conn = weir.connect()
        with leaves(weir, conn):
            conn.request()
            weir.wait_metric(1, "weir_in_flight_requests")


def test_U04_a_delayed_answer(lab):
    weir = lab.weir({"routes": [{"match": {"path": "/*"}, "deadline": "300s",
                                 "respond": {"body": "late", "delay": "200s"}}]})
    conn = weir.connect()
    with leaves(weir, conn):
        conn.request()
        weir.wait_metric(1, "weir_in_flight_requests")


def test_U04_a_hundred_at_once(lab):
    """More than one turn of the loop may see."""
    origin = lab.origin(hang)
    weir = lab.weir(proxy(origin, **FOREVER))
    conns = [weir.connect() for _ in range(100)]
    for conn in conns:
        conn.request()
    wait_until(lambda: len(origin.requests) == 100, "all are at the origin")
    with weir.refuses("client_closed", 100):
        for conn in conns:
            reset(conn)
    wait_until(lambda: origin.open == 0, "the upstream connections are closed")


def test_U04_a_unix_socket(lab):
    """There a full close is seen as what it is."""
    origin = lab.origin(hang)
    with tempfile.TemporaryDirectory(prefix="weir", dir="/tmp") as short:
        path = os.path.join(short, "socket")
        weir = lab.weir({**proxy(origin, **FOREVER), "listen": [f"unix:{path}"]})
        conn = Conn(path)
        conn.request()
        wait_until(lambda: origin.requests, "the request is at the origin")
        with weir.refuses("client_closed"):
            conn.close()
        wait_until(lambda: origin.open == 0, "the upstream connection is closed")


def test_U04_half_close_is_no_leave(lab):
    release = threading.Event()
    origin = lab.origin(lambda request, peer: peer.wait(release) and echo(request, peer))
    weir = lab.weir(proxy(origin))
    with weir.refuses("client_closed", 0), weir.connect() as conn:
        conn.request("GET", "/half")
        wait_until(lambda: origin.requests, "the request is at the origin")
        conn.sock.shutdown(socket.SHUT_WR)
        weir.wait_metric(1, "weir_in_flight_requests")
        release.set()
        assert conn.response().json()["target"] == "/half"
        conn.assert_closed()
