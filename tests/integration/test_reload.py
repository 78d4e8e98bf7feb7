"""HUP and POST /-/reload: a new config without a lost request; a bad one changes nothing and says why."""
import os
import random
import signal
import socket
import threading

import pytest

from harness import free_port, proxy, run_weir
from origin import echo
from test_upstream_faults import background
from wire import Conn, wait_until


def responding(*bodies, **more):
    """A config with a route for each: /NAME answers NAME."""
    return {**more, "routes": [{"match": {"path": f"/{b}"}, "respond": {"body": b}} for b in bodies]}


def test_a_new_route_serves(lab):
    weir = lab.weir(responding("a"))
    assert weir.get("/b").status == 404
    response = weir.reload(responding("a", "b"))
    assert response.status == 200, response
    assert weir.get("/b").body == b"b"
    assert weir.reload(responding("b")).status == 200
    assert weir.get("/a").status == 404


def test_hup(lab):
    weir = lab.weir(responding("a"))
    weir.write(responding("a", "b"))
    weir.signal(signal.SIGHUP)
    wait_until(lambda: weir.get("/b").status == 200, "the new route serves")


def test_weir_reload(lab):
    weir = lab.weir(responding("a"))
    weir.write(responding("a", "b"))
    done = run_weir("reload", "-c", weir.config_file)
    assert done.returncode == 0, done.stderr
    assert weir.get("/b").status == 200
    weir.write(BAD)
    done = run_weir("reload", "-c", weir.config_file, "--admin", f"127.0.0.1:{weir.admin_port}")
    assert done.returncode == 1
    assert "nowhere" in done.stderr and "statsu" in done.stderr
    assert weir.get("/b").status == 200


def differing(url, other):
    """Two configs that differ in one thing of each kind."""
    first = {"trusted_proxies": ["10.0.0.0/8"], "use": [],
             "upstreams": {"o": {"endpoints": [url, other], "timeout": "5s"}, "gone": {"endpoints": [url]}},
             "middleware": {"h": {"headers": {"response": {"set": {"X-A": "1", "X-B": "2"}}}}},
             "routes": [{"match": {"path": "/a/*"}, "proxy": "o", "deadline": "3s", "use": ["h"]},
                        {"match": {"path": "/b"}, "respond": {"status": 204}},
                        {"match": {"path": "/c"}, "respond": {"json": {"a": [1, 2]}}}]}
    second = {"trusted_proxies": ["10.0.0.0/8", "192.0.2.0/24"], "use": [],
              "upstreams": {"o": {"endpoints": [{"url": url, "weight": 3}], "timeout": "6s", "health_check": {"path": "/h"}}},
              "middleware": {"h": {"headers": {"response": {"set": {"X-A": "3", "X-B": "2"}}}}},
              "routes": [{"match": {"path": "/a/*"}, "proxy": {"upstream": "o", "strip_prefix": "/a"}, "deadline": "4s", "use": ["h"]},
                         {"match": {"path": "/b"}, "proxy": "o"},
                         {"match": {"path": "/c"}, "respond": {"json": {"a": [1, 3]}}},
                         {"match": {"path": "/d"}, "respond": {"status": 204}}]}
    return first, second, {
        "+ trusted_proxies[192.0.2.0/24]", "- upstreams.gone", f"- upstreams.o.endpoints[{other}]",
        f"~ upstreams.o.endpoints[{url}].weight: 1 -> 3", "~ upstreams.o.timeout: 5s -> 6s", "+ upstreams.o.health_check",
        "~ middleware.h.headers.response.set.X-A: 1 -> 3", "~ routes[/a/*].deadline: 3s -> 4s",
        "+ routes[/a/*].proxy.strip_prefix: /a", "~ routes[/b].handler: respond -> proxy",
        '~ routes[/c].respond.json: {"a": [1, 2]} -> {"a": [1, 3]}', "+ routes[/d]"}


def test_a_reload_prints_what_it_changed(lab):
    first, second, differences = differing("http://127.0.0.1:1", "http://127.0.0.1:2")
    weir = lab.weir(first)
    weir.write(second)
    done = run_weir("reload", "-c", weir.config_file)
    head, *lines = done.stdout.splitlines()
    assert head == "reloaded: generation 2" and {line.strip() for line in lines} == differences, done.stdout
    told = weir.reload().json()
    assert told["generation"] == 3 and told["changes"] == [] and told["upstreams"]["changed"] == []
    told = weir.reload(first).json()
    assert len(told["changes"]) == len(differences)
    assert told["upstreams"] == {"added": ["gone"], "removed": [], "changed": ["o"]}
    assert {"option": "upstreams.o.timeout", "change": "changed", "from": "6s", "to": "5s"} in told["changes"]
    assert {"option": "routes[/d]", "change": "removed", "from": None, "to": None} in told["changes"]
    weir.write(second)
    weir.signal(signal.SIGHUP)
    weir.wait_log("reloaded: ~ upstreams.o.timeout: 5s -> 6s")


