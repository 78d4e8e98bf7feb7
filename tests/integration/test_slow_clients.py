"""Clients that send or read slowly, or stop in the middle: they are limited as a whole and by their rate, cost next to
nothing, and others do not notice (R01, R02, R03, R19)."""
import os
import socket
import threading
import time

import pytest

from harness import proxy
from origin import echo
from test_upstream_faults import problem
from wire import Conn, Reader, wait_until

pytestmark = pytest.mark.release

NIGHT = bool(os.environ.get("WEIR_NIGHT"))
HELLO = [{"match": {"path": "/*"}, "respond": {"body": "hi"}}]
HALF = b"GET / HTTP/1.1\r\nHost: weir.test\r\nX-Ha"


def before_origin(lab, answer=echo, deadline=None, **limits):
    origin = lab.origin(answer)
    return lab.weir({**proxy(origin, deadline=deadline), "limits": limits}), origin


# ---- R01: heads ----

def test_R01_the_first_head_is_due_from_the_accept(lab):
    """A client that has been silent has no more time for its head than one that began at once."""
    weir = lab.weir({"limits": {"header_timeout": "2s"}, "routes": HELLO})
    with weir.connect() as silent:
        time.sleep(1.5)
        with weir.connect() as fresh:
            silent.send(HALF)
            fresh.send(HALF)
            problem(silent.response(), 408, "header_timeout")
            fresh.assert_open()
            problem(fresh.response(), 408, "header_timeout")


def test_R01_later_heads_are_due_from_their_first_byte(lab):
    weir = lab.weir({"limits": {"header_timeout": "1500ms"}, "routes": HELLO})
    with weir.connect() as conn:
        for _ in range(2):
            assert conn.exchange().status == 200
            time.sleep(2)
        conn.send(HALF)
        time.sleep(0.2)
        conn.send(b"lf: y\r\n\r\n")
        assert conn.response().status == 200
        conn.send(HALF)
        problem(conn.response(), 408, "header_timeout")


@pytest.mark.night
def test_R01_what_half_a_head_costs(lab):
    """Nothing but its record and what it has sent."""
    n = 9000 if NIGHT else 2000
    weir = lab.weir({"limits": {"header_timeout": "300s", "max_connections": 12000}, "routes": HELLO})
    for _ in range(20):
        weir.get()
    before = weir.metrics()
    conns = [weir.connect() for _ in range(n)]
    for conn in conns:
        conn.send(HALF)
    wait_until(lambda: weir.metric("weir_worker_connections") >= n, "all are there")
    assert weir.get().status == 200
    after = weir.metrics()
    assert after.sum("weir_fibers") < 50
    names = ["weir_memory_bytes"]
    if "asan" not in os.environ.get("WEIR_BIN", ""):
        names.append("process_resident_memory_bytes")
    for name in names:
        each = (after.sum(name) - before.sum(name)) / n
        assert each <= 1536, f"{name}: {each} for each connection"


# ---- R02: bodies ----

class Drip:
    """Sends `data` again and again at a distance, until the block ends."""

    def __init__(self, conn, data, distance=0.05):
        self.conn, self.data, self.distance = conn, data, distance
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.stop.wait(self.distance):
            self.conn.send(self.data)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


BEGINNINGS = {"length": (b"Content-Length: 1000000", b"x"), "chunked": (b"Transfer-Encoding: chunked", b"1\r\nx\r\n")}


@pytest.mark.parametrize("framing", BEGINNINGS)
def test_R02_a_body_that_drips(lab, framing):
    """It never stalls, and comes too slowly all the same."""
    weir, origin = before_origin(lab, body_timeout="60s", rate_window="1s")
    field, piece = BEGINNINGS[framing]
    with weir.refuses("body_timeout"), weir.connect() as conn:
        conn.send(b"POST / HTTP/1.1\r\nHost: weir.test\r\n" + field + b"\r\n\r\n" + piece)
        with Drip(conn, piece):
            response = conn.response()
        problem(response, 408, "body_timeout")
        assert response.closes
    wait_until(lambda: origin.open == 0, "the upstream connection is closed")
    assert origin.requests == []


def test_R02_any_rate_will_do(lab):
    weir, _ = before_origin(lab, body_timeout="60s", rate_window="100ms", body_min_rate="0B")
    with weir.connect() as conn:
        conn.send(b"POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 20\r\n\r\n")
        for _ in range(20):
            time.sleep(0.05)
            conn.send(b"x")
        assert conn.response().json()["length"] == 20


def test_R02_no_total(lab):
    """A body that comes at a fair rate may take longer than the deadline of the request."""
    weir, _ = before_origin(lab, deadline="1s", rate_window="500ms")
    with weir.connect() as conn:
        conn.send(b"POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 60000\r\n\r\n")
        for _ in range(60):
            time.sleep(0.05)
            conn.send(b"x" * 1000)
        assert conn.response().json()["length"] == 60000


def test_R02_a_slow_origin_is_not_the_clients_fault(lab):
    """The client sends as fast as it can; the origin lets everybody wait, longer than the deadline."""
    origin = lab.origin()
    origin.on_head = lambda request, peer: time.sleep(4)
    weir = lab.weir({**proxy(origin, deadline="3s"), "limits": {"max_body": "100MiB", "body_timeout": "500ms",
                                                             "rate_window": "300ms", "body_min_rate": "100KB"}})
    assert weir.post("/", b"x" * 12_000_000).json()["length"] == 12_000_000


