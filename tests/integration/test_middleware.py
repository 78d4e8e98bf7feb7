"""request_id, headers, access_log."""
import contextlib
import json
import os
import re
import signal
import threading

import pytest

from harness import proxy
from origin import reply
from wire import wait_until

HELLO = [{"match": {"path": "/hello"}, "respond": {"body": "hi"}}]


# ---- request_id ----

def test_request_id_is_the_same_on_both_sides(lab):
    weir = lab.weir({**proxy(lab.origin()), "use": ["request_id"]})
    response = weir.get()
    (given,) = response.all("x-request-id")
    assert re.fullmatch(r"[A-Za-z0-9-]{16,64}", given)
    assert [v for n, v in response.json()["headers"] if n.lower() == "x-request-id"] == [given]


def test_request_ids_differ(lab):
    weir = lab.weir({"use": ["request_id"], "routes": HELLO})
    with weir.connect() as conn:
        seen = {conn.exchange("GET", "/hello").header("x-request-id") for _ in range(500)}
    assert len(seen) == 500


def test_request_id_stands_in_problems(lab):
    weir = lab.weir({"use": ["request_id"], "routes": HELLO})
    response = weir.get("/nothing")
    assert response.status == 404
    assert response.json()["request_id"] == response.header("x-request-id")


def test_request_id_of_a_stranger_is_not_taken(lab):
    weir = lab.weir({**proxy(lab.origin()), "use": ["request_id"]})
    response = weir.get(headers={"X-Request-Id": "mine-0123456789abcdef"})
    assert response.header("x-request-id") != "mine-0123456789abcdef"
    assert "mine-0123456789abcdef" not in response.body.decode()


def test_request_id_of_a_trusted_proxy_goes_on(lab):
    weir = lab.weir({**proxy(lab.origin()), "use": ["request_id"], "trusted_proxies": ["127.0.0.1"]})
    response = weir.get(headers={"X-Request-Id": "theirs-0123456789abcdef"})
    assert response.header("x-request-id") == "theirs-0123456789abcdef"
    assert ["theirs-0123456789abcdef"] == [v for n, v in response.json()["headers"] if n.lower() == "x-request-id"]


@pytest.mark.parametrize("bad", ["x" * 5000, "a b", "a\xe4"])
def test_request_id_that_is_none_is_replaced(lab, bad):
    weir = lab.weir({**proxy(lab.origin()), "use": ["request_id"], "trusted_proxies": ["127.0.0.1"]})
    given = weir.get(headers={"X-Request-Id": bad}).header("x-request-id")
    assert re.fullmatch(r"[A-Za-z0-9-]{16,64}", given)


def test_without_it_there_is_no_request_id(lab):
    response = lab.weir(proxy(lab.origin())).get()
    assert "x-request-id" not in response.names()


# ---- headers ----

HEADERS = {
    "middleware": {"mine": {"headers": {
        "request": {"set": {"X-Env": "test"}, "remove": ["X-Debug", "Accept-Language"]},
        "response": {"set": {"X-Served-By": "weir", "Server": "none"}, "remove": ["X-Powered-By"]},
    }}},
    "use": ["mine"],
}


def test_headers_are_set_and_removed(lab):
    origin = lab.origin(lambda request, peer: reply(body=b"ok", headers=[
        ("X-Powered-By", "PHP/5"), ("X-Powered-By", "again"), ("Server", "old/1.0"), ("X-Other", "1")]))
    weir = lab.weir({**proxy(origin), **HEADERS})
    response = weir.get(headers=[("X-Env", "theirs"), ("x-debug", "1"), ("X-Debug", "2"), ("Accept-Language", "de"),
                                 ("X-Keep", "3")])
    assert response.all("x-served-by") == ["weir"]
    assert response.all("server") == ["none"]
    assert "x-powered-by" not in response.names() and response.header("x-other") == "1"
    assert origin.last.all("x-env") == ["test"]
    assert origin.last.all("x-keep") == ["3"]
    assert not origin.last.names() & {"x-debug", "accept-language"}


def test_headers_on_what_weir_answers_itself(lab):
    weir = lab.weir({"routes": HELLO, **HEADERS})
    assert weir.get("/hello").header("x-served-by") == "weir"


