"""Origins that are not there, die, hang or answer garbage: 502 or 504 that says which, the worker unharmed, other
requests untouched."""
import contextlib
import os
import socket
import tempfile
import threading

import pytest

from harness import free_port, proxy
from origin import echo, reply
from wire import Truncated, wait_until


def problem(response, status, *codes):
    """The response is weir's own, with that status and one of the codes."""
    assert response.status == status, response
    assert response.header("content-type") == "application/problem+json"
    assert response.json()["code"] in codes, response
    assert response.json()["status"] == status
    return response.json()


def background(call):
    """Runs it in a thread; gives a function that waits for the result."""
    box = []
    thread = threading.Thread(target=lambda: box.append(call()), daemon=True)
    thread.start()

    def result():
        thread.join(60)
        return box[0]
    return result


# ---- not there ----

def test_refused(lab):
    weir = lab.weir(proxy(f"http://127.0.0.1:{free_port()}"))
    with weir.refuses("upstream_connect_failed"):
        problem(weir.get(), 502, "upstream_connect_failed")
    with weir.connect() as conn:
        for _ in range(3):
            problem(conn.exchange("POST", body=b"x"), 502, "upstream_connect_failed")


@contextlib.contextmanager
def full_backlog():
    """An address where connections are neither accepted nor refused."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", free_port()))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_connect_timeout(lab):
    with full_backlog() as url:
        weir = lab.weir(proxy(url, connect_timeout="300ms", retry={"attempts": 1}))
        with weir.refuses("upstream_connect_timeout"):
            problem(weir.get(), 504, "upstream_connect_timeout")


def test_connecting_ends_at_the_deadline(lab):
    with full_backlog() as url:
        weir = lab.weir(proxy(url, connect_timeout="60s", deadline="300ms"))
        with weir.refuses("deadline_exceeded"):
            problem(weir.get(), 504, "deadline_exceeded")


def test_a_name_that_does_not_resolve(lab):
    weir = lab.weir(proxy("http://no-such-host.invalid:80", deadline="20s"))
    problem(weir.get(), 502, "dns_failed")


def test_a_name_that_resolves(lab):
    origin = lab.origin()
    assert lab.weir(proxy(f"http://localhost:{origin.port}")).get("/x").json()["target"] == "/x"


def test_an_origin_on_a_unix_socket(lab):
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        path = os.path.join(short, "o.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()

        def serve():
            sock, _ = listener.accept()
            sock.recv(65536)
            sock.sendall(reply(body=b"by unix"))
            sock.recv(65536)
        threading.Thread(target=serve, daemon=True).start()
        assert lab.weir(proxy(f"unix:{path}")).get().body == b"by unix"
        listener.close()


# ---- hangs ----

def hang(_request, peer):
    peer.hang()


def test_attempt_timeout(lab):
    origin = lab.origin(hang)
    weir = lab.weir(proxy(origin, timeout="300ms", retry={"attempts": 1}))
    with weir.refuses("upstream_timeout"):
        problem(weir.get(), 504, "upstream_timeout")
    assert len(origin.requests) == 1
    wait_until(lambda: origin.open == 0, "weir gives up the connection whose answer is still to come")


def test_deadline(lab):
    """It ends before the attempt's own timeout, and the answer and the metric say in which phase."""
    weir = lab.weir(proxy(lab.origin(hang), timeout="60s", deadline="300ms"))
    with weir.refuses("deadline_exceeded"), weir.counts(1, "weir_deadline_exceeded_total"):
        told = problem(weir.get(), 504, "deadline_exceeded")
    ((labels, value),) = [f for f in weir.metrics().find("weir_deadline_exceeded_total") if f[1]]
    assert value == 1
    phase = labels["phase"]
    assert phase and phase.replace("_", " ") in told["detail"].replace("_", " ")


