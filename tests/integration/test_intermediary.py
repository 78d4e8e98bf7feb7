"""What RFC 9110 and RFC 9112 ask of an intermediary, requests and responses alike."""
import re

import pytest

from harness import proxy
from origin import reply
from wire import wait_until


@pytest.fixture(scope="module")
def gate(module_lab):
    origin = module_lab.origin()
    config = {**proxy(origin), "workers": 1}
    config["routes"].append({"match": {"path": "/trace/*", "methods": ["TRACE", "OPTIONS", "GET"]},
                             "proxy": {"upstream": "origin"}})
    config["routes"].append({"match": {"path": "/identity"}, "proxy": {"upstream": "origin"}, "use": ["identity"]})
    config["middleware"] = {"identity": {"headers": {"request": {"set": {"X-User": "alice", "X-Tenant": "one"}}}}}
    weir = module_lab.weir(config)
    weir.origin = origin
    return weir


def arrived(told, name):
    return [v for n, v in told["headers"] if n.lower() == name]


def answering(lab, answer, **more):
    """weir before an origin that answers with these bytes to everything but /after."""
    origin = lab.origin(lambda request, peer: reply(body=b"after") if request.target == "/after" else answer)
    weir = lab.weir({**proxy(origin), "workers": 1, **more})
    weir.origin = origin
    return weir


# ---- hop-by-hop fields ----

def test_P05_what_connection_names_is_not_forwarded(gate):
    told = gate.get(headers=[("Connection", "X-Hop, x-other , close"), ("X-Hop", "1"), ("x-hop", "2"), ("X-Other", "3"),
                             ("Connection", "If-None-Match"), ("If-None-Match", '"x"'), ("X-Stays", "4"),
                             ("TE", "trailers, deflate"), ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "close"),
                             ("Proxy-Authorization", "Basic eA==")]).json()
    names = {n.lower() for n, _ in told["headers"]}
    assert not names & {"x-hop", "x-other", "if-none-match", "te", "keep-alive", "proxy-connection", "connection",
                        "proxy-authorization"}
    assert arrived(told, "x-stays") == ["4"]


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "Host", "X-Forwarded-For", "X-Forwarded-Host", "Content-Type",
                                  "X-Request-Id", "Via", "Origin", "Traceparent"])
def test_P05_what_weir_owns_stays(gate, name):
    sent = [] if name == "Host" else [(name, "1.1 one" if name == "Via" else "one")]
    told = gate.get(headers=[("Connection", f"close, {name}"), *sent]).json()
    assert arrived(told, name.lower())