def test_headers_of_one_route_only(lab):
    weir = lab.weir({"middleware": HEADERS["middleware"], "routes": [
        {"match": {"path": "/a"}, "use": ["mine"], "respond": {"body": "a"}},
        {"match": {"path": "/b"}, "respond": {"body": "b"}}]})
    assert weir.get("/a").header("x-served-by") == "weir"
    assert weir.get("/b").header("x-served-by") is None


# ---- access_log ----

def logged(path, n):
    """The lines of an access log, once there are n of them."""
    def lines():
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as f:
            text = f.read()
        out = [json.loads(line) for line in text.split("\n")[:-1]]
        assert len(out) <= n, f"{len(out)} lines, not {n}"
        return out if len(out) == n else None
    return wait_until(lines, f"{n} lines in the access log")


def with_log(lab, config, **options):
    path = lab.path("access.log")
    return lab.weir({**config, "middleware": {"log": {"access_log": {"path": path, **options}}},
                     "use": ["request_id", "log"]}), path


def test_access_log_line(lab):
    origin = lab.origin()
    weir, path = with_log(lab, proxy(origin, path="/orders/{id}"))
    response = weir.post("/orders/7?secret=1", b"12345", host="shop.example",
                         headers={"User-Agent": "test \"agent\"\\", "Authorization": "Basic eA==", "Cookie": "a=b"})
    (line,) = logged(path, 1)
    assert line["http.request.method"] == "POST"
    assert line["url.path"] == "/orders/7"
    assert line["http.route"] == "/orders/{id}"
    assert line["http.response.status_code"] == 200
    assert line["http.request.body.size"] == 5
    assert line["http.response.body.size"] == len(response.body)
    assert line["client.address"] == "127.0.0.1"
    assert line["server.address"] == "shop.example"
    assert line["network.protocol.version"] == "1.1"
    assert line["user_agent.original"] == "test \"agent\"\\"
    assert line["request_id"] == response.header("x-request-id")
    assert line["upstream"] == "origin" and str(origin.port) in line["endpoint"] and line["attempts"] == 1
    assert line["duration"] >= line["upstream_duration"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["ts"])
    assert "eA==" not in str(line) and "a=b" not in str(line)


def test_access_log_goes_to_standard_output(lab):
    weir = lab.weir({"use": ["access_log"], "routes": HELLO})
    weir.get("/hello")
    line = wait_until(lambda: [line for line in weir.log() if "http.route" in line], "a line on standard output")[0]
    assert (line["http.route"], line["http.response.status_code"]) == ("/hello", 200)
    assert "url.query" not in line


def test_access_log_has_the_query_when_asked(lab):
    weir, path = with_log(lab, {"routes": HELLO}, query=True)
    weir.get("/hello?a=b&c")
    assert logged(path, 1)[0]["url.query"] == "a=b&c"


def test_access_log_has_every_request_once(lab):
    weir, path = with_log(lab, {"routes": HELLO})

    def client():
        with weir.connect() as conn:
            for _ in range(100):
                conn.exchange("GET", "/hello")
    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = logged(path, 800)
    assert len({line["request_id"] for line in lines}) == 800


def test_access_log_has_refusals(lab):
    weir, path = with_log(lab, {**proxy("http://127.0.0.1:1", path="/dead"), "limits": {"max_body": "10B"}})
    weir.get("/nothing")
    weir.get("/dead")
    weir.post("/dead", b"x" * 11)
    lines = logged(path, 3)  # in the order of the workers that wrote them
    assert {(line["http.response.status_code"], line["code"]) for line in lines} == {
        (404, "no_route"), (502, "upstream_connect_failed"), (413, "body_too_large")}


def test_access_log_cannot_be_forged(lab):
    weir, path = with_log(lab, {"routes": [{"match": {"path": "/*"}, "respond": {"body": "hi"}}]})
    weir.get("/x%22%7D", headers={"User-Agent": '"}\\u000a{"ts":"forged"}', "Referer": "http://a/\xff"})
    (line,) = logged(path, 1)
    assert line["user_agent.original"] == '"}\\u000a{"ts":"forged"}'
    assert line["url.path"] == "/x%22%7D"


