"""The end: TERM drains, a second one stops now."""
import os
import signal
import socket
import tempfile
import threading

import pytest

from harness import proxy, run_weir
from origin import echo, reply
from test_upstream_faults import background
from wire import LIMIT, Conn, Truncated, wait_until

pytestmark = pytest.mark.release

HELLO = [{"match": {"path": "/hello"}, "respond": {"body": "hi"}}]


class Held:
    """weir with requests at an origin that answers when told."""

    def __init__(self, lab, n=1, **more):
        self.release = threading.Event()
        self.origin = lab.origin(lambda request, peer: peer.wait(self.release) and echo(request, peer))
        self.weir = lab.weir({**proxy(self.origin), **more})
        self.results = [background(self.outcome) for _ in range(n)]
        wait_until(lambda: len(self.origin.requests) == n, "the requests are at the origin")

    def outcome(self):
        try:
            return self.weir.get()
        except (Truncated, ConnectionError) as e:
            return e

    def term(self):
        self.weir.term()
        wait_until(lambda: not self.weir.ready(), "readyz has turned")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle(lab, number):
    weir = lab.weir({"routes": HELLO})
    weir.get("/hello")
    weir.signal(number)
    assert weir.wait() == 0


def test_idle_connections_do_not_hold_it_up(lab):
    weir = lab.weir({"routes": HELLO})
    used, fresh = weir.connect(), weir.connect()
    assert used.exchange("GET", "/hello").status == 200
    weir.term()
    assert weir.wait() == 0
    used.assert_closed()
    fresh.assert_closed()


def test_requests_in_flight_are_finished(lab):
    held = Held(lab, 5)
    held.term()
    assert held.weir.admin("GET", "/readyz").status == 503
    assert held.weir.admin("GET", "/livez").status == 200
    assert held.weir.process.poll() is None
    held.release.set()
    for result in held.results:
        assert result().status == 200
    assert held.weir.wait() == 0


def test_a_delayed_answer_is_finished(lab):
    weir = lab.weir({"routes": [{"match": {"path": "/"}, "respond": {"body": "late", "delay": "2s"}}]})
    result = background(weir.get)
    wait_until(lambda: weir.metric("http_server_active_requests") == 1, "the request is in weir")
    weir.term()
    assert result().body == b"late"
    assert weir.wait() == 0


def test_a_body_in_the_middle_is_finished(lab):
    release = threading.Event()

    def answer(_request, peer):
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        peer.wait(release)
        return b"later"
    weir = lab.weir(proxy(lab.origin(answer)))
    with weir.connect() as conn:
        conn.request()
        response = conn.head()
        assert conn.exactly(5) == b"first"
        weir.term()
        wait_until(lambda: not weir.ready(), "readyz has turned")
        release.set()
        assert conn.exactly(5) == b"later"
        assert response.status == 200
    assert weir.wait() == 0


def test_the_connection_closes_after_the_last_answer(lab):
    held = Held(lab, 0)
    with held.weir.connect() as conn:
        conn.request()
        wait_until(lambda: held.origin.requests, "the request is at the origin")
        held.term()
        held.release.set()
        assert conn.response().closes
        conn.assert_closed()
    assert held.weir.wait() == 0


def test_the_listener_closes_while_requests_finish(lab):
    held = Held(lab)
    held.term()

    def refused():
        try:
            Conn(("127.0.0.1", held.weir.port)).close()
            return False
        except ConnectionRefusedError:
            return True
    wait_until(refused, "the listener is closed")
    held.release.set()
    assert held.results[0]().status == 200
    assert held.weir.wait() == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_stops_now(lab, second):
    """The request hangs for minutes; nobody waits for it."""
    held = Held(lab, 2)
    held.term()
    assert held.weir.process.poll() is None
    held.weir.signal(second)
    held.weir.exit_expected = held.weir.wait(20)
    assert held.weir.exit_expected in (0, 1), "an ordinary end"
    for result in held.results:
        assert isinstance(result(), (Truncated, ConnectionError)) or result().status == 503


