"""The fault proxy does wrong what it says, and weir before it: what a client sees of endpoints that fail in every way."""
import contextlib
import re
import socket
import time

import pytest

from harness import proxy
from origin import echo, reply
from test_upstream_faults import background, problem
from wire import Truncated, wait_until

BODY = b"0123456789" * 5000


def whole(request, peer):
    return echo(request, peer) if request.method == "POST" else reply(body=BODY)


def ask(endpoint, method="GET", body=None, size=None):
    """(what came back, how it ended), by a client that knows of HTTP only how an answer's length is told."""
    head = f"{method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body or b'')}\r\n\r\n"
    got = b""
    try:  # a reset may be seen by any of the calls
        with contextlib.closing(socket.create_connection(("127.0.0.1", endpoint.port), 20)) as sock:
            sock.sendall(head.encode() + (body or b""))
            while piece := sock.recv(65536):
                got += piece
                length = re.search(rb"\r\nContent-Length: (\d+)(?=\r\n).*?\r\n\r\n", got, re.S)
                if len(got) == size or (length and len(got) == length.end() + int(length[1])):
                    return got, "whole"
    except (ConnectionResetError, BrokenPipeError):
        return got, "reset"
    except TimeoutError:
        return got, "silence"
    return got, "end"


# ---- the fault proxy itself ----

def test_it_carries_what_it_is_given(lab, faulty):
    origin = lab.origin(whole)
    bad = faulty(a=origin).a
    got, end = ask(bad, "POST", b"hello" * 30000)
    assert got.startswith(b"HTTP/1.1 200") and end == "whole" and len(origin.requests[0].body) == 150000
    assert bad.stats()["connections"] == 1 and bad.stats()["faults"] == 0


@pytest.mark.parametrize("fault, end, most, asked", [
    ("rst accept", "reset", 0, 0), ("rst request", "reset", 0, 0), ("rst answer 0", "reset", 0, 1),
    ("rst answer 20", "reset", 20, 1), ("cut 20", "end", 20, 1), ("halfclose", "end", 0, 1), ("garbage 300", "end", 300, 0),
])
def test_faults_that_end_an_answer(lab, faulty, fault, end, most, asked):
    origin = lab.origin(whole)
    bad = faulty(a=origin).a
    bad(fault)
    got, how = ask(bad)
    assert how == end and len(got) <= most
    if end == "end":
        assert len(got) == most
    wait_until(lambda: len(origin.requests) == asked, "the origin has what it is to have")
    assert bad.stats()["faults"] == 1
    bad("clear")
    assert len(ask(bad)[0]) > len(BODY)


def test_refused(lab, faulty):
    bad = faulty(a=lab.origin()).a
    bad("refuse")
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            ask(bad)
    bad("clear")
    assert ask(bad)[0].startswith(b"HTTP/1.1 200")


def test_a_full_backlog_answers_no_connect(lab, faulty):
    bad = faulty(a=lab.origin()).a
    bad("blackhole full")
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", bad.port), 0.5)
    bad("clear")
    assert ask(bad)[0].startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("fault, asked, answered", [("hang", 0, False), ("hang forward", 1, False), ("blackhole", 0, True)])
