"""Endpoints that are found: in files, in the DNS, in a real ZooKeeper (U07, A10)."""
import json
import os
import socket
import struct
import threading
import time

import pytest

import zookeeper
from test_upstream_faults import background, problem
from wire import wait_until


def discovering(**discover):
    return {"upstreams": {"origin": {"discover": discover}}, "routes": [{"match": {"path": "/*"}, "proxy": "origin"}]}


def endpoints(weir):
    return weir.metric("weir_upstream_endpoints", upstream="origin")


def serving(weir, *origins):
    """Sends requests until each of these origins, and no other, has answered."""
    def seen():
        before = [len(o.requests) for o in origins]
        for _ in range(2 * len(origins)):
            assert weir.get().status == 200
        return all(len(o.requests) > b for o, b in zip(origins, before))
    wait_until(seen, "all of them serve")


# ---- files ----

def put(path, content):
    """As editors and configuration tools do it: a new file takes the place of the old one."""
    new = f"{path}.new"
    with open(new, "w", encoding="utf-8") as f:
        f.write(content)
    os.rename(new, path)


def test_file(lab, tmp_path):
    a, b = lab.origin(), lab.origin()
    path = str(tmp_path / "endpoints.yaml")
    put(path, f"- {a.url}\n")
    weir = lab.weir(discovering(file=path))
    assert weir.get().status == 200  # the start waits for the first answer
    put(path, f"endpoints:\n  - url: {a.url}\n    weight: 1\n  - {b.url}\n")
    wait_until(lambda: endpoints(weir) == 2, "the second one is found")
    serving(weir, a, b)
    put(path, json.dumps([b.url]))
    wait_until(lambda: endpoints(weir) == 1, "the first one is gone")
    seen = len(a.requests)
    serving(weir, b)
    assert len(a.requests) == seen
    weir.wait_log(f"has 1 endpoints now: {b.url}")


def test_U07_a_file_that_says_nothing_good(lab, tmp_path):
    """Garbage, an empty list, and no file at all: what was good last stays, and it is said."""
    origin = lab.origin()
    path = str(tmp_path / "endpoints.yaml")
    put(path, f"- {origin.url}\n")
    weir = lab.weir(discovering(file=path))
    bad = ["- http://\n", "a: [", "- 7\n- {}\n", "[]", "", "endpoints: x", "- ${HOME}\n", "\x01"]
    for n, content in enumerate(bad):
        put(path, content)
        wait_until(lambda n=n: weir.metric("weir_discovery_updates_total", result="failed") +
                   weir.metric("weir_discovery_updates_total", result="empty") > n, f"it was read: {content!r}")
        assert weir.get().status == 200
    failed = weir.metric("weir_discovery_updates_total", result="failed")
    os.unlink(path)
    wait_until(lambda: weir.metric("weir_discovery_updates_total", result="failed") > failed, "it was looked for in vain")
    assert weir.metric("weir_discovery_up", upstream="origin") == 0
    assert weir.get().status == 200
    weir.wait_log("keeps its 1 endpoints")
    other = lab.origin()
    put(path, f"- {other.url}\n")
    wait_until(lambda: weir.get() and other.requests, "the new one is used")
    assert weir.metric("weir_discovery_up", upstream="origin") == 1


def test_an_empty_list_where_it_is_allowed(lab, tmp_path):
    origin = lab.origin()
    path = str(tmp_path / "endpoints.yaml")
    put(path, f"- {origin.url}\n")
    weir = lab.weir(discovering(file=path, allow_empty=True))
    assert weir.get().status == 200
    put(path, "[]")
    wait_until(lambda: weir.get().status == 503, "nobody is left")
    problem(weir.get(), 503, "no_endpoint")
    put(path, f"- {origin.url}\n")
    wait_until(lambda: weir.get().status == 200, "it is back")


