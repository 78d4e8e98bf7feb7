"""A second endpoint is asked when the first takes its time, and the answer that begins first is the one."""
import socket
import struct
import threading

import pytest

from harness import proxy, run_weir
from origin import echo, reply
from test_upstream_faults import background, hang, problem
from wire import wait_until

HEDGE = {"attempts": 3, "hedge": {"after": "100ms", "percent": 100}, "budget": {"percent": 100, "min": 1000}}


class Held:
    """An origin's answer that comes when it is told to."""

    def __init__(self, status=200, name=b""):
        self.status, self.name, self.go, self.end = status, name, threading.Event(), None

    def __call__(self, request, peer):
        if request.target == "/warm":
            return reply(body=self.name)
        if not peer.wait(self.go):
            return None
        if self.end:
            getattr(peer, self.end)()
            return b""
        return reply(self.status, body=self.name)


def pair(lab, first, second, **retry):
    """weir before two endpoints, of which the next request meets the first."""
    origins = [lab.origin(first), lab.origin(second)]
    weir = lab.weir({**proxy(*origins, balance="round_robin", retry={**HEDGE, **retry}, timeout="10s",
                             breaker={"consecutive_failures": 1000}), "workers": 1})
    for _ in range(2):  # with pooled connections to both, and the turn of the first
        weir.get("/warm")
    before = -1
    while len(origins[0].requests) != before:
        before = len(origins[0].requests)
        weir.get("/warm")
    return weir, origins


def asked(origin):
    return len([r for r in origin.requests if r.target != "/warm"])


def hedges(weir, won=False):
    return weir.metric("weir_upstream_hedges_won_total" if won else "weir_upstream_hedges_total")


def test_the_second_answers_first(lab):
    slow, quick = Held(name=b"slow"), Held(name=b"quick")
    quick.go.set()
    weir, (a, b) = pair(lab, slow, quick)
    for _ in range(4):  # a hedge takes its endpoint's turn: the next request meets the slow one again
        assert weir.get().body == b"quick"
    wait_until(lambda: asked(a) == asked(b) == 4, "both have had all four")
    assert hedges(weir) == hedges(weir, won=True) == 4
    assert weir.metric("weir_upstream_retries_total") == 0
    assert weir.metric("weir_endpoint_failures_total") == 0
    slow.go.set()
    wait_until(lambda: a.open == 0, "the attempts that were called off have closed their connections")


def test_the_first_answers_after_all(lab):
    a_side, b_side = Held(name=b"a"), Held(name=b"b")
    weir, (a, b) = pair(lab, a_side, b_side)
    got = background(weir.get)
    wait_until(lambda: asked(a) == asked(b) == 1, "both have the request")
    threading.Event().wait(0.2)
    a_side.go.set()
    assert got().body == b"a"
    b_side.go.set()
    wait_until(lambda: b.open == 0, "the second attempt is called off")
    assert (hedges(weir), hedges(weir, won=True)) == (1, 0)
    weir.wait_metric(0, "weir_endpoint_in_flight")
    assert weir.metric("weir_endpoint_latency_seconds", endpoint=b.url) > 0.1, "it was slow, too, as far as is known"


def test_quick_answers_are_not_hedged(lab):
    weir, (a, b) = pair(lab, echo, echo)
    for _ in range(20):
        assert weir.get("/x").status == 200
    assert hedges(weir) == 0 and asked(a) + asked(b) == 20


@pytest.mark.parametrize("method, body", [("POST", b""), ("POST", b"x"), ("PUT", b"x"), ("PATCH", b"x")])
def test_what_may_not_be_repeated_is_not_hedged(lab, method, body):
    weir, (a, b) = pair(lab, Held(), Held(), hedge={"after": "20ms", "percent": 100})
    a_side, b_side = a.answer, b.answer
    got = background(lambda: weir.request(method, "/", body=body))
    wait_until(lambda: asked(a) + asked(b) == 1, "one has the request")
    threading.Event().wait(0.2)
    assert asked(a) + asked(b) == 1 and hedges(weir) == 0
    a_side.go.set()
    b_side.go.set()
    assert got().status == 200


@pytest.mark.parametrize("fault", ["refuse", "rst accept", "rst request", "garbage", "cut 0"])
def test_a_second_that_fails_leaves_the_first_alone(lab, faulty, fault):
    slow = Held(name=b"slow")
    proxies = faulty(a=lab.origin(slow), b=lab.origin(echo))
    weir = lab.weir({**proxy(proxies.a, proxies.b, balance="round_robin", timeout="10s",
                             retry={**HEDGE, "on": ["connect_failure", "reset", "timeout", "bad_response", 503]}), "workers": 1})
    proxies.b(fault)
    results = [background(weir.get)]  # it begins at a, or is tried again there
    wait_until(lambda: asked(proxies.origins["a"]) == 1 and (proxies.b.stats()["faults"] or fault == "refuse"), "both were asked")
    threading.Event().wait(0.2)
    slow.go.set()
    assert [result().body for result in results] == [b"slow"]


