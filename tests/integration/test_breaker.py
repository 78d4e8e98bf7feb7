"""Endpoints whose attempts fail are left alone, probed, and taken back (U06)."""
import threading
import time

import pytest

from harness import free_port, proxy
from origin import echo, reply
from test_upstream_faults import background, problem
from wire import wait_until

QUICK = {"open_for": "200ms", "max_open_for": "400ms"}


def reset(_request, peer):
    peer.reset()


def status_500(_request, _peer):
    return reply(500)


def garbage(_request, _peer):
    return b"this is no HTTP\r\n\r\n"


def cut(_request, peer):
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000)
    peer.close()


def state(weir, origin):
    return weir.metric("weir_breaker_state", endpoint=origin.url)


def hit(weir, origin, most=200):
    """Sends requests until the endpoint's breaker is open; how many it took there."""
    before = len(origin.requests)
    for _ in range(most):
        try:
            weir.get()
        except Exception:  # a body that was cut, as it should be  # noqa: BLE001
            pass
        if state(weir, origin) == 1:
            return len(origin.requests) - before
    raise AssertionError(f"still closed after {most} requests")


@pytest.mark.parametrize("fault", [reset, status_500, garbage, cut])
def test_an_endpoint_that_fails_is_ejected(lab, fault):
    bad, good = lab.origin(fault), lab.origin()
    weir = lab.weir({**proxy(bad, good, breaker={"open_for": "1h", "max_open_for": "1h"}), "workers": 2})
    assert hit(weir, bad) <= 10
    seen = len(bad.requests)
    for _ in range(20):
        assert weir.get().status == 200
    assert len(bad.requests) == seen
    assert weir.metric("weir_breaker_ejections_total", endpoint=bad.url) == 1
    weir.wait_log("is ejected")


def test_a_dead_endpoint_is_ejected(lab):
    good = lab.origin()
    dead = f"http://127.0.0.1:{free_port()}"
    weir = lab.weir(proxy(dead, good, breaker={"open_for": "1h", "max_open_for": "1h"}))
    for _ in range(20):
        assert weir.get().status == 200
    assert weir.metric("weir_breaker_state", endpoint=dead) == 1
    assert weir.metric("weir_endpoint_failures_total", endpoint=dead, reason="connect_failure") == 5


def test_half_open_lets_one_request_try(lab):
    bad, good = lab.origin(status_500), lab.origin()
    weir = lab.weir({**proxy(bad, good, breaker=QUICK), "workers": 2})
    hit(weir, bad)
    release = threading.Event()
    bad.answer = lambda request, peer: peer.wait(release) and echo(request, peer)
    seen = len(bad.requests)
    wait_until(lambda: state(weir, bad) == 2, "it is half-open")
    held = []
    while len(bad.requests) == seen:
        sent = len(bad.requests) + len(good.requests)
        held.append(background(weir.get))
        wait_until(lambda n=sent: len(bad.requests) + len(good.requests) > n, "it has gone out")
    for _ in range(20):
        assert weir.get().status == 200  # all at the other one
    assert len(bad.requests) == seen + 1 and state(weir, bad) == 2
    release.set()
    assert {r().status for r in held} == {200}
    wait_until(lambda: state(weir, bad) == 0, "it is closed")
    wait_until(lambda: weir.get() and len(bad.requests) > seen + 1, "it has its share again")


def test_a_probe_that_fails_opens_it_again_for_longer(lab):
    bad, good = lab.origin(status_500), lab.origin()
    weir = lab.weir(proxy(bad, good, breaker={"open_for": "100ms", "max_open_for": "200ms"}))
    hit(weir, bad)
    wait_until(lambda: weir.get() and weir.metric("weir_breaker_ejections_total", endpoint=bad.url) >= 3, "it is tried")
    assert len(bad.requests) <= 5 + 3


@pytest.mark.parametrize("named", [False, True])
def test_an_endpoint_alone(lab, named):
    """Nothing is won by leaving the only one alone, unless the config says so."""
    bad = lab.origin(status_500)
    config = proxy(bad, **({"breaker": {"open_for": "1h", "max_open_for": "1h"}} if named else {}))
    weir = lab.weir({**config, "workers": 1})  # an answer is counted before the next request is looked at
    for _ in range(12):
        response = weir.get()
        if len(bad.requests) > 5:
            break
    for _ in range(3):
        response = weir.get()
    if named:
        problem(response, 503, "breaker_open")
        assert int(response.header("retry-after")) >= 1
        assert len(bad.requests) == 5
    else:
        assert response.status == 500


