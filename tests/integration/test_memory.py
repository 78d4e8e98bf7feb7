"""What connections and requests cost. Bytes are counted on the release build: sanitizers have costs of their own."""
import contextlib
import json
import os
import resource
import socket
import threading

import pytest

from harness import WEIR_BIN, proxy
from wire import wait_until

pytestmark = pytest.mark.release

KIB = 1024
HELLO = [{"match": {"path": "/*"}, "respond": {"body": "hi"}}]
# A browser's head: 15 fields, 700 bytes.
HEAD = ("GET /orders/17?details=all HTTP/1.1\r\nHost: shop.test\r\nConnection: keep-alive\r\n"
        'sec-ch-ua: "Chromium";v="128", "Not;A=Brand";v="24"\r\nsec-ch-ua-mobile: ?0\r\n'
        'sec-ch-ua-platform: "Linux"\r\nUpgrade-Insecure-Requests: 1\r\n'
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0 Safari/537.36\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
        "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
        "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: de-DE,de;q=0.9,en;q=0.8\r\n"
        "Cookie: session=0123456789abcdef0123456789abcdef\r\nCache-Control: max-age=0\r\n\r\n").encode()

with open(WEIR_BIN, "rb") as program:
    code = program.read()
    SANITIZED = b"__asan_init" in code or b"__tsan_init" in code
counted = pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory is not what weir costs")