def test_a_poor_answer_of_the_second_waits_for_the_first(lab):
    slow, ill = Held(name=b"slow"), Held(503)
    ill.go.set()
    weir, (a, b) = pair(lab, slow, ill)
    got = background(weir.get)
    wait_until(lambda: asked(a) == asked(b) == 1, "both have the request")
    threading.Event().wait(0.2)
    slow.go.set()
    assert got().body == b"slow"
    assert (hedges(weir), hedges(weir, won=True)) == (1, 0)
    assert weir.metric("weir_endpoint_failures_total", endpoint=b.url, reason="5xx") == 1


def test_a_429_of_the_first_is_no_failure_of_its_endpoint(lab):
    """It is tried again where `on` names it, as without a hedge, and the breaker takes it for an answer."""
    a_side, b_side = Held(429), Held(name=b"b")
    weir, (a, b) = pair(lab, a_side, b_side, on=[429])
    got = background(weir.get)
    wait_until(lambda: asked(a) == asked(b) == 1, "both have the request")
    a_side.go.set()
    threading.Event().wait(0.1)
    b_side.go.set()
    assert got().body == b"b"
    assert weir.metric("weir_endpoint_failures_total") == 0


@pytest.mark.parametrize("end", ["reset", "close", None])
def test_a_first_that_fails_waits_for_the_second(lab, end):
    a_side, b_side = Held(503), Held(name=b"b")
    a_side.end = end
    weir, (a, b) = pair(lab, a_side, b_side)
    got = background(weir.get)
    wait_until(lambda: asked(a) == asked(b) == 1, "both have the request")
    a_side.go.set()
    threading.Event().wait(0.1)
    b_side.go.set()
    assert got().body == b"b"
    assert (hedges(weir), hedges(weir, won=True)) == (1, 1)
    # a kept connection that closes without a byte says nothing about its endpoint (U01)
    assert weir.metric("weir_endpoint_failures_total", endpoint=a.url) == (end is None)


def test_both_hang(lab):
    origins = [lab.origin(hang), lab.origin(hang)]
    weir = lab.weir(proxy(*origins, timeout="400ms", retry={**HEDGE, "attempts": 2}))
    problem(weir.get(), 504, "upstream_timeout")
    wait_until(lambda: all(o.open == 0 for o in origins), "both connections are given up")
    weir.wait_metric(0, "weir_endpoint_in_flight")


def test_a_client_that_leaves_calls_both_off(lab):
    origins = [lab.origin(hang), lab.origin(hang)]
    weir = lab.weir(proxy(*origins, timeout="100s", retry=HEDGE))
    conn = weir.connect()
    conn.request()
    wait_until(lambda: all(asked(o) == 1 for o in origins), "both have the request")
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()
    wait_until(lambda: all(o.open == 0 for o in origins), "both connections are given up")
    wait_until(lambda: weir.metric("weir_endpoint_in_flight") == 0, "nobody is left")


@pytest.mark.parametrize("limit", [{"hedge": {"after": "10ms", "percent": 10}},
                                   {"budget": {"percent": 10, "min": 0}, "hedge": {"after": "10ms", "percent": 100}}])
def test_hedges_are_bounded(lab, limit):
    """A tenth of the requests of the last seconds at the most, by their own share and by the budget."""
    def slow(request, peer):
        peer.origin.stopping.wait(0.05)
        return reply()
    weir = lab.weir({**proxy(lab.origin(slow), lab.origin(slow), retry={**HEDGE, **limit}), "workers": 1})
    for _ in range(40):
        assert weir.get().status == 200
    assert 1 <= hedges(weir) <= 5


def test_one_attempt_and_a_hedge_is_an_error(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text("version: 1\nlisten: [{addr: '127.0.0.1:0'}]\nupstreams:\n  o:\n    endpoints: ['http://127.0.0.1:1']\n"
                    "    retry: {attempts: 1, hedge: {after: 5ms}}\nroutes: [{match: {path: '/*'}, proxy: o}]\n")
    done = run_weir("check", "-c", str(path))
    assert done.returncode == 1 and "a hedge is a second attempt" in done.stdout + done.stderr