def test_access_log_is_opened_again_on_usr1(lab):
    weir, path = with_log(lab, {"routes": HELLO})
    weir.get("/hello")
    logged(path, 1)
    os.rename(path, path + ".1")
    weir.signal(signal.SIGUSR1)
    wait_until(lambda: os.path.exists(path), "the log has been opened again")
    weir.get("/hello")
    logged(path, 1)
    assert len(logged(path + ".1", 1)) == 1


def test_an_access_log_that_cannot_be_opened_ends_the_start(lab):
    weir = lab.weir({"middleware": {"log": {"access_log": {"path": "/nonexistent/dir/access.log"}}}, "use": ["log"],
                     "routes": HELLO}, ready=False)
    weir.exit_expected = 1
    assert weir.wait() == 1
    assert "/nonexistent/dir/access.log" in weir.stderr()


class Pipe:
    """A named pipe as log file, which the test reads when it likes."""

    def __init__(self, path):
        os.mkfifo(path)
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self.text = b""
        self.done = threading.Event()

    def read(self):
        with contextlib.suppress(BlockingIOError):
            self.text += os.read(self.fd, 1 << 20)
        return self.text

    def read_on(self):
        """In a thread: nothing waits for the reader any more."""
        while not self.done.wait(0.005):
            self.read()


@pytest.fixture
def pipe(lab):
    made = Pipe(lab.path("pipe"))
    yield made
    os.close(made.fd)


def test_a_slow_disk_never_holds_a_request(lab, pipe):
    """The log is a pipe that nobody reads: it fills, lines are dropped and counted, requests go on. Then it is read,
    and tells how many are missing."""
    weir = lab.weir({"middleware": {"log": {"access_log": {"path": lab.path("pipe")}}}, "use": ["log"],
                     "routes": HELLO})
    request = b"GET /hello HTTP/1.1\r\nHost: weir.test\r\nUser-Agent: " + b"u" * 1000 + b"\r\n\r\n"
    sent = 0
    with weir.connect() as conn:
        while weir.metric("weir_log_dropped_total") == 0:
            assert sent < 50000, "no line was dropped"
            conn.send(request * 50)
            for _ in range(50):
                assert conn.response().status == 200
            sent += 50
    dropped = weir.metric("weir_log_dropped_total")

    def complete():
        lines = [json.loads(line) for line in pipe.read().split(b"\n")[:-1]]
        told = sum(line["dropped"] for line in lines if "dropped" in line)
        return told == dropped and len([line for line in lines if "dropped" not in line]) + dropped == sent
    wait_until(complete, "the lines that were kept, and how many were not")
    reader = threading.Thread(target=pipe.read_on)
    reader.start()
    weir.term()
    try:
        assert weir.wait() == 0
    finally:
        pipe.done.set()
        reader.join()


def test_a_slow_disk_does_not_hold_the_end_up(lab, pipe):
    """TERM while the log's reader is gone for good: the lines are lost, weir ends all the same."""
    weir = lab.weir({"middleware": {"log": {"access_log": {"path": lab.path("pipe")}}}, "use": ["log"],
                     "routes": HELLO})
    with weir.connect() as conn:
        for _ in range(4):
            conn.send((b"GET /hello HTTP/1.1\r\nHost: weir.test\r\nUser-Agent: " + b"u" * 1000 + b"\r\n\r\n") * 50)
            for _ in range(50):
                assert conn.response().status == 200
    weir.term()
    assert weir.wait() == 0


# ---- order ----

def test_the_list_is_outermost_first(lab):
    """Of two that set one header, the outer one has the last word on the way back."""
    weir = lab.weir({"middleware": {"outer": {"headers": {"response": {"set": {"X-Who": "outer"}}}},
                                    "inner": {"headers": {"response": {"set": {"X-Who": "inner"}}}}},
                     "use": ["outer"],
                     "routes": [{"match": {"path": "/"}, "use": ["inner"], "respond": {"body": "hi"}}]})
    assert weir.get().all("x-who") == ["outer"]
