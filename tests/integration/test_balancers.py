"""Whom a balancer sends to, as the origins see it."""
import threading
import time

import pytest

from harness import proxy
from origin import echo
from test_upstream_faults import background
from wire import wait_until


def counts(*origins):
    return [len(o.requests) for o in origins]


def upstream(*origins, **options):
    return {**proxy(*origins, **options), "workers": 2}


@pytest.mark.parametrize("balance", ["round_robin", "weighted_round_robin", "random"])
def test_weights(lab, balance):
    few, many = lab.origin(), lab.origin()
    config = upstream(few, balance=balance)
    config["upstreams"]["origin"]["endpoints"].append({"url": many.url, "weight": 4})
    weir = lab.weir(config)
    conn = weir.connect()
    for _ in range(200):
        conn.request("GET", "/")
        assert conn.response().status == 200
    spread = counts(few, many)
    assert sum(spread) == 200 and (15 <= spread[0] <= 70), spread


def test_least_request(lab):
    """One that has something to do gets nothing while others have not."""
    release = threading.Event()
    slow = lab.origin(lambda request, peer: peer.wait(release) and echo(request, peer))
    quick = [lab.origin(), lab.origin()]
    weir = lab.weir(upstream(slow, *quick, balance="least_request"))
    held = []
    while not slow.requests:
        sent = sum(counts(slow, *quick))
        held.append(background(weir.get))
        wait_until(lambda n=sent: sum(counts(slow, *quick)) > n, "it has gone out")
    before = counts(*quick)
    for _ in range(30):
        assert weir.get().status == 200
    assert len(slow.requests) == 1
    assert sum(counts(*quick)) == sum(before) + 30
    release.set()
    assert [r().status for r in held] == [200] * len(held)


def test_p2c_leaves_a_slow_endpoint(lab):
    slow = lab.origin(lambda request, peer: time.sleep(0.25) or echo(request, peer))
    quick = [lab.origin(), lab.origin()]
    weir = lab.weir(upstream(slow, *quick, balance="p2c"))
    for _ in range(60):
        assert weir.get().status == 200
    assert len(slow.requests) <= 6, counts(slow, *quick)
    assert min(counts(*quick)) >= 5


def test_p2c_leaves_an_endpoint_that_hangs(lab):
    release = threading.Event()
    hung = lab.origin(lambda request, peer: peer.wait(release) and echo(request, peer))
    quick = [lab.origin(), lab.origin()]
    weir = lab.weir(upstream(hung, *quick, balance="p2c"))
    results = [background(weir.get) for _ in range(4)]
    wait_until(lambda: sum(counts(hung, *quick)) >= 4, "they have gone out")
    for _ in range(40):
        results.append(background(weir.get))
        wait_until(lambda: sum(counts(hung, *quick)) >= len(results), "it has gone out")
    assert len(hung.requests) <= 8, counts(hung, *quick)
    release.set()
    assert [r().status for r in results] == [200] * len(results)


KEYS = {
    "header:X-User": lambda n: ("/", [("X-User", f"user{n}")]),
    "cookie:id": lambda n: ("/", [("Cookie", f"a=b; id=user{n}; c=d")]),
    "query:user": lambda n: (f"/?a=b&user={n}", []),
    "path": lambda n: (f"/users/{n}", []),
}


@pytest.mark.parametrize("on", KEYS)
def test_consistent_hash(lab, on):
    """A key stays with its endpoint; when another comes, only keys that it takes move."""
    origins = [lab.origin() for _ in range(3)]
    weir = lab.weir(upstream(*origins, balance="consistent_hash", hash_on=on))

    def where():
        found = {}
        for n in range(40):
            target, headers = KEYS[on](n)
            before = counts(*origins)
            assert weir.get(target, headers=headers).status == 200
            found[n] = [a != b for a, b in zip(before, counts(*origins))].index(True)
        return found

    first = where()
    assert where() == first and set(first.values()) == {0, 1, 2}
    origins.append(lab.origin())
    assert weir.reload(upstream(*reversed(origins), balance="consistent_hash", hash_on=on)).status == 200
    second = where()
    moved = [n for n in first if first[n] != second[n]]
    assert 0 < len(moved) < 30 and all(second[n] == 3 for n in moved)


def test_consistent_hash_on_the_client(lab):
    origins = [lab.origin() for _ in range(3)]
    weir = lab.weir({**upstream(*origins, balance="consistent_hash", hash_on="ip"), "trusted_proxies": ["127.0.0.0/8"]})
    for _ in range(5):
        assert weir.get().status == 200
    assert sorted(counts(*origins)) == [0, 0, 5]

    def spread(other):
        before = counts(*origins)
        for n in range(30):
            hops = f"{other}, 192.0.2.{n}, 127.0.0.9"
            assert weir.get(headers=[("X-Forwarded-For", hops)]).status == 200
        return [b - a for a, b in zip(before, counts(*origins))]

    first = spread("6.6.6.6")
    assert min(first) > 0
    assert spread("7.7.7.7") == first  # what stands before the first address that is not trusted is a claim


def test_a_request_without_the_key_goes_anywhere(lab):
    origins = [lab.origin() for _ in range(2)]
    weir = lab.weir(upstream(*origins, balance="consistent_hash", hash_on="header:X-User"))
    for _ in range(60):
        assert weir.get().status == 200
    assert min(counts(*origins)) > 5