def test_a_symbolic_link_that_turns(lab, tmp_path):
    """As Kubernetes changes a ConfigMap."""
    a, b = lab.origin(), lab.origin()
    for name, origin in (("one", a), ("two", b)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "endpoints").write_text(f"- {origin.url}\n")
    os.symlink("one", tmp_path / "data")
    weir = lab.weir(discovering(file=str(tmp_path / "data" / "endpoints")))
    assert weir.get().status == 200 and a.requests
    os.symlink("two", tmp_path / "new")
    os.rename(tmp_path / "new", tmp_path / "data")
    wait_until(lambda: weir.get() and b.requests, "the other one is read")


def test_reload_between_named_and_found(lab, tmp_path):
    a, b = lab.origin(), lab.origin()
    path = str(tmp_path / "endpoints.yaml")
    put(path, f"- {a.url}\n")
    named = {"upstreams": {"origin": {"endpoints": [b.url]}}, "routes": [{"match": {"path": "/*"}, "proxy": "origin"}]}
    weir = lab.weir(named)
    assert weir.get().status == 200 and b.requests
    assert weir.reload(discovering(file=path)).status == 200
    wait_until(lambda: weir.get() and a.requests, "what was found is used")
    assert weir.reload(named).status == 200
    seen = len(a.requests)
    serving(weir, b)
    time.sleep(1.2)  # a fiber that still looked would have found it again
    serving(weir, b)
    assert len(a.requests) == seen


# ---- DNS ----

