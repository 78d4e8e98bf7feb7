"""Workers share their work, and no request holds a loop for long."""
import re
import socket
import threading
import time

import pytest

from harness import free_port, proxy
from wire import wait_until

pytestmark = pytest.mark.release

YIELDS = "weir_loop_yields_total"


def test_a_large_answer_is_sent_in_parts(lab):
    text = "x" * 100000
    weir = lab.weir({"routes": [{"match": {"path": "/"}, "respond": {"json": ["${TEXT}"] * 40}}]}, env={"TEXT": text})
    before = weir.metric(YIELDS)
    answer = weir.get("/")
    assert answer.json() == [text] * 40
    # the socket takes more than a share of 256 KiB before it is full
    assert weir.metric(YIELDS) - before >= 1


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


def test_closing_many_connections_lets_others_in(lab):
    weir = lab.weir("routes: [{match: {path: /}, respond: {body: hello}}]")
    for _ in range(400):  # each has had its first answer: those that have not asked yet are given a moment for it (U11)
        assert weir.connect().exchange("GET", "/").status == 200
    wait_until(lambda: weir.metric("weir_worker_connections") > 400, "all are accepted")
    before = weir.metric(YIELDS)
    weir.port = free_port()
    assert weir.reload(weir.given).status == 200  # the listener goes, and its connections with it
    weir.wait_metric(1, "weir_worker_connections")  # that of this question
    assert weir.metric(YIELDS) - before >= 4


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


# ---- giving connections away ----

SERVED = "weir_worker_request_duration_seconds_count"
REQUEST = b"GET /light HTTP/1.1\r\nHost: h\r\n\r\n"


TEXT = {"TEXT": "y" * 100000}


def both(balance):
    """Two workers, a cheap answer, and one of 4 MB."""
    return {"workers": 2, "balance_workers": balance, "limits": {"max_requests_per_connection": 1000000000},
            "routes": [{"match": {"path": "/light"}, "respond": {"body": "x" * 100}},
                       {"match": {"path": "/heavy"}, "respond": {"json": ["${TEXT}"] * 40}}]}


def served(weir):
    metrics = weir.metrics()
    return {worker: metrics.sum(SERVED, worker=worker) for worker in ("0", "1")}


def worker_of(weir, conn):
    """On which worker a connection is: tried with a request."""
    before = served(weir)
    assert conn.exchange("GET", "/light").status == 200
    wait_until(lambda: sum(served(weir).values()) > sum(before.values()), "the request is counted")
    return next(w for w, n in served(weir).items() if n > before[w])


def on_one_worker(weir, count):
    """So many connections that are all on one worker, and which one."""
    found = {"0": [], "1": []}
    while True:
        conn = weir.connect()
        worker = worker_of(weir, conn)
        found[worker].append(conn)
        if len(found[worker]) == count:
            return found[worker], worker


class Load:
    """A thread for each connection, which asks for ever; inside `with`."""

    def __init__(self, tasks):
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=task) for task in tasks]
        self.errors = []

    def run(self, ask, conn, *more):
        try:
            while not self.stop.is_set():
                ask(conn, *more)
        except Exception as e:  # noqa: BLE001, told by the test
            self.errors.append(e)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        assert not self.errors, self.errors


def take(sock, size):
    """Reads so many bytes, and gives the last of them."""
    part = b""
    while size:
        part = sock.recv(min(size, 1 << 20))
        assert part, "the connection ended"
        size -= len(part)
    return part


def ask_many(conn, size):
    """A pipeline; what comes back are answers of that size, whole and in order."""
    conn.sock.sendall(REQUEST * 100)
    assert take(conn.sock, 100 * size).endswith(b"x" * 100)


def ask_heavy(conn, size):
    conn.sock.sendall(b"GET /heavy HTTP/1.1\r\nHost: h\r\n\r\n")
    assert take(conn.sock, size).endswith(b'"]\n')


def ask_light(conn, size, took):
    start = time.monotonic()
    conn.sock.sendall(REQUEST)
    take(conn.sock, size)
    took.append(time.monotonic() - start)