def test_U06_all_are_down(lab):
    """Every endpoint open: 503 at once, whatever the attempts' timeouts are; probes go on, and the first that answers is
    used."""
    ports = [free_port() for _ in range(3)]
    weir = lab.weir(proxy(*[f"http://127.0.0.1:{p}" for p in ports], breaker=QUICK, connect_timeout="30s", timeout="30s"))
    wait_until(lambda: weir.get().json()["code"] == "breaker_open", "all are open")
    began = time.monotonic()
    for _ in range(20):
        weir.get()
    assert time.monotonic() - began < 10
    back = lab.origin(port=ports[1])
    wait_until(lambda: weir.get().status == 200, "the one that is back is used")
    assert len(back.requests) >= 1


def test_U06_probes_of_a_hung_upstream_keep_nobody_waiting(lab):
    """All accept connections and answer nothing: one request tries, the others are told at once."""
    hung = [lab.origin(lambda request, peer: peer.hang()) for _ in range(2)]
    weir = lab.weir(proxy(*hung, breaker={**QUICK, "consecutive_failures": 2}, timeout="300ms"))
    waiting = [background(weir.get) for _ in range(12)]
    for result in waiting:
        assert result().status in (503, 504)
    wait_until(lambda: weir.get().json()["code"] == "breaker_open", "all are open")
    seen = sum(len(o.requests) for o in hung)
    refused = 0
    for _ in range(30):
        began = time.monotonic()
        response = weir.get()
        if response.json()["code"] == "breaker_open":
            refused += 1
            assert time.monotonic() - began < 5
    assert refused >= 20 and sum(len(o.requests) for o in hung) - seen <= 10


def test_U06_panic(lab):
    """With more than half of them ejected, ejection is ignored: the rest would be swamped."""
    origins = [lab.origin(status_500), lab.origin(status_500), lab.origin()]
    weir = lab.weir(proxy(*origins, breaker={"open_for": "1h", "max_open_for": "1h"}))
    wait_until(lambda: weir.get() and weir.metric("weir_upstream_panic", upstream="origin") == 1, "panic")
    for o in origins:
        o.answer = echo
    before = [len(o.requests) for o in origins]
    for _ in range(9):
        assert weir.get().status == 200
    assert [len(o.requests) - b for o, b in zip(origins, before)] == [3, 3, 3]


def test_breakers_live_on_across_a_reload(lab):
    bad, good = lab.origin(status_500), lab.origin()
    options = {"breaker": {"open_for": "1h", "max_open_for": "1h"}}
    weir = lab.weir(proxy(bad, good, **options))
    hit(weir, bad)
    assert weir.reload(proxy(bad, good, timeout="9s", **options)).status == 200
    assert state(weir, bad) == 1
    assert weir.reload(proxy(good, **options)).status == 200
    assert weir.get().status == 200


def test_breaker_off(lab):
    bad = lab.origin(status_500)
    weir = lab.weir(proxy(bad, lab.origin(), breaker=False))
    for _ in range(40):
        weir.get()
    assert len(bad.requests) == 20


def test_an_operator_sees_what_keeps_an_endpoint_out(lab):
    bad, good = lab.origin(status_500), lab.origin()
    weir = lab.weir(proxy(bad, good, breaker={"open_for": "1h", "max_open_for": "1h"}))
    hit(weir, bad)
    (told,) = weir.admin("GET", "/api/v1/upstreams").json()["upstreams"]
    assert told["name"] == "origin" and not told["panic"] and told["pending"] == 0 and told["in_flight"] in (0, 1)
    out, well = told["endpoints"]
    assert (out["url"], well["url"]) == (bad.url, good.url)
    assert not out["in_use"] and out["breaker"]["state"] == "open" and out["breaker"]["last_failure"] == "5xx"
    assert 0 < out["breaker"]["tried_again_in_seconds"] <= 3600
    assert well["in_use"] and well["breaker"] == {"state": "closed", "failures_in_a_row": 0}
    assert well["latency_seconds"] > 0
