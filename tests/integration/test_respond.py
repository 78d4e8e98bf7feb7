"""The handler that answers by itself."""
import threading
import time

import pytest

CONFIG = """
routes:
  - match: {path: /text}
    respond: {status: 201, headers: {X-One: "1", Content-Type: text/plain}, body: "hello\\n"}
  - match: {path: /json}
    respond: {json: {hello: world, list: [1, 2.5, true, null, "7"], nested: {"quoted \\"key\\"": "caf\\u00e9"}}}
  - match: {path: /status}
    respond: {status: 404}
  - match: {path: /empty}
    respond: {status: 204}
  - match: {path: /large}
    respond: {body: "%s"}
  - match: {path: /slow}
    respond: {body: slow, delay: 1s}
  - match: {path: /late}
    deadline: 300ms
    respond: {body: late, delay: 20s}
""" % ("x" * 100000)


@pytest.fixture(scope="module")
def site(module_lab):
    return module_lab.weir(CONFIG)


def test_status_headers_body(site):
    response = site.get("/text")
    assert response.status == 201
    assert response.header("x-one") == "1"
    assert response.header("content-type") == "text/plain"
    assert response.body == b"hello\n"
    assert response.header("content-length") == "6"


def test_json(site):
    response = site.get("/json")
    assert response.status == 200
    assert response.header("content-type") == "application/json"
    assert response.json() == {"hello": "world", "list": [1, 2.5, True, None, "7"],
                               "nested": {'quoted "key"': "caf\xe9"}}


def test_status_alone(site):
    response = site.get("/status")
    assert response.status == 404 and response.body == b""
    assert response.header("content-type") != "application/problem+json"


def test_204_has_no_body_and_no_length(site):
    with site.connect() as conn:
        response = conn.exchange("GET", "/empty")
        assert response.status == 204 and not response.names() & {"content-length", "transfer-encoding"}
        assert conn.exchange("GET", "/text").status == 201


def test_large_body(site):
    assert site.get("/large").body == b"x" * 100000


def test_head(site):
    with site.connect() as conn:
        response = conn.exchange("HEAD", "/text")
        assert response.status == 201 and response.header("content-length") == "6"
        assert conn.exchange("GET", "/text").body == b"hello\n"


def test_a_body_that_nobody_wants_is_read_away(site):
    with site.connect() as conn:
        for _ in range(3):
            assert conn.exchange("POST", "/text", body=b"y" * 30000).body == b"hello\n"


def test_delay(site):
    begin = time.monotonic()
    assert site.get("/slow").body == b"slow"
    assert time.monotonic() - begin >= 0.99


def test_a_delayed_answer_holds_nobody_up(site):
    """50 answers wait; they hold no worker, so others pass them."""
    done = []

    def ask():
        done.append(site.get("/slow").body)
    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    while len(done) == 0:
        assert site.get("/text").status == 201
    for thread in threads:
        thread.join()
    assert done == [b"slow"] * 50


def test_a_delay_past_the_deadline_is_504(site):
    with site.refuses("deadline_exceeded"):
        response = site.get("/late")
    assert response.status == 504
    assert response.json()["code"] == "deadline_exceeded"


def test_templates(lab):
    weir = lab.weir({"routes": [
        {"match": {"path": "/hello/{name}"}, "respond": {"json": {
            "hello": "$name", "page": "$number($request.query.page ?? '1')", "text": "{name} by {request.method}", "cost": "$$5", "set": "{{x}"}}},
        {"match": {"path": "/echo"}, "respond": {"status": 201, "json": "$request.body"}}]})
    answer = weir.get("/hello/a%20%22b%22?page=3")
    assert answer.json() == {"hello": 'a "b"', "page": 3, "text": 'a "b" by GET', "cost": "$5", "set": "{x}"}
    assert answer.header("content-type") == "application/json"
    assert weir.get("/hello/x").json()["page"] == 1
    assert weir.get("/hello/x?page=y").json()["code"] == "template_failed"
    assert weir.get("/hello/x?%70age=+%34").json()["code"] == "template_failed"  # " 4" is no number
    assert weir.get("/hello/x?pag%+1=4").json()["page"] == 1  # no escape, so no name of ours
    answer = weir.post("/echo", b'{"a" : [1.0]}')
    assert (answer.status, answer.body) == (201, b'{"a" : [1.0]}\n')
    assert weir.post("/echo", b"{").json()["code"] == "bad_json"


def test_a_template_that_names_nothing_known(lab):
    weir = lab.weir({"routes": [{"match": {"path": "/{name}"}, "respond": {"json": {"a": "$nmae"}}}]}, ready=False)
    weir.exit_expected = 1
    assert weir.wait() == 1
    assert 'nothing here is called "nmae"; there are name' in weir.stderr()