# ---- R03: responses ----

class Sluggish(Conn):
    """A client that takes little into its kernel, and nothing out of it by itself."""

    def __init__(self, port):  # pylint: disable=super-init-not-called
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(60)
        sock.connect(("127.0.0.1", port))
        Reader.__init__(self, sock)


LONG = 30_000_000  # more than the kernel takes


def long_answer(_request, peer):
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LONG)
    for _ in range(LONG // 100_000):
        if not peer.send(b"x" * 100_000):
            break
    peer.close()


def is_reset(conn):
    try:
        while conn.sock.recv(1_000_000):
            pass
    except ConnectionResetError:
        return True
    return False


def test_R03_a_client_that_reads_nothing(lab):
    weir, origin = before_origin(lab, long_answer, send_timeout="1s", send_min_rate="0B")
    with weir.refuses("send_timeout"), Sluggish(weir.port) as conn:
        conn.request()
        wait_until(lambda: origin.requests, "the request is at the origin")
        wait_until(lambda: origin.open == 0, "the upstream connection is closed")
        assert is_reset(conn)
    weir.wait_metric(0, "weir_in_flight_requests")


def test_R03_a_client_that_sips(lab):
    """It never stops reading, and is too slow all the same."""
    weir, origin = before_origin(lab, long_answer, send_timeout="60s", send_min_rate="50KB", rate_window="1s")
    with weir.refuses("send_timeout"), Sluggish(weir.port) as conn:
        conn.request()
        try:
            while True:
                assert conn.sock.recv(300)
                time.sleep(0.05)
        except ConnectionResetError:
            pass
        wait_until(lambda: origin.open == 0, "the upstream connection is closed")


def test_R03_a_client_that_is_fast_enough(lab):
    """Slower than the origin by far; each of its waits is longer than send_timeout would be for a single write."""
    weir, _ = before_origin(lab, long_answer, send_timeout="2s", send_min_rate="100KB", rate_window="1s")
    with weir.refuses("send_timeout", 0), weir.connect() as conn:
        conn.request()
        conn.head()
        left = LONG
        while left:
            n = len(conn.exactly(min(left, 300_000)))
            left -= n
            time.sleep(0.03)


def test_R03_a_slow_origin_is_not_the_clients_fault(lab):
    def drip(_request, peer):
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n")
        for _ in range(60):
            time.sleep(0.05)
            peer.send(b"x")
    weir, _ = before_origin(lab, drip, send_timeout="500ms", send_min_rate="100KB", rate_window="300ms")
    assert weir.get().body == b"x" * 60


def test_R03_a_response_of_weirs_own(lab):
    weir = lab.weir({"limits": {"send_timeout": "1s"}, "routes": [
        {"match": {"path": "/"}, "respond": {"body": "x" * 500_000}}]})
    with weir.refuses("send_timeout"), Sluggish(weir.port) as conn:
        for _ in range(100):  # pipelined: more than the kernel takes
            conn.request()
        weir.wait_metric(1, "weir_refusals_total", code="send_timeout")


# ---- R19: no progress ----

START = b"POST / HTTP/1.1\r\nHost: weir.test\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"
HALVES = [b"G", b"GET /half", START, START + b"X-Ha", START + b"X: y\r", START + b"Content-Length: 100\r\n\r\n" + b"x" * 50,
          CHUNKED, CHUNKED + b"5", CHUNKED + b"5\r", CHUNKED + b"5;a", CHUNKED + b"5\r\nhel", CHUNKED + b"5\r\nhello",
          CHUNKED + b"5\r\nhello\r", CHUNKED + b"5\r\nhello\r\n0\r\n", CHUNKED + b"5\r\nhello\r\n0\r\nX-Tra"]


def ticks(weir):
    with open(f"/proc/{weir.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_R19_half_sent_frames_of_every_kind(lab):
    """A thousand of them keep no loop awake."""
    weir = lab.weir({**proxy(lab.origin(), deadline="300s", pool={"max_connections": 2000}),
                     "limits": {"header_timeout": "300s", "body_timeout": "300s"}})
    conns = [weir.connect() for _ in range(1005)]
    for i, conn in enumerate(conns):
        conn.send(HALVES[i % len(HALVES)])
    bodies = sum(b"\r\n\r\n" in HALVES[i % len(HALVES)] for i in range(len(conns)))
    weir.wait_metric(bodies, "weir_in_flight_requests")
    quiet = []

    def settled():
        quiet.append(weir.metric("weir_loop_turns_total"))
        time.sleep(0.5)
        return weir.metric("weir_loop_turns_total") - quiet[-1] < 50
    wait_until(settled, "the loops have come to rest")
    turns, cpu, began = weir.metric("weir_loop_turns_total"), ticks(weir), time.monotonic()
    time.sleep(3)
    share = (ticks(weir) - cpu) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began)
    turns = weir.metric("weir_loop_turns_total") - turns
    assert share < 0.02, f"{share:.1%} of a CPU for nothing"
    assert turns < 200, f"{turns} turns for nothing"
    assert weir.get("/after").status == 200
    for conn in conns:
        conn.close()
    weir.wait_metric(0, "weir_in_flight_requests")