def test_a_head_that_never_ends(lab):
    def answer(_request, peer):
        peer.send(b"HTTP/1.1 200 OK\r\nX-Half: ")
        peer.hang()
    weir = lab.weir(proxy(lab.origin(answer), timeout="300ms"))
    problem(weir.get(), 504, "upstream_timeout")


def test_a_head_that_drips(lab):
    """One byte after the other does not prolong the attempt."""
    def answer(_request, peer):
        while peer.send(b"X") and not peer.origin.stopping.wait(0.05):
            pass
    drip = lab.origin(lambda r, p: p.send(b"HTTP/1.1 200 OK\r\nX-Drip: ") and answer(r, p))
    problem(lab.weir(proxy(drip, timeout="500ms")).get(), 504, "upstream_timeout")


def test_a_late_answer_is_not_taken_for_the_next(lab):
    """After a timeout the connection is given up, so that its answer meets no other request."""
    release = threading.Event()

    def answer(request, peer):
        if request.target == "/slow" and not peer.wait(release):
            return None
        return reply(body=request.target.encode())
    weir = lab.weir({**proxy(lab.origin(answer), timeout="300ms"), "workers": 1})
    with weir.connect() as conn:
        problem(conn.exchange("GET", "/slow"), 504, "upstream_timeout")
        release.set()
        for i in range(5):
            assert conn.exchange("GET", f"/{i}").body == f"/{i}".encode()


def test_others_are_untouched_by_one_that_hangs(lab):
    config = proxy(lab.origin(), path="/good/*")
    config["upstreams"]["bad"] = {"endpoints": [lab.origin(hang).url], "timeout": "30s"}
    config["routes"].append({"match": {"path": "/bad/*"}, "proxy": {"upstream": "bad"}, "deadline": "4s"})
    weir = lab.weir(config)
    waiting = [background(lambda: weir.get("/bad/x")) for _ in range(30)]
    with weir.connect() as conn:
        for i in range(100):
            assert conn.exchange("GET", f"/good/{i}").status == 200
    for result in waiting:
        problem(result(), 504, "deadline_exceeded")


# ---- dies ----

def test_closes_without_an_answer(lab):
    weir = lab.weir(proxy(lab.origin(lambda request, peer: peer.close())))
    with weir.refuses("upstream_closed"):
        problem(weir.post(body=b"x"), 502, "upstream_closed")


def test_resets_without_an_answer(lab):
    weir = lab.weir(proxy(lab.origin(lambda request, peer: peer.reset())))
    with weir.refuses("upstream_reset"):
        problem(weir.post(body=b"x"), 502, "upstream_reset")


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_fresh_connection_that_ends_is_not_tried_again(lab, end):
    """Where `on` does not name it, even for GET: the race is that of kept connections only (U01)."""
    origin = lab.origin(lambda request, peer: getattr(peer, end)())
    weir = lab.weir(proxy(origin, retry={"attempts": 5, "on": ["connect_failure"]}))
    problem(weir.get(), 502, "upstream_closed", "upstream_reset")
    assert len(origin.requests) == 1


def test_closes_inside_the_head(lab):
    def answer(_request, peer):
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        peer.close()
    problem(lab.weir(proxy(lab.origin(answer))).get(), 502, "upstream_closed")


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("head, body", [
    (b"Content-Length: 100000\r\n", b"x" * 5000),
    (b"Content-Length: 100000\r\n", b""),
    (b"Transfer-Encoding: chunked\r\n", b"1388\r\n" + b"x" * 5000 + b"\r\n"),
    (b"Transfer-Encoding: chunked\r\n", b"ffff\r\n" + b"x" * 5000),
    (b"Transfer-Encoding: chunked\r\n", b"1388\r\n" + b"x" * 5000 + b"\r\n0\r\n"),
], ids=["length", "length, nothing", "chunks", "inside a chunk", "inside the last chunk"])
def test_U05_death_inside_the_body_is_seen_by_the_client(lab, head, body, end):
    """The client sees a message cut off: never a clean end, never another length."""
    def answer(request, peer):
        if request.target == "/whole":
            return reply(body=b"fine")
        peer.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body)
        go_on.wait(20)
        return getattr(peer, end)()
    go_on = threading.Event()
    weir = lab.weir(proxy(lab.origin(answer)))
    with weir.refuses("response_truncated"), weir.connect() as conn:
        conn.request()
        response = conn.head()
        assert response.status == 200
        go_on.set()
        with pytest.raises(Truncated) as cut:
            conn.take_body(response, until_close=False)
        assert set(cut.value.got) <= {ord("x")} and len(cut.value.got) <= 5000
    assert weir.get("/whole").body == b"fine"


