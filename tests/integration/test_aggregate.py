"""One request that becomes several: order, parts that may be missing, what is left when a call fails, and what never waits."""
import json
import re
import socket
import threading
import time

import pytest

from harness import free_port, run_weir
from origin import reply
from test_hangups import reset
from wire import wait_until

pytestmark = pytest.mark.release

ORDER = {"id": 7, "user_id": "u 3", "total": 12.5, "lines": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}, {"sku": "c", "n": 3}]}


def as_json(value, status=200, headers=()):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return reply(status, body, headers=[("Content-Type", "application/json"), *headers])


def site(**paths):
    """An origin's answers by the first segment of the path: a value, bytes of a response, or a function."""
    def answer(request, peer):
        name = re.split("[/?]", request.target)[1]
        made = paths.get(name, b"")
        made = made(request, peer) if callable(made) else made
        if made is None:
            return None
        return made if isinstance(made, bytes) else as_json(made)
    return answer


def hang(_request, peer):
    peer.hang()


def aggregate(origin, calls, path="/orders/{id}", deadline="60s", upstream=None, more=None, **options):
    """A config: calls are made to the upstream `o` unless they name another."""
    calls = {name: {"upstream": "o", **call} for name, call in calls.items()}
    return {"workers": 1,
            "upstreams": {"o": {"endpoints": [origin.url], "breaker": False, **(upstream or {})}, **(more or {})},
            "routes": [{"match": {"path": path}, "deadline": deadline, "aggregate": {"calls": calls, **options}}]}


def ask(weir, target="/orders/7", status=200, **more):
    answer = weir.request(more.pop("method", "GET"), target, **more)
    assert answer.status == status, answer.body
    return answer, json.loads(answer.body)


# ---- order, and what is handed on ----

def test_calls_wait_for_what_they_refer_to(lab):
    origin = lab.origin(site(order=ORDER, user={"name": "Ada"}, item={"ok": True}))
    weir = lab.weir(aggregate(origin, {
        "user": {"path": "/user/{order.user_id}"},
        "order": {"path": "/order?id={id}"},
        "item": {"path": "/item/{user.name}/{order.id}"}},
        response={"id": "$order.id", "who": "$user.name", "item": "$item"}))
    _, body = ask(weir)
    assert body == {"id": 7, "who": "Ada", "item": {"ok": True}}
    assert [r.target for r in origin.requests] == ["/order?id=7", "/user/u%203", "/item/Ada/7"]


def test_independent_calls_run_at_once(lab):
    gate = threading.Barrier(3, timeout=60)

    def together(_request, _peer):
        gate.wait()
        return as_json({})
    origin = lab.origin(together)
    weir = lab.weir(aggregate(origin, {name: {"path": f"/{name}"} for name in "abc"}))
    assert ask(weir)[1] == {"a": {}, "b": {}, "c": {}}  # without `response`: all by their names


def test_max_parallel_bounds_them(lab):
    origin = lab.origin(lambda request, peer: time.sleep(0.02) or as_json({}))
    weir = lab.weir(aggregate(origin, {f"c{i}": {"path": f"/{i}"} for i in range(8)}, max_parallel=2))
    ask(weir)
    assert len(origin.requests) == 8 and origin.most_busy <= 2


def test_each_asks_for_the_first_items_in_order(lab):
    def item(request, _peer):
        sku = request.target.split("/")[2]
        time.sleep({"a": 0.05, "b": 0}.get(sku, 0))
        return as_json({"sku": sku, "price": 1})
    origin = lab.origin(site(order=ORDER, item=item))
    weir = lab.weir(aggregate(origin, {
        "order": {"path": "/order"},
        "lines": {"path": "/item/{line.sku}", "each": {"in": "$order.lines", "as": "line", "max": 2, "parallel": 2}}},
        response="$lines"))
    answer, body = ask(weir)
    assert [line["sku"] for line in body] == ["a", "b"]
    assert answer.header("weir-missing") is None
    assert weir.metric("weir_aggregate_left_out_total", route="/orders/{id}", call="lines") == 1