def test_a_reload_that_changes_very_much_says_how_much_it_left_off(lab):
    weir = lab.weir(responding("a"))
    told = weir.reload(responding(*(f"r{n}" for n in range(300)))).json()
    assert len(told["changes"]) == 200 and told["changes_left_off"] == 101


def test_endpoints_live_on_across_a_reload(lab):
    """What did not change keeps its connections, whatever else of its upstream changed; what went away drains."""
    stays, goes, comes = lab.origin(), lab.origin(), lab.origin()
    weir = lab.weir({**proxy(stays, goes), "workers": 1})
    for _ in range(4):
        assert weir.get().status == 200
    assert (len(stays.peers), len(goes.peers)) == (1, 1)
    assert weir.reload({**proxy(comes, stays, timeout="7s", pool={"max_idle": 3}), "workers": 1}).status == 200
    wait_until(lambda: weir.metric("weir_upstream_connections", upstream="origin") == 1, "the one that went is closed")
    for _ in range(4):
        assert weir.get().status == 200
    assert (len(stays.peers), len(goes.requests), len(comes.requests)) == (1, 2, 2)
    assert weir.metric("weir_endpoint_requests_total", endpoint=stays.url) == 4


def test_an_endpoint_that_goes_may_finish(lab):
    release = threading.Event()
    goes = lab.origin(lambda request, peer: peer.wait(release) and echo(request, peer))
    comes = lab.origin()
    weir = lab.weir({**proxy(goes), "workers": 2})
    held = background(weir.get)
    wait_until(lambda: len(goes.requests) == 1, "a request is at the origin")
    assert weir.reload({**proxy(comes), "workers": 2}).status == 200
    assert weir.get().status == 200 and len(comes.requests) == 1
    release.set()
    assert held().status == 200
    wait_until(lambda: weir.metric("weir_upstream_connections", upstream="origin") == 1, "its connection is closed")
    assert weir.reload({**proxy(goes, comes), "workers": 2}).status == 200
    for _ in range(4):
        assert weir.get().status == 200
    assert len(goes.requests) == 3


def test_reload_changes_limits_of_a_pool(lab):
    """Permits that are taken count on: fewer are given out at once, more at once."""
    release = threading.Event()
    origin = lab.origin(lambda request, peer: peer.wait(release) and echo(request, peer))
    weir = lab.weir(proxy(origin, max_in_flight=1, max_pending=0))
    held = [background(weir.get)]
    wait_until(lambda: len(origin.requests) == 1, "a request is at the origin")
    assert weir.get().status == 503
    assert weir.reload(proxy(origin, max_in_flight=2, max_pending=0)).status == 200
    held.append(background(weir.get))
    wait_until(lambda: len(origin.requests) == 2, "there is room for another")
    assert weir.reload(proxy(origin, max_in_flight=1, max_pending=0)).status == 200
    assert weir.get().status == 503
    release.set()
    assert [result().status for result in held] == [200, 200]
    wait_until(lambda: weir.get().status == 200, "the room is used again")
    assert weir.metric("weir_bulkhead_in_flight", upstream="origin") == 0


def test_reload_tells_the_difference(lab):
    weir = lab.weir(responding("a"))
    told = weir.reload(responding("a", "b"))
    assert told.status == 200 and told.header("content-type") == "application/json"
    assert "/b" in told.body.decode()


def test_every_worker_serves_the_new_config_when_the_answer_is_there(lab):
    weir = lab.weir(responding("a", workers=4))
    conns = [weir.connect() for _ in range(12)]
    for i in range(10):
        name = f"x{i}"
        assert weir.reload(responding("a", name, workers=4)).status == 200
        for conn in conns:
            assert conn.exchange("GET", f"/{name}").status == 200


BAD = {"routes": [{"match": {"path": "/a"}, "respond": {"statsu": 200}},
                  {"match": {"path": "/b"}, "proxy": {"upstream": "nowhere"}}]}