def test_U05_an_http_1_0_client_sees_it_too(lab):
    """Where the close is the body's end, only a reset tells the two apart."""
    def answer(_request, peer):
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        go_on.wait(20)
        peer.close()
    go_on = threading.Event()
    with lab.weir(proxy(lab.origin(answer))).connect() as conn:
        conn.request(version="HTTP/1.0")
        conn.head()
        go_on.set()
        conn.rest()
        assert conn.was_reset, "a body that was cut off ended like a whole one"


# ---- garbage ----

@pytest.mark.parametrize("answer", [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" * 10, b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"<html>no head</html>\r\n\r\n",
    b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/1.1 099 Low\r\n\r\n", b"HTTP/2.0 200 OK\r\n\r\n",
    b"HTTP/1.2 200 OK\r\n\r\n", b"http/1.1 200 OK\r\n\r\n", b"HTTP/1.1  200 OK\r\n\r\n",
                                    b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"\0" * 300, b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", b"HTTP/1.1 200 OK\r\n: empty\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
                                    b"HTTP/1.1 200 OK\r\nX: a\r\n fold\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", b"HTTP/1.1 200 OK\r\nX: a\rContent-Length: 0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0", b"HTTP/1.1 200 OK\r\n X: a\r\n\r\n",
    b"HTTP/1.1 200 O\x7fK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: \x01\r\n\r\n", b"HTTP/1.1 200 OK\r\nX\x80: a\r\n\r\n",
    b"HTTP/1.1 +20 OK\r\n\r\n", b"HTTP/1.1 2 0 OK\r\n\r\n", b"ICY 200 OK\r\n\r\n", b"HTTP/1.1\t200 OK\r\n\r\n",
], ids=repr)
def test_S27_garbage(lab, answer):
    origin = lab.origin(lambda request, peer: answer + b"\r\n\r\n")
    weir = lab.weir(proxy(origin))
    problem(weir.get(), 502, "upstream_bad_response", "bad_status_line")
    wait_until(lambda: origin.open == 0, "the connection is dropped")


def test_a_head_without_end(lab):
    def answer(_request, peer):
        while peer.send(b"X-Long: " + b"y" * 1000 + b"\r\n"):
            pass
    endless = lab.origin(lambda r, p: p.send(b"HTTP/1.1 200 OK\r\n") and answer(r, p))
    weir = lab.weir(proxy(endless))
    assert weir.get().status == 502


@pytest.mark.parametrize("head", [
    b"Content-Length: 5\r\nContent-Length: 6\r\n", b"Content-Length: 5\r\nContent-Length: 5\r\n",
                                  b"Content-Length: 5, 5\r\n",
    b"Content-Length: -5\r\n", b"Content-Length: 05\r\n", b"Content-Length: five\r\n", b"Content-Length:\r\n",
    b"Content-Length: 99999999999999999999\r\n", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding: chunked, chunked\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"Transfer-Encoding: \x0bchunked\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n", b"Content-Length: 5\n", b"X: a\rb\r\nContent-Length: 5\r\n",
], ids=repr)
def test_S27_bad_framing_of_a_response(lab, head):
    origin = lab.origin(lambda request, peer: b"HTTP/1.1 200 OK\r\n" + head + b"\r\n5\r\nhello\r\n0\r\n\r\n")
    problem(lab.weir(proxy(origin)).get(), 502, "upstream_bad_response")
    wait_until(lambda: origin.open == 0, "the connection is dropped")


