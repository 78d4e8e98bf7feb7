"""Active health checks: against scripted origins, and real nginx that is killed, frozen and restarted."""
import os
import signal
import threading
import time

import pytest

from harness import proxy
from origin import echo, reply
from test_upstream_faults import problem
from wire import wait_until


def checked(well):
    """An origin's answers: /health by what `well` says, echo for the rest."""
    def answer(request, peer):
        if request.target.startswith("/health"):
            return reply(200 if well.is_set() else 503)
        return echo(request, peer)
    return answer


def served(origin):
    return [r for r in origin.requests if not r.target.startswith("/health")]


def children(pid):
    """The process and its own."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [pid] + [int(child) for child in f.read().split()]


CHECK = {"path": "/health", "interval": "50ms", "timeout": "500ms", "fails": 2, "passes": 2}


def healthy(weir, origin):
    return weir.metric("weir_endpoint_healthy", endpoint=origin.url)


def test_an_endpoint_that_fails_its_check_gets_nothing(lab):
    well = [threading.Event(), threading.Event()]
    origins = [lab.origin(checked(w)) for w in well]
    well[0].set()
    well[1].set()
    weir = lab.weir({**proxy(*origins, health_check=CHECK), "workers": 2})
    wait_until(lambda: all(o.requests for o in origins), "both are checked")
    well[1].clear()
    wait_until(lambda: healthy(weir, origins[1]) == 0, "the second one is out")
    seen = len(served(origins[1]))
    for _ in range(10):
        assert weir.get().status == 200
    assert len(served(origins[1])) == seen
    assert weir.metric("weir_health_checks_total", endpoint=origins[1].url, result="fail") >= 2
    well[0].clear()
    wait_until(lambda: healthy(weir, origins[0]) == 0, "so is the first one")
    problem(weir.get(), 503, "no_endpoint")  # a failed check is never ignored
    well[1].set()
    wait_until(lambda: weir.get().status == 200, "the second one is back")
    weir.wait_log("fails its health check: its status")
    weir.wait_log("passes its health check again")


def test_the_first_check_decides(lab):
    """A start does not send to what is known to be ill."""
    ill = lab.origin(checked(threading.Event()))
    well = lab.origin()
    weir = lab.weir(proxy(ill, well, health_check={**CHECK, "fails": 1000}))
    wait_until(lambda: healthy(weir, ill) == 0, "it is out")
    for _ in range(5):
        assert weir.get().status == 200
    assert healthy(weir, well) == 1


def test_what_a_check_sends(lab):
    origin = lab.origin()
    weir = lab.weir(proxy(origin, health_check={**CHECK, "path": "/health?deep=1", "host": "orders.internal"}))
    wait_until(lambda: origin.requests, "it is checked")
    request = origin.requests[0]
    assert (request.method, request.target) == ("GET", "/health?deep=1")
    headers = {n.lower(): v for n, v in request.headers}
    assert headers["host"] == "orders.internal" and headers["user-agent"] == "weir-health-check"
    assert weir.get().status == 200


@pytest.mark.parametrize("status, passes", [(204, True), (302, True), (404, False), (500, False)])
def test_statuses(lab, status, passes):
    origin = lab.origin(lambda request, peer: reply(status))
    weir = lab.weir(proxy(origin, health_check=CHECK))
    wait_until(lambda: weir.metric("weir_health_checks_total", endpoint=origin.url,
                                   result="pass" if passes else "fail") >= 2, "it is checked")
    assert healthy(weir, origin) == passes
    wanted = [status, "201-203"]
    assert weir.reload(proxy(origin, health_check={**CHECK, "status": [str(w) for w in wanted]})).status == 200
    wait_until(lambda: healthy(weir, origin) == 1, "its status is wanted now")


@pytest.mark.parametrize("fault", ["hang", "garbage", "close"])
def test_broken_answers(lab, fault):
    def answer(_request, peer):
        if fault == "hang":
            peer.hang()
        elif fault == "garbage":
            return b"\x00\xff" * 100
        peer.close()
    origin = lab.origin(answer)
    weir = lab.weir(proxy(origin, health_check={**CHECK, "timeout": "100ms"}))
    wait_until(lambda: healthy(weir, origin) == 0, "it fails")


def test_checks_end_with_their_config(lab):
    origin = lab.origin(checked(threading.Event()))
    weir = lab.weir(proxy(origin, health_check=CHECK))
    wait_until(lambda: healthy(weir, origin) == 0, "it fails")
    assert weir.reload(proxy(origin)).status == 200
    wait_until(lambda: weir.get().status == 200, "nobody asks any more")
    count = len(origin.requests) - len(served(origin))
    assert weir.reload(proxy(origin, health_check=CHECK)).status == 200
    wait_until(lambda: len(origin.requests) - len(served(origin)) > count, "it is checked again")
    assert weir.reload(proxy(lab.origin())).status == 200
    assert weir.get().status == 200


def test_nginx_killed_frozen_and_restarted(lab, tmp_path):
    """Requests that may be repeated do not notice, but for those that a frozen one holds when it freezes."""
    (tmp_path / "health").write_text("well")
    (tmp_path / "page").write_text("page")
    os.chmod(tmp_path, 0o755)
    nginx = [lab.nginx(tmp_path) for _ in range(3)]
    weir = lab.weir({**proxy(*[n.url for n in nginx], balance="least_request", health_check={**CHECK, "timeout": "200ms"},
                             timeout="1s"), "workers": 2})
    over, results = threading.Event(), []

    def load():
        while not over.is_set():
            results.append(weir.get("/page").status)
            time.sleep(0.002)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for t in threads:
        t.start()
    try:
        for pid in children(nginx[0].process.pid):
            os.kill(pid, signal.SIGKILL)
        nginx[0].process.wait()
        wait_until(lambda: healthy(weir, nginx[0]) == 0, "the one that was killed is out")
        frozen = children(nginx[1].process.pid)
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: healthy(weir, nginx[1]) == 0, "the frozen one is out")
        mark = len(results)
        wait_until(lambda: len(results) > mark + 50, "some requests later")
        assert set(results[mark:mark + 50]) == {200}
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        nginx[0].start()
        wait_until(lambda: healthy(weir, nginx[0]) == healthy(weir, nginx[1]) == 1, "both are back")
    finally:
        over.set()
        for t in threads:
            t.join()
    assert results.count(200) >= len(results) - 8, [r for r in results if r != 200]


def test_an_operator_sees_what_a_check_found(lab):
    origin = lab.origin(lambda request, peer: reply(503))
    weir = lab.weir(proxy(origin, lab.origin(), health_check={"path": "/", "interval": "100ms", "fails": 1, "passes": 1}))
    weir.wait_metric(0, "weir_endpoint_healthy", endpoint=origin.url)
    (told,) = weir.admin("GET", "/api/v1/upstreams").json()["upstreams"]
    health = told["endpoints"][0]["health"]
    assert health["healthy"] is False and "status" in health["last_failure"]
    assert not told["endpoints"][0]["in_use"] and told["endpoints"][1]["health"]["healthy"]