def test_faults_that_say_nothing(lab, faulty, fault, asked, answered):
    """What a black hole held back goes on when it is over; what was swallowed stays lost."""
    origin = lab.origin(whole)
    bad = faulty(a=origin).a
    bad(fault)
    with contextlib.closing(socket.create_connection(("127.0.0.1", bad.port), 20)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.settimeout(0.4)
        with pytest.raises(TimeoutError):
            sock.recv(10)
        wait_until(lambda: len(origin.requests) == asked, "the origin has what it is to have")
        bad("clear")
        sock.settimeout(20 if answered else 0.3)
        with contextlib.nullcontext() if answered else pytest.raises(TimeoutError):
            assert sock.recv(10) == b"HTTP/1.1 2"


@pytest.mark.parametrize("where", ["head", "body"])
def test_corruption(lab, faulty, where):
    bad = faulty(a=lab.origin(whole)).a
    clean, _ = ask(bad)
    bad(f"corrupt {where} 100")
    got, _ = ask(bad, size=len(clean))
    at = clean.index(b"\r\n\r\n") + 4
    assert len(got) == len(clean)
    if where == "body":
        assert got[:at] == clean[:at]
    wrong = sum(a != b for a, b in zip(got, clean))
    assert got != clean and (where == "head" or 0.05 * len(BODY) < wrong < 0.15 * len(BODY)), wrong


def test_shapes(lab, faulty):
    """The slower, the later: by what was asked for, with nothing said about how fast the machine is."""
    bad = faulty(a=lab.origin(lambda request, peer: reply(body=b"x" * 100))).a
    for shape, least in (("latency 300 50", 0.3), ("rate 1000", 0.1), ("drip 3", 0.3)):
        bad("clear")
        bad(shape)
        began = time.monotonic()
        assert ask(bad)[0].endswith(b"x" * 100)
        assert time.monotonic() - began >= least, shape


def test_wrong_commands_are_refused(lab, faulty):
    proxies = faulty(a=lab.origin())
    for line in ("b hang", "a fly", "a cut", "a cut x", "a refuse 3", "a chance 101", "a", ""):
        with pytest.raises(AssertionError, match="error: "):
            proxies.command(line)
    assert ask(proxies.a)[0].startswith(b"HTTP/1.1 200")


# ---- weir before it ----

RETRIED = ["connect_failure", "reset", "timeout", "bad_response"]

def three(lab, faulty, answer=whole, **upstream):
    """Three endpoints of which .a is the bad one; round robin, so that every third request meets it."""
    proxies = faulty(a=lab.origin(answer), b=lab.origin(answer), c=lab.origin(answer))
    options = {"timeout": "300ms", "connect_timeout": "300ms", "retry": {"attempts": 3, "on": RETRIED}, "balance": "round_robin",
               "breaker": {"consecutive_failures": 5, "open_for": "1h", "max_open_for": "1h"}, **upstream}
    return proxies, lab.weir({**proxy(proxies.a, proxies.b, proxies.c, **options), "workers": 2})


BEFORE_THE_FIRST_BYTE = ["refuse", "rst accept", "rst request", "rst answer 0", "cut 0", "blackhole", "blackhole full",
                         "hang", "hang forward", "garbage", "halfclose"]


@pytest.mark.parametrize("fault", BEFORE_THE_FIRST_BYTE)
def test_U02_every_get_is_answered_and_no_post_comes_twice(lab, faulty, fault):
    proxies, weir = three(lab, faulty)
    assert [weir.get().status for _ in range(6)] == [200] * 6  # pooled connections to all of them
    proxies.a(fault)
    if fault == "rst accept":
        proxies.a("drop")
    with weir.connect() as conn:
        for number in range(12):
            assert conn.exchange("GET").body == BODY, number
            answer = conn.exchange("POST", "/", headers={"X-Id": str(number)}, body=b"one")
            if answer.status != 200:
                problem(answer, answer.status, "upstream_closed", "upstream_reset", "upstream_timeout",
                        "upstream_bad_response", "upstream_connect_failed", "upstream_connect_timeout")
    told = proxies.stats()
    assert told["repeated"] == 0 and told["posts"] <= 12, told
    assert weir.metric("weir_breaker_state", endpoint=proxies.a.url) == 1
    origins = proxies.origins.values()
    ids = [r.header("x-id") for o in origins for r in o.requests if r.method == "POST"]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("fault", ["rst answer 20000", "cut 20000"])
def test_a_cut_answer_never_looks_complete_and_ejects_its_endpoint(lab, faulty, fault):
    proxies, weir = three(lab, faulty)
    proxies.a(fault)
    cut = 0
    for _ in range(60):
        try:
            assert weir.get().body == BODY
        except Truncated:
            cut += 1
    assert 1 <= cut <= 10
    assert weir.metric("weir_breaker_state", endpoint=proxies.a.url) == 1


def test_a_corrupted_head_is_never_passed_on_as_good(lab, faulty):
    """What is left of it may still be a response; what is not, is tried elsewhere or is 502."""
    proxies, weir = three(lab, faulty)
    proxies.a("corrupt head 300")
    for _ in range(30):
        with contextlib.suppress(Truncated):
            answer = weir.get()
            assert answer.status != 200 or answer.body == BODY
    proxies.a("clear")
    assert weir.get().body == BODY


def test_slow_and_dripping_answers_are_whole(lab, faulty):
    proxies, weir = three(lab, faulty, timeout="20s")
    proxies.a("latency 20 20")
    proxies.b("rate 2000000")
    waiting = [background(weir.get) for _ in range(12)]
    assert all(result().body == BODY for result in waiting)


def test_connections_that_are_dropped_between_requests(lab, faulty):
    """U01, from outside: every kept connection ends at once, while nothing is on its way."""
    proxies, weir = three(lab, faulty)
    with weir.connect() as conn:
        for _ in range(10):
            assert conn.exchange().body == BODY
            for endpoint in (proxies.a, proxies.b, proxies.c):
                endpoint("drop")
    assert weir.metric("weir_breaker_ejections_total") == 0