def test_D3_the_head_of_a_response_is_bounded(lab):
    """16 KiB and 100 fields, unless the upstream says otherwise; a reload takes effect."""
    large = reply(body=b"ok", headers=[("X", "y" * 20000)])
    many = reply(body=b"ok", headers=[("X", str(i)) for i in range(150)])
    origin = lab.origin(lambda request, peer: large if request.target == "/large" else many)
    weir = lab.weir(proxy(origin))
    for target in ("/large", "/many"):
        with weir.counts(1, "weir_bad_responses_total", rule="D3"):
            problem(weir.get(target), 502, "upstream_bad_response")
    wait_until(lambda: origin.open == 0, "the connections are dropped")
    assert weir.reload(proxy(origin, max_header_bytes="32KiB", max_headers=200)).status == 200
    response = weir.get("/large")
    assert response.body == b"ok" and response.header("x") == "y" * 20000
    assert weir.get("/many").all("x") == [str(i) for i in range(150)]


@pytest.mark.parametrize("answer, rule", [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "S02"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "S12"),
    (b"HTTP/1.1 20 OK\r\n\r\n", "S27"),
    (b"HTTP/1.1 103 Hints\r\n\r\n" * 11, "S27"),
    (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "S10"),
], ids=["S02", "S12", "S27", "interim", "S10"])
def test_S27_bad_responses_are_counted_by_rule(lab, answer, rule):
    weir = lab.weir(proxy(lab.origin(lambda request, peer: answer)))
    with weir.counts(1, "weir_bad_responses_total", rule=rule, upstream="origin"), \
            weir.counts(1, "weir_bad_responses_total"):
        with weir.connect() as conn, contextlib.suppress(Truncated):
            problem(conn.exchange(), 502, "upstream_bad_response")


@pytest.mark.parametrize("chunks", [
    b"zz\r\nhello\r\n", b"5 \r\nhello\r\n", b"5\nhello\r\n", b"0x5\r\nhello\r\n", b"5\r\nhelloworld\r\n",
    b"5\r\nhello", b"fffffffffffffffff\r\n", b"-5\r\nhello\r\n", b"5;\0\r\nhello\r\n",
], ids=repr)
def test_S27_bad_chunks_of_a_response(lab, chunks):
    """The head has gone out, or not: the client never gets a clean end."""
    origin = lab.origin(lambda request, peer: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n" +
                        chunks + b"XX\r\n\r\n")
    with lab.weir(proxy(origin)).connect() as conn:
        try:
            problem(conn.exchange(), 502, "upstream_bad_response")
        except Truncated as cut:
            assert b"first".startswith(cut.got[:5])
    wait_until(lambda: origin.open == 0, "the connection is dropped")


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 103 Hints\r\nContent-Length: 5\r\n\r\nhello" + reply(body=b"second"),
], ids=["204 with length", "204 with chunks", "1xx with length"])
def test_S27_a_body_where_none_may_be(lab, answer):
    problem(lab.weir(proxy(lab.origin(lambda request, peer: answer))).get(), 502, "upstream_bad_response",
            "body_not_allowed")