def test_a_bad_config_is_refused_with_all_errors(lab):
    weir = lab.weir(responding("a"))
    response = weir.reload(BAD)
    assert response.status == 422
    assert response.header("content-type") == "application/problem+json"
    problem = response.json()
    assert problem["status"] == 422
    errors = problem["errors"]
    assert len(errors) == 2
    text = str(errors)
    assert "statsu" in text and "status" in text and "nowhere" in text and "line" in text
    assert weir.get("/a").body == b"a"
    assert weir.get("/b").status == 404
    assert weir.reload(responding("b")).status == 200, "a good config after a bad one"
    assert weir.get("/b").body == b"b"


def test_a_bad_config_on_hup_is_told_in_the_log(lab):
    weir = lab.weir(responding("a"))
    weir.write(BAD)
    weir.signal(signal.SIGHUP)
    wait_until(lambda: "nowhere" in weir.stderr(), "the log says what is wrong")
    assert weir.get("/a").body == b"a"


@pytest.mark.parametrize("damage", ["", "{", "version: 1\n", "\0\1\2", "- a\n"])
def test_a_damaged_file_is_refused(lab, damage):
    weir = lab.weir(responding("a"))
    with open(weir.config_file, "w", encoding="utf-8") as f:
        f.write(damage)
    response = weir.reload()
    assert response.status == 422, response
    assert weir.get("/a").body == b"a"


def spoiled(good, seed):
    """Configs that are cut off, too large, too deep, or changed in one place."""
    rng = random.Random(seed)
    for at in sorted(rng.sample(range(1, len(good) - 1), 60)):
        yield good[:at]
    for _ in range(60):
        at = rng.randrange(len(good))
        yield good[:at] + rng.choice([b"\0", b"\xff", b"{", "\u0085".encode(), b"\t", b": :", b"&a *a", b"!!"]) + good[at:]
    yield good + b"#" * (4 << 20)
    yield good + b"x: " + b"[" * 100000 + b"]" * 100000 + b"\n"
    yield good + b"".join(b"k%d: 1\n" % i for i in range(200000))
    yield good + b"routes:\n" + b"  - {match: {path: /x}, respond: {}}\n" * 70000
    yield good.replace(b"/a", b"/" + b"a" * 100000)
    yield good.replace(b"version: 1", b"version: " + b"9" * 100000)


def test_U08_bad_configs_are_refused_and_the_old_one_serves(lab):
    """Cut off, oversized, nested, spoiled in one place: each is an error or a config as it stands, none ends the process,
    and what was in force stays."""
    weir = lab.weir(responding("a"))
    weir.write(responding("a"))
    with open(weir.config_file, "rb") as f:
        good = f.read()
    refused = 0
    with weir.connect() as conn:
        for bad in spoiled(good, 7):
            with open(weir.config_file, "wb") as f:
                f.write(bad)
            response = weir.reload()
            assert response.status in (200, 422), response
            if response.status == 422:
                refused += 1
                assert response.json()["errors"], bad[-200:]
                assert conn.exchange("GET", "/a").body == b"a"
            else:  # harmless after all; the good one is put back
                with open(weir.config_file, "wb") as f:
                    f.write(good)
                assert weir.reload().status == 200
            if conn.ended:
                break
    assert refused >= 100
    with open(weir.config_file, "wb") as f:
        f.write(good)
    assert weir.reload().status == 200
    assert weir.get("/a").body == b"a"


@pytest.mark.parametrize("kind", ["oversized", "endless"])
def test_U08_a_config_without_end_is_not_read_to_it(lab, kind):
    """The size is bounded before anything is parsed, whatever the path leads to."""
    weir = lab.weir(responding("a"))
    os.unlink(weir.config_file)
    if kind == "endless":
        os.symlink("/dev/zero", weir.config_file)
    else:
        with open(weir.config_file, "wb") as f:
            f.truncate(10 << 30)  # sparse
    response = weir.reload()
    assert response.status == 422 and response.json()["errors"]
    assert weir.get("/a").body == b"a"


def test_a_missing_file_is_refused(lab):
    weir = lab.weir(responding("a"))
    os.unlink(weir.config_file)
    assert weir.reload().status == 422
    assert weir.get("/a").body == b"a"


def listening(*ports, **more):
    return {**responding("a"), "listen": [f"127.0.0.1:{p}" for p in ports], **more}


def refuses_connections(port):
    try:
        Conn(("127.0.0.1", port)).close()
        return False
    except ConnectionRefusedError:
        return True


def test_listeners_come_and_go(lab):
    first, second, third = free_port(), free_port(), free_port()
    weir = lab.weir(listening(first, second))
    assert weir.reload(listening(first, third)).status == 200
    wait_until(lambda: refuses_connections(second), "the listener that was taken out is closed")
    for port in (first, third):
        with weir.connect(("127.0.0.1", port)) as conn:
            assert conn.exchange("GET", "/a").body == b"a"