def test_each_of_nothing_is_an_empty_array(lab):
    origin = lab.origin(site(order={"lines": None}))
    weir = lab.weir(aggregate(origin, {
        "order": {"path": "/order"},
        "lines": {"path": "/item/{line.sku}", "each": {"in": "$order.lines", "as": "line"}}}, response="$lines"))
    assert ask(weir)[1] == []
    assert len(origin.requests) == 1


def test_a_million_items_meet_max(lab):
    origin = lab.origin(site(order={"lines": [1] * 1000000}, item={"ok": 1}))
    weir = lab.weir(aggregate(origin, {
        "order": {"path": "/order"},
        "lines": {"path": "/item/{line}", "each": {"in": "$order.lines", "as": "line", "max": 3}}}, response="$lines"))
    assert ask(weir)[1] == [{"ok": 1}] * 3
    assert weir.metric("weir_aggregate_left_out_total", route="/orders/{id}", call="lines") == 999997


def test_one_items_failure_is_the_calls(lab):
    origin = lab.origin(site(order=ORDER, item=lambda r, p: reply(500) if r.target.endswith("b") else as_json({})))
    each = {"path": "/item/{line.sku}", "each": {"in": "$order.lines", "as": "line"}}
    weir = lab.weir(aggregate(origin, {"order": {"path": "/order"}, "lines": {**each, "need": "weak", "default": ["none"]}},
                              response="$lines"))
    answer, body = ask(weir)
    assert body == ["none"] and answer.header("weir-missing") == "lines;reason=status;status=500"


def test_bodies_headers_and_queries_of_calls(lab):
    origin = lab.origin(site(order=ORDER))
    weir = lab.weir(aggregate(origin, {"order": {
        "path": "/order?fixed=1", "method": "POST", "query": {"page": "{request.query.page}", "gone": "{request.query.gone}"},
        "headers": {"X-User": "{request.header.x-me}", "X-Gone": "{request.header.none}"},
        "forward_headers": ["authorization"],
        "body": {"given": "$request.body.list", "first": "$request.body.list[0]", "path": "$request.path"}}}))
    ask(weir, "/orders/7?page=a%26b", method="POST", body=b'{"list": [1.50, "x"]}',
        headers=[("X-Me", "me"), ("Authorization", "Bearer t"), ("Cookie", "secret")])
    sent = origin.last
    assert sent.method == "POST" and sent.target == "/order?fixed=1&page=a%26b"
    assert json.loads(sent.body) == {"given": [1.5, "x"], "first": 1.5, "path": "/orders/7"}
    assert b'"given":[1.50, "x"]' in sent.body  # as it came
    assert sent.header("x-user") == "me" and sent.header("authorization") == "Bearer t"
    assert not {"cookie", "x-gone"} & sent.names() and sent.header("content-type") == "application/json"


def test_numbers_and_texts_are_not_touched(lab):
    raw = b'{"n": 1e0, "long": %s, "t": "\\u00e9\\/"}' % (b"9" * 10000)
    origin = lab.origin(site(order=lambda r, p: as_json(raw)))
    weir = lab.weir(aggregate(origin, {"order": {"path": "/order"}}, response={"all": "$order", "n": "$order.n"}))
    assert weir.get("/orders/7").body.strip() == b'{"all":' + raw + b',"n":1e0}'


# ---- strong, weak ----

def broken(**calls):
    return {"good": {"path": "/order"}, **calls}