@pytest.mark.parametrize("method, first, status", [
    ("GET", b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", 204),
    ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", 304),
    ("GET", reply(body=b"ok") + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", 200),
    ("GET", reply(body=b"ok") + b"trailing garbage", 200),
    ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 55\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", 200),
], ids=["after 204", "after 304", "after a body", "garbage", "to HEAD"])
def test_S27_bytes_behind_a_response_meet_no_other_request(lab, method, first, status):
    """The connection that they came on is not used again."""
    def answer(request, _peer):
        return first if request.target == "/first" else reply(body=request.target.encode())
    origin = lab.origin(answer)
    weir = lab.weir({**proxy(origin), "workers": 1})
    with weir.connect() as conn:
        assert conn.exchange(method, "/first").status == status
        for i in range(3):
            assert conn.exchange("GET", f"/{i}").body == f"/{i}".encode()
    assert [r.target for r in origin.requests if r.peer.number == 0] == ["/first"]


def test_S27_a_storm_of_interim_responses(lab):
    storm = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    weir = lab.weir(proxy(lab.origin(
        lambda request, peer: storm * int(request.target[1:]) + reply(body=b"ok"))))
    assert weir.get("/10").body == b"ok"
    with weir.connect() as conn:
        try:
            assert conn.exchange("GET", "/11").status == 502
        except Truncated:
            pass  # some of them had gone out already


def test_S27_101_that_nobody_asked_for(lab):
    origin = lab.origin(lambda request,
                        peer: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
    assert lab.weir(proxy(origin)).get().status == 502


def test_S28_bytes_before_any_request(lab):
    """On a connection that was opened ahead of need: it is dead before it is used."""
    origin = lab.origin(lambda request, peer: reply(body=request.target.encode()))
    origin.on_connect = lambda peer: peer.number == 0 and peer.send(reply(body=b"poison"))
    weir = lab.weir({**proxy(origin, pool={"min_idle": 1}), "workers": 1})
    wait_until(lambda: origin.peers and origin.peers[0].ended, "weir closes it")
    with weir.connect() as conn:
        for i in range(3):
            assert conn.exchange("GET", f"/{i}").body != b"poison"


def test_S28_bytes_on_an_idle_connection(lab):
    sent = threading.Event()

    def answer(request, peer):
        if request.target == "/0":
            peer.send(reply(body=b"/0"))
            first_read.wait(20)
            peer.send(reply(body=b"poison"))
            sent.set()
            return b""
        return reply(body=request.target.encode())
    first_read = threading.Event()
    weir = lab.weir({**proxy(lab.origin(answer)), "workers": 1})
    with weir.connect() as conn:
        assert conn.exchange("GET", "/0").body == b"/0"
        first_read.set()
        assert sent.wait(20)
        for i in range(1, 4):
            assert conn.exchange("GET", f"/{i}").body == f"/{i}".encode()


# ---- pooled connections and retries ----

def test_U01_a_get_meets_a_pooled_connection_that_closes(lab):
    """The origin closes as the second request comes in: weir asks again on a fresh connection, nobody notices."""
    def answer(request, peer):
        if request.target == "/second" and peer.number == 0:
            return peer.close()
        return reply(body=request.target.encode())
    origin = lab.origin(answer)
    weir = lab.weir({**proxy(origin), "workers": 1})
    with weir.connect() as conn:
        assert conn.exchange("GET", "/first").body == b"/first"
        assert conn.exchange("GET", "/second").body == b"/second"
    assert [r.target for r in origin.requests] == ["/first", "/second", "/second"]
    weir.wait_metric(1, "weir_upstream_retries_total")


@pytest.mark.parametrize("end", ["close", "reset"])
def test_U01_a_post_is_never_sent_twice(lab, end):
    def answer(request, peer):
        if request.method == "POST":
            return getattr(peer, end)()
        return reply(body=b"ok")
    origin = lab.origin(answer)
    weir = lab.weir({**proxy(origin), "workers": 1})
    with weir.connect() as conn:
        for _ in range(5):
            assert conn.exchange("GET", "/").status == 200
            problem(conn.exchange("POST", "/order", body=b"one"), 502, "upstream_closed", "upstream_reset")
    assert len([r for r in origin.requests if r.method == "POST"]) == 5


def test_U01_nothing_is_retried_after_a_byte_of_the_answer(lab):
    def answer(request, peer):
        if request.target == "/second":
            peer.send(b"HTTP/1.1 200")
            return peer.close()
        return reply(body=b"ok")
    origin = lab.origin(answer)
    config = proxy(origin, retry={"on": ["connect_failure"]})
    with lab.weir({**config, "workers": 1}).connect() as conn:
        conn.exchange("GET", "/first")
        problem(conn.exchange("GET", "/second"), 502, "upstream_closed")
    assert len(origin.requests) == 2


def test_pooled_connections_that_closed_in_silence(lab):
    """The origin closes each connection after its answer without saying so before."""
    def answer(request, peer):
        peer.send(reply(body=request.target.encode()))
        peer.close()
    weir = lab.weir(proxy(lab.origin(answer)))
    with weir.connect() as conn:
        for i in range(30):
            assert conn.exchange("GET", f"/{i}").body == f"/{i}".encode()


def test_an_origin_that_says_close_is_not_asked_on_that_connection_again(lab):
    def answer(request, peer):
        assert len([r for r in peer.origin.requests if r.peer is peer]) == 1
        return reply(body=b"ok", headers=[("Connection", "close")])
    origin = lab.origin(answer)
    weir = lab.weir(proxy(origin))
    with weir.connect() as conn:
        for _ in range(5):
            assert not conn.exchange().closes  # the client's connection is another matter
    assert len(origin.peers) == 5


def test_one_endpoint_is_dead(lab):
    """A failed connect is tried at another endpoint, whatever the method: nothing was sent."""
    origin = lab.origin()
    weir = lab.weir(proxy(f"http://127.0.0.1:{free_port()}", origin, retry={"attempts": 2}))
    for i in range(10):
        assert weir.get(f"/{i}").status == 200
        assert weir.post(f"/{i}", b"x").status == 200
    assert len(origin.requests) == 20
    assert weir.metric("weir_upstream_retries_total", upstream="origin") > 0


def test_attempts_of_1_means_no_retry(lab):
    origin = lab.origin()
    weir = lab.weir({**proxy(f"http://127.0.0.1:{free_port()}", origin, retry={"attempts": 1}), "workers": 1})
    statuses = [weir.get().status for _ in range(10)]
    assert sorted(set(statuses)) == [200, 502]
    assert weir.metric("weir_upstream_retries_total") == 0


def test_all_endpoints_are_dead(lab):
    weir = lab.weir(proxy(*(f"http://127.0.0.1:{free_port()}" for _ in range(3)), retry={"attempts": 3}))
    problem(weir.get(), 502, "upstream_connect_failed")


def test_an_origin_that_comes_back(lab):
    port = free_port()
    weir = lab.weir(proxy(f"http://127.0.0.1:{port}"))
    problem(weir.get(), 502, "upstream_connect_failed")
    lab.origin(port=port)
    assert weir.get().status == 200


# ---- balance and bulkhead ----

def test_round_robin_spreads_evenly(lab):
    origins = [lab.origin() for _ in range(3)]
    weir = lab.weir({**proxy(*origins), "workers": 1})
    for i in range(30):
        assert weir.get(f"/{i}").status == 200
    assert [len(o.requests) for o in origins] == [10, 10, 10]
    for o in origins:
        weir.wait_metric(10, "weir_endpoint_requests_total", upstream="origin", endpoint=o.url)


def test_round_robin_is_even_over_all_workers(lab):
    origins = [lab.origin() for _ in range(3)]
    weir = lab.weir({**proxy(*origins), "workers": 4})
    results = [background(lambda: [weir.get().status for _ in range(30)]) for _ in range(4)]
    assert all(set(result()) == {200} for result in results)
    assert all(36 <= len(o.requests) <= 44 for o in origins), [len(o.requests) for o in origins]


def test_bulkhead(lab):
    """Beyond max_in_flight there is 503 at once; room that becomes free is used again."""
    release = threading.Event()
    origin = lab.origin(lambda request, peer: peer.wait(release) and echo(request, peer))
    weir = lab.weir(proxy(origin, max_in_flight=2, max_pending=0))
    held = [background(weir.get) for _ in range(2)]
    wait_until(lambda: len(origin.requests) == 2, "two requests are at the origin")
    with weir.refuses("bulkhead_full", 3), weir.counts(3, "weir_bulkhead_rejected_total", upstream="origin"):
        for _ in range(3):
            response = weir.get()
            problem(response, 503, "bulkhead_full")
            assert int(response.header("retry-after")) >= 0
    release.set()
    assert [result().status for result in held] == [200, 200]
    wait_until(lambda: weir.get().status == 200, "the room is used again")
    assert origin.most_busy == 2


def test_bulkhead_queue(lab):
    """Beyond max_in_flight requests wait, in order of arrival, up to max_pending and within their deadline."""
    release = threading.Semaphore(0)
    origin = lab.origin(lambda request, peer: release.acquire(timeout=60) and echo(request, peer))
    weir = lab.weir({**proxy(origin, max_in_flight=1, max_pending=2), "workers": 2})
    held = [background(lambda: weir.get("/0"))]
    wait_until(lambda: len(origin.requests) == 1, "one request is at the origin")
    for n in (1, 2):
        held.append(background(lambda n=n: weir.get(f"/{n}")))
        wait_until(lambda: weir.metric("weir_bulkhead_pending") == n, f"{n} wait")
    with weir.refuses("bulkhead_full"):
        problem(weir.get("/3"), 503, "bulkhead_full")
    for n in range(3):
        release.release()
        assert held[n]().status == 200
    assert [r.target for r in origin.requests] == ["/0", "/1", "/2"]
    assert origin.most_busy == 1
    assert weir.metric("weir_bulkhead_pending") == 0


def test_bulkhead_queue_ends_with_the_deadline(lab):
    release = threading.Event()
    origin = lab.origin(lambda request, peer: peer.wait(release) and echo(request, peer))
    config = proxy(origin, max_in_flight=1, path="/late", deadline="300ms")
    config["routes"].append({"match": {"path": "/held"}, "proxy": "origin"})
    weir = lab.weir(config)
    held = background(lambda: weir.get("/held"))
    wait_until(lambda: len(origin.requests) == 1, "one request is at the origin")
    problem(weir.get("/late"), 504, "deadline_exceeded")
    release.set()
    assert held().status == 200
    assert [r.target for r in origin.requests] == ["/held"]
    assert weir.metric("weir_bulkhead_pending") == 0


def test_pool_max_connections(lab):
    release = threading.Event()
    origin = lab.origin(lambda request, peer: peer.wait(release) and echo(request, peer))
    weir = lab.weir(proxy(origin, pool={"max_connections": 1, "max_idle": 1}))
    held = background(weir.get)
    wait_until(lambda: len(origin.requests) == 1, "one request is at the origin")
    second = background(weir.get)
    wait_until(lambda: weir.metric("http_server_active_requests") >= 2 or weir.metric("weir_refusals_total") > 0,
               "the second is in weir")
    assert len(origin.peers) == 1
    release.set()
    assert held().status == 200
    if second().status != 200:
        problem(second(), 503, "pool_exhausted")


def test_idle_connections_are_given_up(lab):
    origin = lab.origin()
    weir = lab.weir(proxy(origin, pool={"max_idle_time": "200ms"}))
    assert weir.get().status == 200
    wait_until(lambda: origin.open == 0, "the idle connection is closed")


def test_a_client_that_leaves_holds_the_upstream_no_longer_than_its_deadline(lab):
    origin = lab.origin(hang)
    weir = lab.weir(proxy(origin, timeout="300s", deadline="1s"))
    conn = weir.connect()
    conn.request()
    wait_until(lambda: len(origin.requests) == 1, "the request is at the origin")
    conn.close()
    wait_until(lambda: origin.open == 0, "the upstream connection is given up")
    weir.wait_metric(0, "http_server_active_requests")
