"""`transform` of a proxy route: JSON is reshaped on its way there and back; what has no template passes as it is."""
import json
import re

import pytest

from origin import reply, reply_chunked
from test_aggregate import as_json, hang

pytestmark = pytest.mark.release


def config(origin, transform, **route):
    return {"workers": 1, "upstreams": {"o": {"endpoints": [origin.url], "breaker": False, "retry": {"attempts": 1}}},
            "routes": [{"match": {"path": "/b2b/{partner}"}, "proxy": {"upstream": "o", "transform": transform}, **route}]}


REQUEST = {"ref": "$request.body.order.id", "by": "{partner}", "who": "$request.header.x-user"}
RESPONSE = {"ok": True, "id": "$response.result.id", "status": "$status", "rows": {"$each": "$response.rows", "$as": "r", "$do": "$r.n"}}
ERROR = {"code": "$status", "text": "$response.error.text ?? 'unknown'"}


def test_both_ways(lab):
    origin = lab.origin(lambda r, p: as_json({"result": {"id": 5}, "rows": [{"n": 1}, {"n": 2.50}]}, headers=[("X-Kept", "1"), ("ETag", '"x"')]))
    weir = lab.weir(config(origin, {"request": REQUEST, "response": RESPONSE}))
    answer = weir.post("/b2b/acme", b'{"order": {"id": 12.0}}', headers=[("X-User", "me"), ("Accept-Encoding", "gzip"), ("Content-Type", "text/json")])
    assert answer.status == 200 and answer.json() == {"ok": True, "id": 5, "status": 200, "rows": [1, 2.5]}
    assert answer.header("content-type") == "application/json" and answer.header("x-kept") == "1" and answer.header("etag") is None
    sent = origin.last
    assert sent.body == b'{"ref":12.0,"by":"acme","who":"me"}'
    assert sent.header("content-type") == "application/json" and sent.header("x-user") == "me"
    assert "accept-encoding" not in sent.names()


def test_a_chunked_answer_and_an_untouched_request(lab):
    origin = lab.origin(lambda r, p: reply_chunked([b'{"result":', b'{"id":"x"}}']))
    weir = lab.weir(config(origin, {"response": RESPONSE}))
    answer = weir.post("/b2b/a", b"any <bytes>")
    assert answer.json() == {"ok": True, "id": "x", "status": 200, "rows": []}
    assert origin.last.body == b"any <bytes>"


def test_the_request_alone(lab):
    origin = lab.origin(lambda r, p: reply(200, b"<as it is>", headers=[("Content-Type", "text/html"), ("ETag", '"x"')]))
    weir = lab.weir(config(origin, {"request": REQUEST}))
    answer = weir.post("/b2b/a", b'{"order": {}}')
    assert answer.body == b"<as it is>" and answer.header("content-type") == "text/html" and answer.header("etag") == '"x"'
    assert json.loads(origin.last.body) == {"ref": None, "by": "a", "who": None}


def test_a_template_of_the_answer_may_read_the_request(lab):
    origin = lab.origin(lambda r, p: as_json({}))
    weir = lab.weir(config(origin, {"response": {"echo": "$request.body.a"}}))
    assert weir.post("/b2b/a", b'{"a" : 1}').json() == {"echo": 1}
    assert origin.last.body == b'{"a" : 1}'


@pytest.mark.parametrize("answer, made", [
    (lambda r, p: as_json({"error": {"text": "no"}}, 404), {"code": 404, "text": "no"}),
    (lambda r, p: reply(500, b"<html>"), {"code": 500, "text": "unknown"}),
    (lambda r, p: reply(302, b"", headers=[("Location", "/x")]), {"code": 302, "text": "unknown"})])
def test_errors_have_a_template_of_their_own(lab, answer, made):
    origin = lab.origin(answer)
    weir = lab.weir(config(origin, {"response": RESPONSE, "error": ERROR}))
    got = weir.get("/b2b/a")
    assert got.status == made["code"] and got.json() == made


def test_without_one_they_pass_unchanged(lab):
    origin = lab.origin(lambda r, p: reply(500, b"<html>", headers=[("Content-Type", "text/html")]))
    weir = lab.weir(config(origin, {"response": RESPONSE}))
    answer = weir.get("/b2b/a")
    assert (answer.status, answer.body, answer.header("content-type")) == (500, b"<html>", "text/html")


def test_304_and_head_and_204(lab):
    origin = lab.origin(lambda r, p: b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n")
    weir = lab.weir(config(origin, {"response": {"s": "$status", "r": "$response"}, "error": ERROR}))
    assert weir.get("/b2b/a").status == 304
    origin.answer = lambda r, p: b"HTTP/1.1 204 No Content\r\n\r\n"
    answer = weir.get("/b2b/a")
    assert answer.status == 200 and answer.json() == {"s": 204, "r": None}
    origin.answer = lambda r, p: b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + (b"" if r.method == "HEAD" else b"12345")
    assert weir.request("HEAD", "/b2b/a").status == 200


BAD = {"html": (lambda r, p: reply(200, b"<p>"), 502, "upstream_bad_json"),
       "half": (lambda r, p: as_json(b'{"a":'), 502, "upstream_bad_json"),
       "R12_twice": (lambda r, p: as_json(b'{"a":1,"a":2}'), 502, "upstream_bad_json"),
       "large": (lambda r, p: as_json(b'"' + b"x" * 5000 + b'"'), 502, "upstream_response_too_large"),
       "cut": (lambda r, p: p.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{") and p.close(), 502, "response_truncated"),
       "never": (hang, 504, "deadline_exceeded"),
       "stalls": (lambda r, p: p.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{") and p.hang(), 504, "deadline_exceeded"),
       "shape": (lambda r, p: as_json({"result": [1]}), 502, "template_failed")}


@pytest.mark.parametrize("fault", BAD)
def test_bad_answers(lab, fault):
    answer, status, code = BAD[fault]
    origin = lab.origin(answer)
    weir = lab.weir(config(origin, {"response": RESPONSE, "error": ERROR, "max_response": "4KiB"}, deadline="400ms"))
    got = weir.get("/b2b/a")
    assert (got.status, got.json()["code"]) == (status, code), got.body
    if code == "upstream_bad_json":
        assert re.search(r"upstream o: its answer is no JSON: .*, at byte \d+", got.json()["detail"])


@pytest.mark.parametrize("body", [b"", b"<p>", b'{"a":1,"a":2}'])
def test_bad_requests_do_not_arrive(lab, body):
    origin = lab.origin(lambda r, p: as_json({}))
    weir = lab.weir(config(origin, {"request": REQUEST}))
    got = weir.post("/b2b/a", body)
    assert (got.status, got.json()["code"]) == (400, "bad_json") and not origin.requests


def test_mistakes_are_named(lab):
    origin = lab.origin()
    for transform, said in (({"request": "$response"}, 'nothing here is called "response"'), ({}, "names one of request"),
                            ({"response": "$partner2"}, "there are partner, response, status")):
        weir = lab.weir(config(origin, transform), ready=False)
        weir.exit_expected = 1
        assert weir.wait() == 1 and said in weir.stderr()