def test_a_listener_that_cannot_be_opened_changes_nothing(lab):
    first = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        weir = lab.weir(listening(first))
        response = weir.reload({**listening(first, taken.getsockname()[1]), **responding("a", "b")})
        assert response.status >= 400, response
        assert "in use" in response.body.decode()
    assert weir.get("/a").body == b"a"
    assert weir.get("/b").status == 404


def test_connections_survive(lab):
    weir = lab.weir(responding("a"))
    with weir.connect() as conn:
        for i in range(20):
            assert weir.reload(responding("a", f"x{i}")).status == 200
            response = conn.exchange("GET", f"/x{i}")
            assert response.status == 200 and not response.closes


def test_upstream_connections_survive(lab):
    origin = lab.origin()
    config = {**proxy(origin), "workers": 1}
    weir = lab.weir(config)
    with weir.connect() as conn:
        for i in range(10):
            assert conn.exchange("GET", f"/{i}").status == 200
            extra = {"match": {"path": f"/extra{i}"}, "respond": {"body": "x"}}
            assert weir.reload({**config, "routes": config["routes"] + [extra]}).status == 200
    assert len(origin.peers) == 1


def test_counters_go_on(lab):
    weir = lab.weir(responding("a"))
    weir.get("/a")
    weir.reload(responding("a", "b"))
    weir.get("/a")
    weir.wait_metric(2, "http_server_request_duration_seconds_count", http_route="/a")


def test_a_request_in_flight_keeps_its_config(lab):
    """Its upstream and its route are gone when the answer comes, and it arrives all the same."""
    release = threading.Event()
    origin = lab.origin(lambda request, peer: peer.wait(release) and echo(request, peer))
    weir = lab.weir(proxy(origin, path="/held"))
    result = background(lambda: weir.get("/held"))
    wait_until(lambda: origin.requests, "the request is at the origin")
    assert weir.reload(responding("a")).status == 200
    assert weir.get("/held").status == 404
    release.set()
    assert result().json()["target"] == "/held"


class Load:
    """Clients that never stop; every answer that is not 200 is kept."""

    def __init__(self, weir, n, target="/a", keep=True):
        self.weir, self.target, self.keep = weir, target, keep
        self.stop = threading.Event()
        self.done = [0] * n
        self.failures = []
        self.threads = [threading.Thread(target=self.client, args=(i,), daemon=True) for i in range(n)]

    def client(self, number):
        try:
            conn = Conn(("127.0.0.1", self.weir.port))
            while not self.stop.is_set():
                response = conn.exchange("GET", self.target)
                if response.status != 200:
                    self.failures.append(repr(response))
                self.done[number] += 1
                if not self.keep or response.closes:
                    conn.close()
                    conn = Conn(("127.0.0.1", self.weir.port))
            conn.close()
        except Exception as e:  # whatever it is, it is the finding
            self.failures.append(repr(e))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(60)


@pytest.mark.release
@pytest.mark.parametrize("how", ["hup", "post"])
def test_no_request_fails_during_reloads(lab, how):
    """30 reloads under keep-alive clients and clients with new connections: zero failed requests."""
    origin = lab.origin()
    config = proxy(origin, path="/a")
    weir = lab.weir(config)
    with Load(weir, 6) as kept, Load(weir, 2, keep=False) as fresh:
        for i in range(30):
            extra = {"match": {"path": f"/x{i}"}, "respond": {"body": "x"}}
            changed = {**config, "routes": config["routes"] + [extra], "limits": {"max_headers": 100 + i % 2}}
            weir.write(changed)
            if how == "hup":
                weir.signal(signal.SIGHUP)
            else:
                assert weir.reload().status == 200
            wait_until(lambda: weir.get(f"/x{i}").status == 200, "the new config serves")
            before = sum(kept.done)
            wait_until(lambda: sum(kept.done) > before + 20 or kept.failures, "requests go on")
    assert kept.failures == [] and fresh.failures == []
    assert min(kept.done) > 0 and min(fresh.done) > 0


def test_bad_reloads_under_load(lab):
    weir = lab.weir(responding("a"))
    with Load(weir, 4) as load:
        for i in range(20):
            assert weir.reload(BAD if i % 2 else {"routes": f"x{i}"}).status == 422
    assert load.failures == []


def test_reloads_at_the_same_time(lab):
    weir = lab.weir(responding("a"))
    weir.write(responding("a", "b"))
    results = [background(weir.reload) for _ in range(10)]
    for result in results:
        assert result().status in (200, 409, 503)
    assert weir.get("/b").status == 200