class Dns:
    """Answers from a table: (name, type) -> (ttl, [data]); None is "no such name"."""
    TYPES = {1: "A", 28: "AAAA", 33: "SRV"}

    def __init__(self):
        self.table = {}
        self.raw = None  # answers with these bytes behind the id
        self.silent = False
        self.asked = 0
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.sock.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    @staticmethod
    def name(text):
        return b"".join(bytes([len(p)]) + p.encode() for p in text.rstrip(".").split(".") if p) + b"\0"

    def run(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            self.asked += 1
            if not self.silent:
                self.sock.sendto(query[:2] + (self.raw or self.answer(query)), peer)

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        question = query[12:at + 5]
        kind = self.TYPES.get(struct.unpack(">H", query[at + 1:at + 3])[0])
        name = ".".join(labels).lower()
        if not any(n == name for n, _ in self.table):
            return b"\x81\x83" + struct.pack(">HHHH", 1, 0, 0, 0) + question
        ttl, data = self.table.get((name, kind), (0, []))
        records = b"".join(b"\xc0\x0c" + question[-4:] + struct.pack(">IH", ttl, len(d)) + d for d in data)
        return b"\x81\x80" + struct.pack(">HHHH", 1, len(data), 0, 0) + question + records

    def a(self, name, *addresses, ttl=0):
        self.table[name, "A"] = (ttl, [socket.inet_aton(a) for a in addresses])

    def srv(self, name, *services, ttl=0):
        self.table[name, "SRV"] = (ttl, [struct.pack(">HHH", p, w, port) + self.name(host) for p, w, port, host in services])

    def close(self):
        self.sock.close()


@pytest.fixture
def dns():
    server = Dns()
    yield server
    server.close()




def test_dns_addresses(lab, dns):
    """All addresses are endpoints; they follow the TTL."""
    origin = lab.origin()
    dns.a("orders.test", "127.0.0.1")
    weir = lab.weir(discovering(dns={"name": "orders.test", "port": origin.port, "servers": [dns.address], "min_ttl": "200ms"}))
    assert weir.get().status == 200 and len(origin.requests) == 1
    dns.a("orders.test", *[f"127.0.1.{n}" for n in range(1, 25)], "127.0.0.1")  # in one UDP answer
    wait_until(lambda: endpoints(weir) == 25, "all of them")
    wait_until(lambda: weir.get().status == 200, "the one that is there is used")
    dns.a("orders.test", "127.0.0.1", ttl=3600)
    wait_until(lambda: endpoints(weir) == 1, "one again")
    asked = dns.asked
    time.sleep(1)
    assert dns.asked <= asked + 2, "the TTL is kept to"


def test_dns_services(lab, dns):
    """SRV: the hosts of the lowest priority, at ports of their own."""
    a, b, backup = lab.origin(), lab.origin(), lab.origin()
    for host in ("a.test", "b.test", "c.test"):
        dns.a(host, "127.0.0.1")
    dns.srv("_http._tcp.orders.test", (1, 10, a.port, "a.test"), (1, 10, b.port, "b.test"), (2, 1, backup.port, "c.test"))
    weir = lab.weir(discovering(dns={"name": "_http._tcp.orders.test", "records": "srv", "servers": [dns.address],
                                     "min_ttl": "200ms"}))
    serving(weir, a, b)
    dns.srv("_http._tcp.orders.test", (2, 1, backup.port, "c.test"))
    wait_until(lambda: endpoints(weir) == 1, "only the backup is left")
    serving(weir, backup)


def test_A10_an_answer_without_addresses(lab, dns):
    """No such name, an empty answer, garbage, silence: the last good addresses stay."""
    origin = lab.origin()
    dns.a("orders.test", "127.0.0.1")
    weir = lab.weir(discovering(dns={"name": "orders.test", "port": origin.port, "servers": [dns.address], "min_ttl": "200ms"}))
    assert weir.get().status == 200

    def bad(what):
        asked = dns.asked
        wait_until(lambda: weir.metric("weir_discovery_up", upstream="origin") == 0, what)
        wait_until(lambda: dns.asked > asked, "it goes on asking")
        assert weir.get().status == 200 and endpoints(weir) == 1

    def good():
        dns.raw, dns.silent = None, False
        dns.a("orders.test", "127.0.0.1")
        wait_until(lambda: weir.metric("weir_discovery_up", upstream="origin") == 1, "it is well again")

    dns.a("orders.test")
    bad("the empty answer is seen")
    good()
    dns.table.clear()
    bad("the name has gone")
    good()
    for raw in (b"\x81\x80" + b"\xff" * 300, b"\x81\x80\0\1\0\1\0\0\0\0\xc0\x0c"):
        dns.raw = raw
        bad("garbage is seen")
        good()


def test_dns_that_does_not_answer_holds_up_nobody(lab, dns):
    """U16: a start waits a second at most, other upstreams serve, and the loop is never held."""
    dns.silent = True
    origin = lab.origin()
    config = discovering(dns={"name": "orders.test", "port": origin.port, "servers": [dns.address]})
    config["upstreams"]["other"] = {"endpoints": [origin.url]}
    config["routes"].insert(0, {"match": {"path": "/other"}, "proxy": "other"})
    weir = lab.weir(config)
    for _ in range(20):
        assert weir.get("/other").status == 200
    problem(weir.get(), 503, "no_endpoint")
    dns.a("orders.test", "127.0.0.1")
    dns.silent = False
    wait_until(lambda: weir.get().status == 200, "it has answered")


# ---- ZooKeeper ----

needs_zookeeper = pytest.mark.skipif(not zookeeper.available(), reason="no ZooKeeper, or no python3-kazoo")


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    server = zookeeper.ZooKeeper(str(tmp_path_factory.mktemp("zookeeper"))).start()
    server.connect()
    yield server
    server.stop()


@pytest.fixture
def services(registry):
    """A fresh path."""
    path = f"/services/{os.urandom(4).hex()}"
    registry.client.ensure_path(path)
    return path


def found(registry, path, **more):
    return discovering(zookeeper={"hosts": [registry.address], "path": path, "session_timeout": "4s"}, **more)


@needs_zookeeper
def test_zookeeper(lab, registry, services):
    """Nodes come, change and go: seen within a second."""
    a, b = lab.origin(), lab.origin()
    zk = registry.client
    zk.create(f"{services}/a", f"127.0.0.1:{a.port}".encode(), ephemeral=True)
    weir = lab.weir(found(registry, services))
    assert weir.get().status == 200
    began = time.monotonic()
    zk.create(f"{services}/b", json.dumps({"address": "127.0.0.1", "port": b.port, "weight": 2, "name": "orders"}).encode())
    wait_until(lambda: endpoints(weir) == 2, "the second one is found")
    assert time.monotonic() - began < 5, "a watch, not a poll"
    serving(weir, a, b)
    zk.delete(f"{services}/a")
    wait_until(lambda: endpoints(weir) == 1, "the first one is gone")
    zk.set(f"{services}/b", f"127.0.0.1:{a.port}".encode())
    wait_until(lambda: weir.get() and endpoints(weir) == 1 and weir.metric(
        "weir_endpoint_requests_total", endpoint=f"http://127.0.0.1:{a.port}") > 0, "its new data is used")


@needs_zookeeper
def test_U07_garbage_in_zookeeper(lab, registry, services):
    """What is no endpoint is left out; where nothing else is there, the last good ones stay, as with an empty list."""
    origin, zk = lab.origin(), registry.client
    zk.create(f"{services}/good", f"127.0.0.1:{origin.port}".encode())
    weir = lab.weir(found(registry, services))
    assert weir.get().status == 200
    for n, data in enumerate([b"", b"garbage", b"{", b'{"port": 1}', b'{"address": "a b", "port": 80}', b"127.0.0.1:99999",
                              b"\xff\xfe\0", b'{"address": "${HOME}", "port": 80}', b"{" * 5000, b"x" * 100000]):
        zk.create(f"{services}/bad{n}", data)
    weir.wait_log("are no endpoints, and are left out")
    wait_until(lambda: any("10 of the 11" in line.get("msg", "") for line in weir.log()), "all of them were seen")
    assert weir.get().status == 200 and endpoints(weir) == 1
    zk.delete(f"{services}/good")
    wait_until(lambda: weir.metric("weir_discovery_up", upstream="origin") == 0, "it is noticed")
    assert weir.get().status == 200 and endpoints(weir) == 1
    for n in range(10):
        zk.delete(f"{services}/bad{n}")
    wait_until(lambda: weir.metric("weir_discovery_updates_total", result="empty") >= 1, "so is the empty list")
    assert weir.get().status == 200 and endpoints(weir) == 1
    zk.delete(services)
    assert weir.get().status == 200
    zk.create(services)
    second = lab.origin()
    zk.create(f"{services}/new", f"127.0.0.1:{second.port}".encode())
    wait_until(lambda: weir.get() and second.requests, "a new one is used, in a node that was made anew")


@needs_zookeeper
def test_U07_zookeeper_is_killed_and_comes_back(lab, tmp_path):
    server = zookeeper.ZooKeeper(str(tmp_path)).start()
    try:
        zk = server.connect()
        a, b = lab.origin(), lab.origin()
        zk.create("/services", b"")
        zk.create("/services/a", f"127.0.0.1:{a.port}".encode())
        weir = lab.weir(found(server, "/services"))
        assert weir.get().status == 200
        server.kill()
        wait_until(lambda: weir.metric("weir_discovery_up", upstream="origin") == 0, "the loss is noticed")
        for _ in range(10):
            assert weir.get().status == 200
        server.start()
        zk = server.connect()
        zk.create("/services/b", f"127.0.0.1:{b.port}".encode())
        wait_until(lambda: endpoints(weir) == 2, "it is connected again, and looks")
        serving(weir, a, b)
        assert weir.metric("weir_discovery_up", upstream="origin") == 1
        # a session that expires: the server is frozen, and forgets weir when it goes on
        server.freeze()
        wait_until(lambda: weir.metric("weir_discovery_up", upstream="origin") == 0, "the silence is noticed")
        time.sleep(5)  # the session's timeout
        server.thaw()
        server.connect().delete("/services/a")
        wait_until(lambda: endpoints(weir) == 1, "a new session has new watches")
        serving(weir, b)
    finally:
        server.stop()


@needs_zookeeper
def test_zookeeper_that_is_not_there(lab):
    """The start does not fail, and what is served elsewhere is."""
    origin = lab.origin()
    config = discovering(zookeeper={"hosts": ["127.0.0.1:1"], "path": "/services"})
    config["upstreams"]["other"] = {"endpoints": [origin.url]}
    config["routes"].insert(0, {"match": {"path": "/other"}, "proxy": "other"})
    weir = lab.weir(config)
    assert weir.get("/other").status == 200
    problem(weir.get(), 503, "no_endpoint")
