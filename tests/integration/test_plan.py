"""`weir plan`, `weir top` and what `weir explain` says about upstreams."""
import json
import re

import pytest

from harness import proxy, run_weir


def config(tmp_path, **upstream):
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps({
        "version": 1, "listen": [":0"],
        "upstreams": {"orders": {"endpoints": ["http://127.0.0.1:9001", {"url": "http://127.0.0.1:9002", "weight": 3}], **upstream}},
        "routes": [{"match": "/*", "proxy": "orders"}]}, indent=1))
    return str(path)


def test_plan_by_littles_law(tmp_path):
    """1,000 a second of 40 ms: 40 in flight, 61 with bursts."""
    done = run_weir("plan", "-c", config(tmp_path), "--rps", "1000", "--latency", "40ms")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "40 in flight on average, 61 with bursts" in done.stdout
    assert "That load fits." in done.stdout


def test_plan_names_what_is_too_small(tmp_path):
    done = run_weir("plan", "-c", config(tmp_path, max_in_flight=10, pool={"max_connections": 20, "max_idle": 5}),
                    "--rps", "1000", "--latency=40ms")
    assert done.returncode == 1
    assert re.search(r"max_in_flight \(the bulkhead\)\s+61\s+10\s+TOO SMALL\n\s+-> \S+weir.yaml:\d+: write max_in_flight: 61", done.stdout)
    assert re.search(r"pool.max_connections\s+61\s+20\s+TOO SMALL\n\s+-> \S+weir.yaml:\d+: write max_connections: 61", done.stdout)
    assert re.search(r"pool.max_idle\s+40\s+5\s+TOO SMALL", done.stdout)
    assert "3 figures are too small for that load." in done.stdout


@pytest.mark.parametrize("options, said", [
    ([], "needs the load: --rps N"), (["--rps", "x"], '--rps cannot be "x"'),
    (["--rps", "1", "--latency", "40"], '--latency cannot be "40"')])
def test_plan_usage(tmp_path, options, said):
    done = run_weir("plan", "-c", config(tmp_path), *options)
    assert done.returncode == 2 and said in done.stderr


def test_top_once(lab):
    origin = lab.origin()
    weir = lab.weir(proxy(origin))
    for _ in range(10):
        assert weir.get().status == 200
    done = run_weir("top", "-c", weir.config_file, "--once")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^weir  \d+ requests/s .*in flight \d+", done.stdout)
    assert re.search(r"^UPSTREAM / endpoint .*\norigin .*\n  " + re.escape(origin.url) + r" .* up$", done.stdout, re.M)
    assert re.search(r"^ROUTE .*\n(.*\n)*/\* ", done.stdout, re.M)
    assert re.search(r"^WORKER .*\n0 ", done.stdout, re.M)


def test_top_of_nobody(lab):
    done = run_weir("top", "--admin", "127.0.0.1:1", "--once")
    assert done.returncode == 1 and "gave no answer" in done.stderr


def test_explain_tells_how_an_upstream_would_be_asked(tmp_path):
    path = config(tmp_path, balance="consistent_hash", hash_on="header:X-User", retry={"on": ["reset", 503]},
                  breaker={"open_for": "7s"}, health_check="/well")
    done = run_weir("explain", "-c", path, "GET", "/x")
    assert done.returncode == 0, done.stderr
    for said in ("consistent_hash on header:X-User", "1024 in flight, then 256 wait, then 503", "GET on reset, 503",
                 "50% of 20 or more in 10s, for 7s to 1m", "health check: GET /well every 5s", "http://127.0.0.1:9002, weight 3"):
        assert said in done.stdout, done.stdout
    done = run_weir("explain", "-c", path, "POST", "/x")
    assert "POST only when nothing of it was sent" in done.stdout


def test_explain_tells_why_not_the_others(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text("""\
version: 1
listen: [{addr: "127.0.0.1:18080"}, {addr: "127.0.0.1:18081"}]
routes:
  - {match: {path: "/*"}, respond: {status: 204}}
  - {match: {path: "/a/b", methods: [POST]}, respond: {status: 204}}
  - {match: {path: "/a/b", methods: [GET]}, respond: {status: 204}}
  - {match: {path: "/a/b", host: admin.example}, respond: {status: 204}}
  - {match: {path: "/a/*", listen: "127.0.0.1:18081"}, respond: {status: 204}}
  - {match: {path: "/c"}, respond: {status: 204}}
""")
    done = run_weir("explain", "-c", path, "GET", "http://x:18080/a/b")
    assert done.returncode == 0
    told = done.stdout.splitlines()
    at = next(i for i, line in enumerate(told) if line.startswith("not "))
    assert "/a/b" in told[1] and told[1].endswith("weir.yaml:6)")
    assert [line[12:].partition(": ")[2] or line[12:] for line in told[at:]] == [
        "fits as well, but is less specific", "only for POST", "only for the host admin.example",
        "only for the listener 127.0.0.1:18081", "1 route with other paths"]
    done = run_weir("explain", "-c", path, "GET", "http://admin.example:18080/a/b")
    assert done.stdout.splitlines()[1].endswith("weir.yaml:7)")
    done = run_weir("explain", "-c", path, "PUT", "http://x:18081/a/b")
    assert done.stdout.splitlines()[1].endswith("weir.yaml:8)")


def four_calls(tmp_path):
    path = tmp_path / "weir.yaml"
    calls = {"order": {"path": "/order/{id}"}, "user": {"path": "/user/{order.user}", "timeout": "100ms"},
             "coupon": {"path": "/coupon", "need": "weak", "timeout": "50ms"}, "audit": {"path": "/audit", "need": "async"}}
    path.write_text(json.dumps({
        "version": 1, "listen": [":0"], "upstreams": {"o": {"endpoints": ["http://127.0.0.1:9001"]}},
        "routes": [{"match": "/orders/{id}", "deadline": "300ms",
                    "aggregate": {"calls": {name: {"upstream": "o", **call} for name, call in calls.items()}}}]}, indent=1))
    return str(path)


def test_plan_counts_the_calls(tmp_path):
    """6,000 a second of 40 ms with four calls each: 240 and 960."""
    done = run_weir("plan", "-c", four_calls(tmp_path), "--rps", "6000", "--latency", "40ms")
    assert "240 in flight on average" in done.stdout
    assert re.search(r"/orders/\{id\}\s+960\s+in flight on average: 4 of each request", done.stdout)
    assert re.search(r"pool.max_idle\s+960\s+100\s+TOO SMALL", done.stdout)


def test_explain_draws_the_calls(tmp_path):
    done = run_weir("explain", "-c", four_calls(tmp_path), "GET", "http://localhost/orders/7")
    lines = re.sub(" +", " ", done.stdout)
    assert "calls: 4 at the most (max_calls 16), 4 at a time" in lines
    assert "order strong 0s to 300ms GET /order/{id} at o\n" in lines
    assert "user strong 300ms to 300ms GET /user/{order.user} at o <- order" in lines
    assert "coupon weak 0s to 50ms GET /coupon at o" in lines
    assert "audit async after the answer GET /audit at o" in lines
    assert "the answer: 300ms at the worst" in lines
    assert "upstream o " in lines