def test_clients_under_load_see_no_failure(lab):
    """Clients that obey `Connection: close` and turn to nobody after that have lost no request."""
    weir = lab.weir(proxy(lab.origin()))
    failures, served = [], [0] * 8

    def client(number):
        conn = Conn(("127.0.0.1", weir.port))
        while True:
            conn.request("GET", "/x")
            try:
                response = conn.response()
            except Truncated as e:
                # An idle connection may close as the request goes out: that request was not begun, and may be repeated.
                if conn.buffer or e.got:
                    failures.append(repr(e))
                return
            if response.status != 200:
                failures.append(repr(response))
            served[number] += 1
            if response.closes:
                return
    threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    wait_until(lambda: min(served) > 20, "load is there")
    weir.term()
    for thread in threads:
        thread.join(60)
    assert weir.wait() == 0
    assert failures == []


def test_weir_drain(lab):
    held = Held(lab)
    done = run_weir("drain", "-c", held.weir.config_file)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: not held.weir.ready(), "readyz has turned")
    held.release.set()
    assert held.results[0]().status == 200
    assert held.weir.wait() == 0


def test_the_service_manager_is_told(lab):
    """sd_notify: READY, then RELOADING and READY, then STOPPING."""
    with tempfile.TemporaryDirectory(prefix="weir", dir="/tmp") as short, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(os.path.join(short, "notify"))
        manager.settimeout(LIMIT)
        weir = lab.weir({"routes": HELLO}, env={"NOTIFY_SOCKET": os.path.join(short, "notify")})
        assert b"READY=1" in manager.recv(4096)
        weir.signal(signal.SIGHUP)
        assert b"RELOADING=1" in manager.recv(4096)
        assert b"READY=1" in manager.recv(4096)
        weir.term()
        assert b"STOPPING=1" in manager.recv(4096)
        assert weir.wait() == 0


def test_the_log_tells_of_the_end(lab):
    weir = lab.weir({"routes": HELLO})
    weir.term()
    assert weir.wait() == 0
    assert any("drain" in line["msg"] or "stop" in line["msg"] for line in weir.log())


def test_requests_are_counted_to_the_last(lab):
    """The access log holds what was answered before the end."""
    path = lab.path("access.log")
    weir = lab.weir({"middleware": {"log": {"access_log": {"path": path}}}, "use": ["log"], "routes": HELLO})
    with weir.connect() as conn:
        for _ in range(300):
            assert conn.exchange("GET", "/hello").status == 200
    weir.term()
    assert weir.wait() == 0
    with open(path, encoding="utf-8") as f:
        assert len(f.readlines()) == 300


def test_hang_up_by_the_origin_during_the_drain(lab):
    release = threading.Event()

    def answer(_request, peer):
        peer.wait(release)
        peer.reset()
    origin = lab.origin(answer)
    weir = lab.weir(proxy(origin, retry={"attempts": 1}))
    result = background(weir.get)
    wait_until(lambda: origin.requests, "the request is at the origin")
    weir.term()
    wait_until(lambda: not weir.ready(), "readyz has turned")
    release.set()
    assert result().status == 502
    assert weir.wait() == 0


def test_keep_alive_pool_does_not_hold_it_up(lab):
    origin = lab.origin(lambda request, peer: reply(body=b"ok"))
    weir = lab.weir(proxy(origin, pool={"max_idle_time": "10m"}))
    for _ in range(5):
        weir.get()
    weir.term()
    assert weir.wait() == 0


def test_U11_first_requests_are_served_while_the_listener_closes(lab):
    """A client that is connected, or has sent a part of its request, when TERM comes, is answered."""
    weir = lab.weir({"routes": HELLO})
    fresh, half = weir.connect(), weir.connect()
    half.send(b"GET /hello HTTP/1.1\r\nHost: weir.test\r\nX-Ha")
    wait_until(lambda: weir.metric("weir_worker_connections") >= 3, "both are there")
    weir.term()
    fresh.request("GET", "/hello")
    wait_until(lambda: not weir.ready(), "readyz has turned")
    half.send(b"lf: y\r\n\r\n")
    assert fresh.response().status == 200
    response = half.response()
    assert response.status == 200 and response.closes
    assert weir.wait() == 0


def test_U11_the_backlog_is_served(lab):
    """Clients that weir had no place for when TERM came: their connections were made, so they are answered."""
    weir = lab.weir({"limits": {"max_connections": 1}, "routes": HELLO})
    held = weir.connect()
    assert held.exchange("GET", "/hello").status == 200
    waiting = [weir.connect() for _ in range(50)]
    for conn in waiting:
        conn.request("GET", "/hello")
    weir.term()
    for conn in waiting:
        response = conn.response()
        assert response.status == 200 and response.closes
    assert weir.wait() == 0