@pytest.mark.parametrize("framing", [b"Content-Length: 5\r\n\r\nhello",
                                     b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"])
def test_P05_framing_stays(gate, framing):
    with gate.connect() as conn:
        conn.send(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length, Transfer-Encoding, Host\r\n" + framing)
        assert conn.response().json()["length"] == 5
        assert conn.exchange("GET", "/after").json()["target"] == "/after"


def test_P05_what_a_middleware_sets_stays(gate):
    """Connection speaks of the client's fields. It cannot take off an identity that weir has put on."""
    told = gate.get("/identity", headers=[("Connection", "X-User, x-tenant"), ("X-User", "mallory")]).json()
    assert arrived(told, "x-user") == ["alice"] and arrived(told, "x-tenant") == ["one"]


def test_P05_on_responses(lab):
    weir = answering(lab, reply(body=b"ok", headers=[
        ("Connection", "X-Hop, keep-alive"), ("X-Hop", "1"), ("X-Stays", "2"), ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"), ("Upgrade", "h2c"), ("Connection", "Set-Cookie"), ("Set-Cookie", "a=b")]))
    response = weir.get()
    assert response.status == 200 and response.body == b"ok"
    assert not response.names() & {"x-hop", "keep-alive", "proxy-connection", "upgrade", "connection"}
    assert response.header("x-stays") == "2"
    assert response.header("set-cookie") == "a=b"


@pytest.mark.parametrize("value", ["a b", "a;b", '"a"', "a, b c", "x" * 10 + "\x80"])
def test_P05_a_malformed_connection_field(gate, lab, value):
    assert gate.get(headers={"Connection": value}).json()["code"] == "bad_connection"
    weir = answering(lab, reply(body=b"ok", headers=[("Connection", value)]))
    with weir.counts(1, "weir_bad_responses_total", rule="P05"):
        assert weir.get().status == 502


# ---- Via, Max-Forwards, TRACE, OPTIONS ----

def test_via(gate):
    assert arrived(gate.get().json(), "via") == ["1.1 weir"]
    assert ", ".join(arrived(gate.get(headers=[("Via", "1.0 fred"), ("Via", "1.1 p.example")]).json(), "via")) == \
        "1.0 fred, 1.1 p.example, 1.1 weir"
    assert arrived(gate.request("GET", version="HTTP/1.0").json(), "via") == ["1.0 weir"]


def test_a_response_says_nothing_of_weir(gate):
    assert gate.get().header("via") is None


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
@pytest.mark.parametrize("value, want", [("5", "4"), ("1", "0"), ("007", "6"), ("99999999999999999999999", "999999999")])
def test_max_forwards_goes_down(gate, method, value, want):
    told = gate.request(method, "/trace/x", headers={"Max-Forwards": value}).json()
    assert told["method"] == method and arrived(told, "max-forwards") == [want]


@pytest.mark.parametrize("value", ["0", "00", "00000000000000000000000000"])
def test_max_forwards_of_0_ends_here(gate, value):
    gate.origin.clear()
    with gate.connect() as conn:
        response = conn.exchange("OPTIONS", "/trace/x", headers={"Max-Forwards": value})
        assert response.status == 204 and response.header("allow") == "TRACE, OPTIONS, GET, HEAD"
        response = conn.exchange("TRACE", "/trace/x", headers={"Max-Forwards": value, "Cookie": "secret"})
        assert response.status == 405 and response.header("allow") and b"secret" not in response.body
        assert conn.exchange("OPTIONS", "/", headers={"Max-Forwards": value}).header("allow") == \
            "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"
    assert gate.origin.bytes == b""


@pytest.mark.parametrize("value", ["", "-1", "+1", "1.0", "x", "1 1", "0x1", "1,"])
def test_a_bad_max_forwards(gate, value):
    with gate.refuses("bad_max_forwards"):
        assert gate.request("OPTIONS", headers={"Max-Forwards": value}).status == 400


def test_max_forwards_of_other_methods_is_left_alone(gate):
    assert arrived(gate.get(headers={"Max-Forwards": "0"}).json(), "max-forwards") == ["0"]
    assert arrived(gate.get(headers={"Max-Forwards": "x"}).json(), "max-forwards") == ["x"]


def test_trace_only_where_a_route_names_it(gate):
    """The echo would show what weir adds to requests."""
    gate.origin.clear()
    response = gate.request("TRACE", "/x")
    assert response.status == 405 and "TRACE" not in response.header("allow")
    assert gate.origin.bytes == b""
    assert gate.request("TRACE", "/trace/x").json()["method"] == "TRACE"


def test_S21_trace_with_a_body(gate):
    gate.origin.clear()
    with gate.refuses("trace_with_body"), gate.connect() as conn:
        conn.send(b"TRACE /trace/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
        assert conn.response().closes
    assert gate.origin.bytes == b""


def test_options_of_the_server(gate):
    assert gate.request("OPTIONS", "*").json()["target"] == "*"
    assert gate.request("OPTIONS", "http://a.example").json()["target"] == "*"


# ---- hosts and targets ----

def test_P03_an_unknown_host(lab):
    """Where every route of the listener names a host, another host is 421; where one takes any, it is 404."""
    weir = lab.weir({"routes": [{"match": {"path": "/a", "host": "a.example"}, "respond": {"body": "a"}},
                                {"match": {"path": "/b", "host": "b.example"}, "respond": {"body": "b"}}]})
    assert weir.get("/a", host="a.example").body == b"a"
    assert weir.get("/c", host="A.Example:80").json()["code"] == "no_route"
    for host in ("c.example", "", "127.0.0.1"):
        if host:
            with weir.refuses("misdirected"):
                response = weir.get("/a", host=host)
            assert response.status == 421 and response.json()["code"] == "misdirected"
    assert weir.request("GET", "/a", host=None, version="HTTP/1.0").status == 421
    assert weir.get("http://b.example/b", host="c.example").body == b"b"
    told = weir.reload({"routes": [{"match": {"path": "/a", "host": "a.example"}, "respond": {"body": "a"}},
                                   {"match": {"path": "/any"}, "respond": {"body": "any"}}]})
    assert told.status == 200
    assert weir.get("/a", host="c.example").json()["code"] == "no_route"
    assert weir.get("/any", host="c.example").body == b"any"


def test_P03_https_on_a_plain_connection(gate, lab):
    """RFC 9110 section 7.4: only a proxy that is trusted may speak for a secured connection."""
    response = gate.get("https://a.example/x")
    assert response.status == 421 and response.json()["code"] == "misdirected" and response.closes
    weir = lab.weir({**proxy(gate.origin), "trusted_proxies": ["127.0.0.0/8"]})
    told = weir.get("https://a.example/x").json()
    assert told["target"] == "/x" and arrived(told, "x-forwarded-proto") == ["https"]


@pytest.mark.parametrize("host", ["[::]", "[1::8]:80", "[::ffff:10.0.0.1]", "a.b-c_d~e:65535", "10.0.0.1"])
def test_P03_hosts_that_are_good(gate, host):
    assert arrived(gate.get(host=host).json(), "host") == [host]


@pytest.mark.parametrize("host", ["[:::]", "[1:2:3:4:5:6:7]", "[1::2::3]", "[::1.2.3.256]", "[v1.x]", "a%41", "a;b", "a=b",
                                  "a'b", "a:0", "a:123456", "[::1]a", "[fe80::1%25lo]"])
def test_P03_hosts_that_are_not(gate, host):
    with gate.counts(1, "weir_refusals_total", rule="P03"):
        response = gate.get(host=host)
        assert response.status == 400 and response.closes


@pytest.mark.parametrize("headers", [
    ["Authorization", "Authorization"], ["Content-Type", "content-type"], ["Origin", "Origin"], ["Range", "Range"],
    ["If-Modified-Since", "If-Modified-Since"], ["Content-Range", "Content-Range"], ["Expect", "Expect"],
    ["Max-Forwards", "Max-Forwards"], ["Proxy-Authorization", "Proxy-Authorization"],
    ["X-Request-Deadline", "X-Request-Deadline"], ["gRPC-Timeout", "grpc-timeout"]], ids=lambda v: v[0])
def test_P08_fields_that_stand_once(gate, headers):
    for second in ("a", "b"):
        with gate.counts(1, "weir_refusals_total", rule="P08"):
            response = gate.get(headers=[(headers[0], "a"), ("X", "y"), (headers[1], second)])
            assert response.status == 400 and response.closes


def test_P08_location_of_a_response(lab):
    weir = answering(lab, reply(302, headers=[("Location", "/a"), ("location", "/b")]))
    with weir.counts(1, "weir_bad_responses_total", rule="P08"):
        assert weir.get().status == 502
    wait_until(lambda: weir.origin.open == 0, "the connection is dropped")


# ---- ranges and cookies ----

def test_R14_a_thousand_ranges_pass_through(gate):
    ranges = "bytes=" + ",".join(f"{i}-{i + 1}" for i in range(1000))
    assert arrived(gate.get(headers={"Range": ranges}).json(), "range") == [ranges]
    for odd in ("bytes=0-0,-1,99999999999999999999-", "bytes=--", "lines=1", "bytes=0-" + "9" * 4000, ",,,"):
        assert arrived(gate.get(headers={"Range": odd}).json(), "range") == [odd]


def test_R14_many_cookies_pass_through(gate):
    cookies = [("Cookie", f"c{i}={'x' * 100}; =; a=\"b; d=;;") for i in range(80)]
    assert arrived(gate.get(headers=cookies).json(), "cookie") == [v for _, v in cookies]
    one = "; ".join(f"c{i}=v" for i in range(1500))
    assert arrived(gate.get(headers={"Cookie": one}).json(), "cookie") == [one]


def test_R14_odd_accept_encodings_pass_through(gate):
    for odd in ("gzip;q=", ";;;,,,", "gzip;q=1.0000000000000001,*;q=0" + ",x" * 3000, "\"", "gzip;q=\x80"):
        assert arrived(gate.get(headers={"Accept-Encoding": odd}).json(), "accept-encoding") == [odd]


# ---- Date ----

def test_date_is_added_where_the_origin_has_none(lab):
    weir = answering(lab, reply(body=b"ok"))
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", weir.get().header("date"))
    assert len(weir.get().all("date")) == 1


@pytest.mark.parametrize("date", ["Sun, 06 Nov 1994 08:49:37 GMT", "yesterday"])
def test_date_of_the_origin_stays(lab, date):
    assert answering(lab, reply(body=b"ok", headers=[("Date", date)])).get().all("date") == [date]


# ---- bodies, lengths and statuses ----

def test_S27_reset_content_has_none(lab):
    """RFC 9110 section 15.3.6. A client may not read a body there, and take it for the next response."""
    poison = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    for head, status in ((b"Content-Length: 0\r\n", 205), (b"Transfer-Encoding: chunked\r\n", 205), (b"", 205),
                         (b"Content-Length: %d\r\n" % len(poison), 502)):
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(poison), poison) if b"chunked" in head else poison
        weir = answering(lab, b"HTTP/1.1 205 Reset Content\r\n" + head + b"\r\n" + body)
        with weir.connect() as conn:
            response = conn.exchange("GET", "/205")
            assert response.status == status
            if status == 205:
                assert response.header("content-length") == "0" and response.body == b""
            assert conn.exchange("GET", "/after").body == b"after"
        assert [r.target for r in weir.origin.requests if r.peer.number == 0] == ["/205"]


@pytest.mark.parametrize("head", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b""])
def test_S27_not_modified_passes_without_a_body(lab, head):
    weir = answering(lab, b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n" + head + b"\r\n")
    with weir.connect() as conn:
        response = conn.exchange("GET", "/x", headers={"If-None-Match": '"x"'})
        assert response.status == 304 and response.header("etag") == '"x"'
        assert response.header("transfer-encoding") is None
        assert conn.exchange("GET", "/after").body == b"after"


@pytest.mark.parametrize("head, length", [(b"Content-Length: 55\r\n", "55"), (b"Transfer-Encoding: chunked\r\n", None),
                                          (b"", None)])
def test_S27_a_response_to_head(lab, head, length):
    weir = answering(lab, b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
    with weir.connect() as conn:
        response = conn.exchange("HEAD", "/x")
        assert response.status == 200 and response.header("content-length") == length
        assert conn.exchange("GET", "/after").body == b"after"


@pytest.mark.parametrize("status", [200, 299, 418, 599, 600, 999])
def test_unknown_statuses_pass(lab, status):
    response = answering(lab, reply(status, body=b"ok", reason="Odd")).get()
    assert (response.status, response.reason, response.body) == (status, "Odd", b"ok")


def test_S27_a_length_of_0_with_no_content(lab):
    response = answering(lab, b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n").get()
    assert response.status == 204 and response.header("content-length") is None


def test_S27_more_than_one_status_line(lab):
    weir = answering(lab, b"HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert weir.get().status == 502


@pytest.mark.parametrize("head, reused", [
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", True),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, close\r\n\r\nok", False),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: CLOSE\r\n\r\nok", False),
])
def test_whether_an_origin_keeps_its_connection(lab, head, reused):
    weir = answering(lab, head)
    for _ in range(3):
        response = weir.get()
        assert response.body == b"ok" and response.header("content-length") == "2"
    assert len(weir.origin.peers) == (1 if reused else 3)


def test_an_origin_of_http_1_0_ends_its_body_by_closing(lab):
    def answer(_request, peer):
        peer.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"z" * 50000)
        peer.close()
    weir = lab.weir(proxy(lab.origin(answer)))
    with weir.connect() as conn:
        response = conn.exchange()
        assert response.framing == "chunked" and response.body == b"z" * 50000
        assert conn.exchange().body == b"z" * 50000


def test_a_client_of_http_1_0_gets_no_chunks(lab):
    weir = answering(lab, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    with weir.connect() as conn:
        response = conn.exchange("GET", "/x", version="HTTP/1.0", headers={"Connection": "keep-alive"})
        assert response.framing == "close" and response.body == b"hello"


def test_weir_speaks_1_1_whatever_it_heard(gate, lab):
    assert gate.request("GET", "/x", version="HTTP/1.0").status == 200  # wire.py takes no other status line
    weir = answering(lab, b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert weir.get().status == 200