FAILURES = {
    "status": (lambda r, p: reply(503), "status;status=503", 502),
    "html": (lambda r, p: reply(200, b"<html>"), "bad_json", 502),
    "half": (lambda r, p: as_json(b'{"a": [1, 2'), "bad_json", 502),
    "empty": (lambda r, p: reply(200), "bad_json", 502),
    "twice": (lambda r, p: as_json(b'{"a": 1, "\\u0061": 2}'), "bad_json", 502),
    "reset": (lambda r, p: p.reset(), "reset", 502),
    "cut": (lambda r, p: p.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{") and p.close(), "reset", 502),
    "garbage": (lambda r, p: p.send(b"no HTTP\r\n\r\n") and p.close(), "bad_response", 502),
    "large": (lambda r, p: as_json(b'"' + b"x" * 5000 + b'"'), "too_large", 502),
    "never": (hang, "timeout", 504),
    "deep": (lambda r, p: as_json(b"[" * 100 + b"]" * 100), "bad_json", 502),
}


@pytest.mark.parametrize("fault", FAILURES)
def test_a_weak_call_that_fails_is_named(lab, fault):
    answer, reason, _ = FAILURES[fault]
    origin = lab.origin(site(order=ORDER, bad=answer))
    weir = lab.weir(aggregate(origin, broken(bad={"path": "/bad", "need": "weak", "default": {"d": [1]}, "timeout": "300ms"}),
                              response={"id": "$good.id", "bad": "$bad", "missing": "$missing"}, max_response="4KiB",
                              upstream={"retry": {"attempts": 1}}, report="degraded"))
    got, body = ask(weir)
    assert body == {"id": 7, "bad": {"d": [1]}, "missing": ["bad"], "degraded": ["bad"]}
    assert got.header("weir-missing") == f"bad;reason={reason}"
    assert weir.metric("weir_aggregate_incomplete_total", route="/orders/{id}", call="bad") == 1


@pytest.mark.parametrize("fault", FAILURES)
def test_a_strong_call_that_fails_is_the_answer(lab, fault):
    answer, reason, status = FAILURES[fault]
    origin = lab.origin(site(order=ORDER, bad=answer))
    weir = lab.weir(aggregate(origin, broken(bad={"path": "/bad", "timeout": "300ms"}), max_response="4KiB",
                              upstream={"retry": {"attempts": 1}}))
    _, body = ask(weir, status=status)
    assert body["code"] == ("call_timeout" if status == 504 else "call_failed")
    assert "call bad, upstream o" in body["detail"], body
    if reason.startswith("status"):
        assert "503" in body["detail"]


def test_refused_connections(lab):
    origin = lab.origin(site(order=ORDER))
    dead = {"dead": {"endpoints": [f"http://127.0.0.1:{free_port()}"], "breaker": False}}
    weir = lab.weir(aggregate(origin, broken(bad={"upstream": "dead", "path": "/", "need": "weak"}), more=dead))
    answer, body = ask(weir)
    assert body["bad"] is None and answer.header("weir-missing") == "bad;reason=connect"


def test_a_strong_failure_cancels_the_others_at_once(lab):
    origin = lab.origin(site(slow=hang, bad=lambda r, p: reply(500)))
    weir = lab.weir(aggregate(origin, {"slow": {"path": "/slow"}, "bad": {"path": "/bad"}},
                              upstream={"retry": {"attempts": 1}, "timeout": "300s"}, deadline="300s"))
    ask(weir, status=502)
    wait_until(lambda: origin.open == 0 or origin.busy == 0, "the slow call has been given up")


def test_the_deadline_is_the_whole_requests(lab):
    origin = lab.origin(site(order=ORDER, slow=hang))
    weir = lab.weir(aggregate(origin, {"order": {"path": "/order"}, "slow": {"path": "/slow/{order.id}"}}, deadline="300ms"))
    _, body = ask(weir, status=504)
    assert body["code"] == "call_timeout" and "call slow" in body["detail"]


def test_a_call_without_timeout_has_what_is_left(lab):
    """Whatever the upstream's timeout is."""
    origin = lab.origin(lambda request, peer: time.sleep(0.3) or as_json({}))
    weir = lab.weir(aggregate(origin, {"slow": {"path": "/"}}, upstream={"timeout": "100ms", "retry": {"attempts": 1}}))
    assert ask(weir)[1] == {"slow": {}}


def test_an_incomplete_answer_is_not_kept(lab):
    origin = lab.origin(site(order=ORDER, bad=lambda r, p: reply(500)))
    config = aggregate(origin, broken(bad={"path": "/bad", "need": "weak"}))
    config["use"] = ["cached"]
    config["middleware"] = {"cached": {"headers": {"response": {"set": {"Cache-Control": "max-age=60"}}}}}
    weir = lab.weir(config)
    assert ask(weir)[0].header("cache-control") is None
    origin.answer = site(order=ORDER, bad={})
    assert ask(weir)[0].header("cache-control") == "max-age=60"


def test_accepted_statuses(lab):
    origin = lab.origin(site(maybe=lambda r, p: as_json({"code": "none"}, 404), nothing=lambda r, p: b"HTTP/1.1 204 No Content\r\n\r\n"))
    weir = lab.weir(aggregate(origin, {"maybe": {"path": "/maybe", "accept": ["2xx", "404"]}, "nothing": {"path": "/nothing"}}))
    assert ask(weir)[1] == {"maybe": {"code": "none"}, "nothing": None}


def test_pass_makes_an_answer_the_whole_one(lab):
    origin = lab.origin(site(order=lambda r, p: as_json({"error": "no such order"}, 404), slow=hang))
    weir = lab.weir(aggregate(origin, {"order": {"path": "/order", "pass": ["404"]}, "slow": {"path": "/slow"}}))
    answer, body = ask(weir, status=404)
    assert body == {"error": "no such order"} and answer.header("content-type") == "application/json"


def test_retries_are_the_upstreams(lab):
    answers = [lambda r, p: reply(503), lambda r, p: as_json({"ok": 1})]
    origin = lab.origin(lambda request, peer: answers.pop(0)(request, peer))
    weir = lab.weir(aggregate(origin, {"a": {"path": "/"}}))
    assert ask(weir)[1] == {"a": {"ok": 1}}


def test_weak_calls_do_not_queue_where_there_is_no_room(lab):
    origin = lab.origin(site(order=ORDER, slow=hang))
    weir = lab.weir(aggregate(origin, {"slow": {"path": "/slow", "timeout": "2s", "need": "weak"}, "extra": {"path": "/order", "need": "weak"}},
                              upstream={"max_in_flight": 1}))
    answer, body = ask(weir)
    assert answer.header("weir-missing") == "slow;reason=timeout, extra;reason=overload"


# ---- templates meeting the data ----

def test_a_wrong_shape_is_named(lab):
    origin = lab.origin(site(order={"user": ["not", "an", "object"]}))
    weir = lab.weir(aggregate(origin, {"order": {"path": "/order"}}, response={"name": "$order.user.name"}))
    with weir.refuses("template_failed"):
        _, body = ask(weir, status=502)
    assert body["code"] == "template_failed" and "an array where an object is due" in body["detail"]
    assert re.search(r"line \d+", body["detail"])


def test_missing_and_null_are_null(lab):
    origin = lab.origin(site(order={"user": None}))
    weir = lab.weir(aggregate(origin, {"order": {"path": "/order"}}, response={"a": "$order.user.name", "b": "$order.x[3].y", "c": "$order.z ?? 'none'"}))
    assert ask(weir)[1] == {"a": None, "b": None, "c": "none"}


def test_S29_nothing_breaks_out_of_a_path_or_a_header(lab):
    evil = "x\r\nHost: evil/../..?a=b#c"
    origin = lab.origin(site(order={"evil": evil, "dots": "..", "none": None}, user={}))
    call = {"path": "/user/{order.evil}?q={order.evil}"}
    weir = lab.weir(aggregate(origin, {"order": {"path": "/order"}, "user": call}))
    ask(weir)
    assert origin.last.target == "/user/x%0D%0AHost%3A%20evil%2F..%2F..%3Fa%3Db%23c?q=x%0D%0AHost%3A%20evil%2F..%2F..%3Fa%3Db%23c"
    for bad in ({"path": "/user/{order.dots}"}, {"path": "/user/{order.none}"}, {"path": "/user", "headers": {"X-A": "{order.evil}"}}):
        weir = lab.weir(aggregate(origin, {"order": {"path": "/order"}, "user": bad}))
        _, body = ask(weir, status=502)
        assert body["code"] == "template_failed" and "call user" in body["detail"]
        assert not origin.faults


BODIES = {"empty": b"", "html": b"<p>", "half": b'{"a":', "R12_twice": b'{"a":1,"a":2}', "R12_utf8": b'"\xff"', "R10_deep": b"[" * 65 + b"]" * 65}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_json_is_refused_with_its_place(lab, name):
    origin = lab.origin(site(order=ORDER))
    weir = lab.weir(aggregate(origin, {"order": {"path": "/order", "method": "POST", "body": "$request.body"}}))
    with weir.refuses("bad_json"):
        _, body = ask(weir, status=400, method="POST", body=BODIES[name])
    assert re.search(r"at byte \d+", body["detail"]) and not origin.requests


def test_R13_the_fan_out_is_bounded(lab):
    origin = lab.origin(site())
    calls = {"a": {"path": "/a"}, "b": {"path": "/b/{x}", "each": {"in": "$a", "as": "x", "max": 16}}}
    weir = lab.weir(aggregate(origin, calls), ready=False)
    weir.exit_expected = 1
    assert weir.wait() == 1
    assert "may need 17 calls, and max_calls is 16" in weir.stderr()


# ---- async ----

def after(event):
    """Answers once the test says so."""
    return lambda _request, peer: as_json({}) if peer.wait(event) else None


def test_async_calls_come_after_the_answer(lab):
    answered = threading.Event()
    origin = lab.origin(site(order=ORDER, audit=after(answered)))
    weir = lab.weir(aggregate(origin, {
        "order": {"path": "/order"},
        "audit": {"path": "/audit", "method": "POST", "body": {"order": "$order.id"}, "need": "async"}}, response="$order.id"))
    assert ask(weir)[1] == 7
    answered.set()
    wait_until(lambda: len(origin.requests) == 2, "the async call came")
    assert json.loads(origin.last.body) == {"order": 7}


def test_async_calls_are_finished_before_the_end(lab):
    go = threading.Event()
    origin = lab.origin(site(order=ORDER, audit=after(go)))
    weir = lab.weir(aggregate(origin, {"order": {"path": "/order"}, "audit": {"path": "/audit", "need": "async"}}))
    ask(weir)
    wait_until(lambda: len(origin.requests) == 2, "the async call is under way")
    weir.term()
    time.sleep(0.1)
    assert weir.process.poll() is None
    go.set()
    assert weir.wait() == 0


def test_a_failed_async_call_is_counted_and_logged(lab):
    origin = lab.origin(site(order=ORDER, audit=lambda r, p: reply(500)))
    weir = lab.weir(aggregate(origin, {"order": {"path": "/order"}, "audit": {"path": "/audit", "need": "async", "method": "POST"}}))
    ask(weir)
    weir.wait_metric(1, "weir_aggregate_async_failed_total", route="/orders/{id}", call="audit")
    weir.wait_log("async call audit failed: status")


# ---- clients that leave ----

@pytest.mark.parametrize("how", ["reset", "fin"])
def test_U04_a_client_that_leaves_ends_the_calls(lab, how):
    origin = lab.origin(site(slow=hang))
    weir = lab.weir(aggregate(origin, {"slow": {"path": "/slow"}, "more": {"path": "/slow"}}, deadline="300s"))
    conn = weir.connect()
    conn.request("GET", "/orders/7")
    wait_until(lambda: len(origin.requests) == 2, "the calls are under way")
    with weir.refuses("client_closed"):
        if how == "reset":
            reset(conn)
        else:
            conn.sock.shutdown(socket.SHUT_WR)
    wait_until(lambda: origin.open == 0, "the upstream connections are closed")
    weir.wait_metric(0, "weir_in_flight_requests")


def test_requests_sent_ahead_are_answered_in_turn(lab):
    origin = lab.origin(site(order=lambda r, p: time.sleep(0.05) or as_json(ORDER)))
    weir = lab.weir(aggregate(origin, {"order": {"path": "/order?n={id}"}}, response="$id"))
    conn = weir.connect()
    conn.send(b"".join(b"GET /orders/%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(3)))
    assert [json.loads(conn.response().body) for _ in range(3)] == ["0", "1", "2"]


# ---- the config ----

MISTAKES = {
    "unknown": ({"a": {"path": "/{nobody.x}"}}, {}, 'nothing here is called "nobody"; there are id, a'),
    "cycle": ({"a": {"path": "/{b.x}"}, "b": {"path": "/{a.x}"}}, {}, "these calls wait for one another: a waits for b waits for a"),
    "itself": ({"a": {"path": "/{a.x}"}}, {}, "these calls wait for one another: a waits for a"),
    "twice": ({"id": {"path": "/"}}, {}, 'a call cannot be called "id"'),
    "reserved": ({"request": {"path": "/"}}, {}, 'a call cannot be called "request"'),
    "variable": ({"a": {"path": "/"}, "b": {"path": "/", "each": {"in": "$a", "as": "a"}}}, {}, 'a variable cannot be called "a"'),
    "timeout": ({"a": {"path": "/", "timeout": "90s"}}, {}, "longer than the deadline of the route"),
    "async": ({"a": {"path": "/", "need": "async"}}, {"response": "$a"}, "a is async"),
    "default": ({"a": {"path": "/", "need": "weak", "default": "$id"}}, {}, "a default is a constant"),
    "strong default": ({"a": {"path": "/", "default": 1}}, {}, "only a weak call has a default"),
    "stale": ({"a": {"path": "/", "stale": "1s"}}, {}, "only a weak call of GET without `each` has stale answers"),
    "word": ({"a": {"path": "/"}}, {"response": {"$eech": 1}}, '"$eech" is no word of templates'),
    "each": ({"a": {"path": "/"}}, {"response": {"$each": "$a", "$do": 1}}, '"$each" needs "$as"'),
    "key": ({"a": {"path": "/"}}, {"response": {"$each": "$a", "$as": "x", "$do": 1, "$wher": 1}}, 'is it "$where"?'),
    "status": ({"a": {"path": "/", "accept": ["abc"]}}, {}, 'a status cannot be "abc"'),
    "path": ({"a": {"path": "a"}}, {}, "a path begins with /"),
    "brace": ({"a": {"path": "/{id"}}, {}, "the brace that begins here has no end"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_of_the_config_are_named(lab, mistake):
    calls, options, message = MISTAKES[mistake]
    origin = lab.origin()
    weir = lab.weir(aggregate(origin, calls, **options), ready=False)
    weir.exit_expected = 1
    assert weir.wait() == 1
    assert message in weir.stderr()
    assert re.search(r"\.yaml:\d+:\d+: ", weir.stderr())


def test_errors_tell_line_and_column(tmp_path):
    config = tmp_path / "weir.yaml"
    config.write_text("""version: 1
listen: [":1"]
upstreams: {o: {endpoints: ["http://127.0.0.1:1"]}}
routes:
  - match: {path: "/a/{id}"}
    aggregate:
      calls:
        order: {upstream: o, path: "/x?a={odrer.id}"}
      response:
        total: $order.total +
""")
    result = run_weir("check", "-c", str(config))
    assert result.returncode == 1
    assert f"{config}:8:43: nothing here is called \"odrer\"" in result.stderr + result.stdout


# ---- seeing it ----

def traced(origin, trusted=True, **options):
    config = aggregate(origin, {"order": {"path": "/order"}, "user": {"path": "/user/{order.id}", "need": "weak", "timeout": "100ms"}}, **options)
    return {**config, "trusted_proxies": ["127.0.0.0/8"] if trusted else []}


def test_a_trusted_client_gets_the_waterfall(lab):
    origin = lab.origin(site(order=lambda r, p: time.sleep(0.05) or as_json(ORDER), user=hang))
    weir = lab.weir(traced(origin))
    answer, _ = ask(weir, headers=[("X-Weir-Trace", "1")])
    order, user = json.loads(answer.header("weir-trace"))
    assert (order["call"], order["upstream"], order["status"]) == ("order", "o", 200) and order["took_ms"] >= 50
    assert (user["call"], user["failed"]) == ("user", "timeout") and user["took_ms"] >= 100 and "status" not in user
    assert user["start_ms"] >= order["start_ms"] + order["took_ms"] - 1
    assert ask(weir)[0].header("weir-trace") is None
    origin.answer = site(order=lambda r, p: reply(500))
    answer, body = ask(weir, status=502, headers=[("X-Weir-Trace", "1")])
    assert body["code"] == "call_failed" and json.loads(answer.header("weir-trace"))[0]["failed"] == "status"


def test_others_do_not(lab):
    origin = lab.origin(site(order=ORDER, user={}))
    weir = lab.weir(traced(origin, trusted=False))
    assert ask(weir, headers=[("X-Weir-Trace", "1")])[0].header("weir-trace") is None


def test_the_flight_recorder_keeps_slow_and_failed_ones(lab):
    origin = lab.origin(site(order=lambda r, p: time.sleep(0.2 if "slow" in r.target else 0) or as_json(ORDER), bad=lambda r, p: reply(500)))
    config = aggregate(origin, {"order": {"path": "/order?{id}"}})
    config["routes"].append({"match": {"path": "/bad/{id}"}, "aggregate": {"calls": {"b": {"upstream": "o", "path": "/bad"}}}})
    weir = lab.weir(config)
    for i in range(40):
        ask(weir, f"/orders/{i}")
    ask(weir, "/orders/slow")
    ask(weir, "/bad/1", status=502)

    def recorded():
        return weir.admin("GET", "/api/v1/slow").json()
    wait_until(lambda: recorded()["failed"], "the last one is recorded")
    slow, failed = recorded()["slow"], recorded()["failed"]
    assert len(slow) == 32 and slow[0]["target"] == "/orders/slow" and slow[0]["route"] == "/orders/{id}"
    assert slow[0]["calls"][0]["took_ms"] >= 200 and slow[0]["took_ms"] >= slow[0]["calls"][0]["took_ms"]
    assert [one["took_ms"] for one in slow] == sorted((one["took_ms"] for one in slow), reverse=True)
    assert failed[0]["code"] == "call_failed" and failed[0]["status"] == 502 and failed[0]["calls"][0]["failed"] == "status"
    assert "call b" in failed[0]["detail"] and failed[0]["request_id"]


# ---- stale answers ----

def test_the_last_good_answer_stands_in(lab):
    origin = lab.origin(site(order=ORDER, coupon=lambda r, p: as_json({"code": r.target.split("=")[1]})))
    call = {"path": "/coupon?o={id}", "need": "weak", "stale": "1h", "default": {"code": "none"}}
    config = aggregate(origin, {"order": {"path": "/order"}, "coupon": call}, response="$coupon.code", upstream={"retry": {"attempts": 1}})
    weir = lab.weir(config)
    for i in "ab":
        assert ask(weir, f"/orders/{i}")[1] == i
    origin.answer = site(order=ORDER, coupon=lambda r, p: reply(500))
    answer, body = ask(weir, "/orders/a")
    assert body == "a" and re.fullmatch(r"coupon;reason=status;status=500;stale=\d+", answer.header("weir-missing"))
    weir.reload({**config, "limits": {"max_uri": "4KiB"}})
    assert ask(weir, "/orders/b")[1] == "b"  # it lives on
    answer, body = ask(weir, "/orders/c")
    assert body == "none" and answer.header("weir-missing") == "coupon;reason=status;status=500"


def test_stale_answers_have_an_age(lab):
    origin = lab.origin(site(order=ORDER, coupon={"code": 1}))
    weir = lab.weir(aggregate(origin, {"order": {"path": "/order"}, "coupon": {"path": "/coupon", "need": "weak", "stale": "50ms"}},
                              response="$coupon", upstream={"retry": {"attempts": 1}}))
    assert ask(weir)[1] == {"code": 1}
    origin.answer = site(order=ORDER, coupon=lambda r, p: reply(500))
    wait_until(lambda: ask(weir)[1] is None, "it is too old")


def test_weak_calls_are_left_out_when_weir_is_crowded(lab):
    """At 90 % of max_in_flight they are not made at all."""
    origin = lab.origin(site(order=ORDER, extra={}, hang=hang))
    config = aggregate(origin, {"order": {"path": "/order"}, "extra": {"path": "/extra", "need": "weak", "default": "d"}}, response="$extra")
    config["routes"].append({"match": {"path": "/hang"}, "deadline": "300s", "proxy": "o"})
    weir = lab.weir({**config, "limits": {"max_in_flight": 10}})
    assert ask(weir)[1] == {}
    conns = [weir.connect() for _ in range(9)]
    for conn in conns[:8]:
        conn.request("GET", "/hang")
    weir.wait_metric(8, "weir_in_flight_requests")
    answer, body = ask(weir)  # the ninth
    assert body == "d" and answer.header("weir-missing") == "extra;reason=overload"
    for conn in conns:
        reset(conn)