def answer_sizes(weir):
    """Of /light and /heavy, with their heads."""
    sizes = []
    for path in ("/light", "/heavy"):
        with weir.connect() as conn:
            conn.send(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            while b"\r\n\r\n" not in conn.buffer:
                conn.more()
            head, rest = conn.buffer.split(b"\r\n\r\n", 1)
            length = int(re.search(rb"Content-Length: (\d+)", head)[1])
            sizes.append(len(head) + 4 + length)
            take(conn.sock, length - len(rest))
    return sizes


def test_connections_of_one_worker_are_shared(lab):
    weir = lab.weir(both(False), env=TEXT)
    size, _ = answer_sizes(weir)
    conns, busy = on_one_worker(weir, 8)
    idle = "1" if busy == "0" else "0"
    tasks = [(ask_many, conn, size) for conn in conns]

    before = served(weir)
    with Load(tasks):
        wait_until(lambda: served(weir)[busy] - before[busy] > 8000, "requests are served")
    assert served(weir)[idle] == before[idle]
    assert weir.metric("weir_steals_total") == 0

    assert weir.reload(both(True)).status == 200
    with Load(tasks):
        wait_until(lambda: served(weir)[idle] - before[idle] > 1000, "the other worker serves too")
    assert weir.metric("weir_steals_total") >= 1
    assert weir.metric("weir_worker_connections", worker=idle) >= 1
    for conn in conns:  # wherever they are now, they go on
        assert conn.exchange("GET", "/light").body == b"x" * 100


def test_light_requests_leave_a_worker_with_heavy_ones(lab):
    weir = lab.weir(both(False), env=TEXT)
    light, heavy = answer_sizes(weir)
    conns, busy = on_one_worker(weir, 10)
    idle = "1" if busy == "0" else "0"

    def load(times):
        return Load([(ask_heavy, conn, heavy) for conn in conns[:3]] +
                    [(ask_light, conn, light, times) for conn in conns[3:]])

    def p99(times):
        return f"{sorted(times)[len(times) * 99 // 100] * 1000:.2f} ms of {len(times)}"

    apart, together = [], []
    before = served(weir)
    with load(together):
        wait_until(lambda: len(together) > 1000, "light requests are served")
    assert served(weir)[idle] == before[idle]
    assert weir.metric("weir_steals_total") == 0
    assert weir.reload(both(True)).status == 200
    with load([]):
        wait_until(lambda: weir.metric("weir_steals_total") >= 1, "connections are given away")
    with load(apart):
        wait_until(lambda: len(apart) > 1000, "light requests are served")
    assert served(weir)[idle] > before[idle]
    print(f"p99 of light requests: {p99(together)} on one worker, {p99(apart)} shared")


def test_a_half_sent_head_moves_along(lab):
    """What has come of the next request when its connection is given away is not lost."""
    weir = lab.weir(both(False), env=TEXT)
    size, _ = answer_sizes(weir)
    conns, busy = on_one_worker(weir, 8)
    idle = "1" if busy == "0" else "0"
    assert weir.reload(both(True)).status == 200

    def ask_in_parts(conn):
        conn.sock.sendall(REQUEST * 100 + REQUEST[:20])
        take(conn.sock, 100 * size)
        conn.sock.sendall(REQUEST[20:])
        assert take(conn.sock, size).endswith(b"x" * 100)

    before = served(weir)
    with Load([(ask_in_parts, conn) for conn in conns]):
        wait_until(lambda: served(weir)[idle] - before[idle] > 1000, "the other worker serves too")
    assert weir.metric("weir_refusals_total") == 0


# ---- lending connections of upstreams ----

def on_both_workers(weir, count):
    """So many connections on each worker. A worker that is busy does not accept."""
    found = {"0": [], "1": []}
    for _ in range(20):
        if min(map(len, found.values())) >= count:
            return found["0"][:count] + found["1"][:count]
        busiest = max(found, key=lambda w: len(found[w]))
        with Load([(lambda conn: conn.exchange("GET", "/heavy"), conn) for conn in found[busiest][:3]]):
            conns = [weir.connect() for _ in range(2 * count)]
        for conn in conns:
            found[worker_of(weir, conn)].append(conn)
    pytest.skip("one worker accepts all connections, busy or not")


def through_one(origin):
    """A route to an upstream that may have one connection; the origin notes who connects."""
    connects = []
    origin.on_connect = connects.append
    config = both(False)
    config["limits"]["max_connections"] = 1000  # so few that io_uring takes none ahead: a busy worker leaves them to the other
    config["upstreams"] = {"one": {"endpoints": [origin.url], "pool": {"max_connections": 1}}}
    config["routes"].append({"match": {"path": "/one/*"}, "proxy": {"upstream": "one"}})
    return config, connects


def test_one_upstream_connection_serves_two_workers(lab):
    origin = lab.origin()
    config, connects = through_one(origin)
    weir = lab.weir(config, env=TEXT)
    conns = on_both_workers(weir, 3)
    before = served(weir)

    def ask(conn):
        for _ in range(20):
            assert conn.exchange("GET", "/one/x").status == 200

    threads = [threading.Thread(target=ask, args=[conn]) for conn in conns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: sum(served(weir).values()) == sum(before.values()) + 120, "all are counted")
    assert all(n - before[w] == 60 for w, n in served(weir).items())
    assert len(connects) == 1
    assert len(origin.requests) == 120
    assert weir.metric("weir_pool_moved_total") >= 2
    assert weir.metric("weir_upstream_connections") == 1
    assert weir.metric("weir_pool_reused_total") == 119

    # the origin ends the connection while it is idle: the next one gets a new one, on either worker
    for conn in (conns[0], conns[-1]):
        connects[-1].sock.shutdown(socket.SHUT_RDWR)
        weir.wait_metric(0, "weir_upstream_connections")
        assert conn.exchange("GET", "/one/x").status == 200
    assert len(connects) == 3


def test_an_idle_connection_moves_to_the_worker_that_needs_it(lab):
    origin = lab.origin()
    config, connects = through_one(origin)
    weir = lab.weir(config, env=TEXT)
    conns = on_both_workers(weir, 1)
    for i in range(6):
        assert conns[i % 2].exchange("POST", "/one/x", body=b"not to be sent twice").status == 200
        weir.wait_metric(0, "http_server_active_requests")
    assert len(connects) == 1
    assert weir.metric("weir_pool_moved_total") == 5