@pytest.fixture(autouse=True)
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def rss(weir):
    with open(f"/proc/{weir.pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


class Clients:
    """Plain sockets, many of them."""

    def __init__(self, weir):
        self.weir = weir
        self.sockets = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for one in self.sockets:
            one.close()
        self.sockets = []

    def open(self, count, send=b""):
        for _ in range(count):
            self.sockets.append(socket.create_connection(("127.0.0.1", self.weir.port)))
            if send:
                self.sockets[-1].sendall(send)

    def ask(self, count, head=b"GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n", end=b"hi"):
        """One request on each of so many new connections, which stay open."""
        for _ in range(count):
            self.open(1, head)
            self.answer(self.sockets[-1], end)

    @staticmethod
    def answer(one, end):
        got = b""
        while not got.endswith(end):
            piece = one.recv(65536)
            assert piece, got
            got += piece
        return got


class Silent:
    """An origin that takes requests and answers none of them before it is told to."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections = []
        self.thread = None

    def answer(self):
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                one = self.listener.accept()[0]
                self.connections.append(one)
                one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        if self.thread:
            self.thread.join()
        for one in self.connections:
            one.close()


@pytest.fixture
def silent():
    made = Silent()
    yield made
    made.close()


# ---- what things cost ----

def warm(weir, count=2000):
    """What weir takes once and for all, such as the buffers of a ring, is touched before things are measured."""
    with Clients(weir) as clients:
        for _ in range(100):
            clients.ask(1, b"GET /warm HTTP/1.1\r\nHost: a.test\r\n\r\n")
        for at in range(count - 100):
            one = clients.sockets[at % 100]
            one.sendall(b"GET /warm HTTP/1.1\r\nHost: a.test\r\n\r\n")
            clients.answer(one, b"hi")


@counted
def test_idle_connection_costs_half_a_kilobyte(lab):
    weir = lab.weir({"routes": HELLO})
    with Clients(weir) as clients:
        warm(weir)
        clients.ask(100)
        before = rss(weir)
        clients.ask(4000)
        wait_until(lambda: weir.metric("weir_in_flight_requests") == 0, "all are idle")
        assert (rss(weir) - before) / 4000 <= 0.5 * KIB


@counted
def test_slow_sender_costs_what_it_has_sent(lab):
    weir = lab.weir({"routes": HELLO, "limits": {"header_timeout": "1m"}})
    with Clients(weir) as clients:
        warm(weir)
        clients.ask(100)
        before = rss(weir)
        clients.open(2000, HEAD[:400])
        wait_until(lambda: weir.metric("weir_worker_connections") >= 2100, "all have come")
        assert (rss(weir) - before) / 2000 <= 1.5 * KIB


@counted
@pytest.mark.parametrize("head", [b"GET /1k HTTP/1.1\r\nHost: a.test\r\n\r\n", HEAD], ids=["small", "browser"])
def test_request_in_flight_costs_8_kilobytes_and_gives_them_back(lab, silent, head):
    count = 1000
    config = proxy(silent.url, pool={"max_connections": 2000, "max_idle": 10}, timeout="2m", deadline="2m")
    config["routes"].append({"match": {"path": "/warm"}, "respond": {"body": "hi"}})
    weir = lab.weir(config)
    with Clients(weir) as clients:
        warm(weir)
        before = rss(weir)
        clients.open(count, head)
        weir.wait_metric(count, "weir_in_flight_requests")
        assert (rss(weir) - before) / count <= 8 * KIB
        assert rss(weir) <= 30 * KIB * KIB
        peak = rss(weir)
        silent.answer()
        for one in clients.sockets:
            clients.answer(one, b"hi")
        weir.wait_metric(0, "weir_in_flight_requests")
        wait_until(lambda: rss(weir) - before <= (peak - before) / 2, "the stacks of the burst are given back")


# ---- no malloc in steady state ----

STEADY = {
    "get": b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "browser": HEAD,
    "long_head": b"GET /a HTTP/1.1\r\nHost: a.test\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n",
    "small_body": b"POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 300\r\n\r\n" + b"b" * 300,
    "large_body": b"POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 50000\r\n\r\n" + b"b" * 50000,
    "chunked_body": b"POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"5\r\nhello\r\n" + b"1000\r\n" + b"c" * 4096 + b"\r\n0\r\n\r\n",
}


@counted
@pytest.mark.parametrize("request_bytes", STEADY.values(), ids=STEADY.keys())
def test_steady_requests_allocate_nothing(lab, request_bytes):
    """The counters of the allocator, for a hundred requests on kept connections: the scrapes' own are not counted."""
    weir = lab.weir(proxy(lab.origin(lambda request, peer: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")))
    grown, unloaded = allocations_of_a_hundred(weir, request_bytes, b"hi")
    assert sum(grown.values()) - sum(unloaded.values()) <= 5, (grown, unloaded)


CALL = {"upstream": "origin", "path": "/a", "need": "strong"}
COMPOSED = {
    "merge": {"calls": {name: CALL for name in "abcd"}, "response": {"a": "$a", "b": "$b.items", "c": "$c.name", "d": "$d"}},
    "dependent": {"calls": {"a": CALL, "b": {**CALL, "path": "/{a.name}"}}, "response": {"b": "$b.items[0]", "text": "{a.name} of {b.name}"}},
    "each": {"calls": {"a": CALL, "b": {**CALL, "path": "/{i.n}", "each": {"in": "$a.items", "as": "i", "max": 3}}},
             "response": {"$each": "$b", "$as": "x", "$do": {"name": "$x.name"}}},
}


@counted
@pytest.mark.parametrize("aggregate", COMPOSED.values(), ids=COMPOSED.keys())
def test_steady_aggregates_allocate_nothing(lab, aggregate):
    answer = json.dumps({"name": "x", "items": [{"n": n, "text": "t" * 30} for n in range(50)]}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
    config = proxy(lab.origin(lambda request, peer: head + answer))
    config["routes"] = [{"match": "/*", "aggregate": aggregate}]
    weir = lab.weir(config)
    grown, unloaded = allocations_of_a_hundred(weir, STEADY["get"], weir.get("/a").body)
    assert sum(grown.values()) - sum(unloaded.values()) <= 5, (grown, unloaded)


def allocations_of_a_hundred(weir, request_bytes, answer):
    """By subsystem: what the allocator counts for a hundred requests on kept connections, and for the scrapes alone."""
    def allocations():
        metrics = weir.metrics()
        return {name: metrics.sum("weir_allocations_total", subsystem=name)
                for name in ("base", "runtime", "http", "upstream", "connections", "requests", "gateway")}

    with Clients(weir) as clients:
        clients.open(4)

        def some(count):
            for at in range(count):
                one = clients.sockets[at % 4]
                one.sendall(request_bytes)
                clients.answer(one, answer)

        some(100)
        allocations()
        before = allocations()
        unloaded = {name: value - before[name] for name, value in allocations().items()}
        before = allocations()
        some(100)
        return {name: value - before[name] for name, value in allocations().items()}, unloaded


# ---- memory pressure (R17) ----

PART = b"GET / HTTP/1.1\r\nHost: weir.test\r\nX-Long: "
TIGHT = {"header_timeout": "1h", "max_header_bytes": "48KiB"}


def take_in_20_mb(weir, clients):
    """Parts of heads, which weir keeps, in blocks of a power of two."""
    clients.open(500, PART + b"x" * 40000)
    wait_until(lambda: weir.metric("weir_memory_bytes", subsystem="requests") >= 500 * 65536, "all have been taken in")
    assert rss(weir) > 18 * KIB * KIB


def squeeze(weir, share):
    """A limit of which what is resident now is that share."""
    limit = int(rss(weir) / share)
    assert weir.reload({"routes": HELLO, "limits": {**TIGHT, "max_memory": f"{limit}B"}}).status == 200
    return limit


def test_R17_sheds_at_90_percent_stops_accepting_at_95_and_comes_back(lab):
    weir = lab.weir({"routes": HELLO, "limits": TIGHT})
    with weir.connect() as kept, Clients(weir) as fill:
        assert kept.exchange("GET", "/").status == 200
        take_in_20_mb(weir, fill)

        limit = squeeze(weir, 0.92)
        weir.wait_log("new requests get 503")
        weir.wait_metric(limit, "weir_memory_limit_bytes")
        assert 0.9 <= weir.metric("weir_overload_pressure", resource="memory") < 0.95
        with weir.refuses("overloaded", 3):
            for _ in range(2):  # the connection goes on
                refused = kept.exchange("GET", "/")
                assert (refused.status, refused.header("retry-after")) == (503, "1")
                assert refused.json()["code"] == "overloaded"
            with weir.connect() as slow:  # a part of a head is not kept
                slow.send(PART)
                assert b" 503 " in slow.rest()
        assert weir.admin("GET", "/readyz").status == 200

        squeeze(weir, 0.97)
        weir.wait_log("nothing is accepted any more")
        held = Clients(weir)
        held.open(20, b"GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n")
        assert kept.exchange("GET", "/").status == 503  # what is open goes on
        assert weir.admin("GET", "/livez").status == 200
        assert weir.metric("weir_worker_connections") < 510  # 20 more wait in the backlog

        fill.close()
        if SANITIZED:  # keeps what was freed
            weir.reload({"routes": HELLO, "limits": TIGHT})
        weir.wait_log("memory suffices again")
        for one in held.sockets:  # accepted when it was less short already, or suffices
            assert one.recv(65536).startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 503 "))
        held.close()
        assert kept.exchange("GET", "/").status == 200


def test_R17_idle_connections_to_upstreams_are_given_back_first(lab):
    origin = lab.origin()
    config = proxy(origin)
    weir = lab.weir({**config, "limits": TIGHT})
    assert weir.get("/x").status == 200
    assert weir.metric("weir_upstream_connections", upstream="origin") == 1
    with Clients(weir) as fill:
        take_in_20_mb(weir, fill)
        limit = int(rss(weir) / 0.87)
        assert weir.reload({**config, "limits": {**TIGHT, "max_memory": f"{limit}B"}}).status == 200
        weir.wait_log("what is kept for later is given back")
        weir.wait_metric(0, "weir_upstream_connections", upstream="origin")
        assert weir.get("/x").status == 200
        weir.reload({**config, "limits": TIGHT})
        weir.wait_log("memory suffices again")


def cgroup(limit):
    """A cgroup of the test's own with that limit of memory: (directory, name of its file of processes)."""
    for top, knob in (("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
        if not os.path.exists(f"{top}/cgroup.procs"):
            continue
        directory = f"{top}/weir-test-{os.getpid()}"
        with contextlib.suppress(OSError):
            os.mkdir(directory)
            try:
                with open(f"{directory}/{knob}", "r+", encoding="ascii") as f:
                    f.write(str(limit))
                return directory
            except OSError:
                os.rmdir(directory)
    pytest.skip("no cgroup with a limit of memory can be made here")


@counted
def test_R17_is_not_killed_in_a_cgroup_that_is_too_small(lab):
    directory = cgroup(64 * KIB * KIB)

    def enter():
        with open(f"{directory}/cgroup.procs", "w", encoding="ascii") as f:
            f.write(str(os.getpid()))

    try:
        weir = lab.weir({"routes": HELLO, "limits": {**TIGHT, "max_header_bytes": "16KiB"}}, preexec_fn=enter)
        weir.wait_metric(64 * KIB * KIB, "weir_memory_limit_bytes")
        with Clients(weir) as fill:
            for _ in range(6000):  # 96 MiB
                fill.open(1)
                with contextlib.suppress(ConnectionError):
                    fill.sockets[-1].sendall(PART + b"x" * 16000)
            weir.wait_log("memory is short")
            assert weir.metric("weir_refusals_total", code="overloaded") > 0 or weir.metric("weir_worker_connections") < 6000
        wait_until(lambda: weir.get("/").status == 200, "it serves again")
        weir.finish()
    finally:
        os.rmdir(directory)
