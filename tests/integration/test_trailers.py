"""Fields behind a chunked body: dropped, unless the route lets them through by name (S15)."""
import pytest

from harness import proxy, run_weir
from origin import reply_chunked
from test_hostile_clients import head
from test_upstream_faults import problem
from wire import Truncated

SUM = ("X-Checksum", "1234")
NEVER = ["Content-Length: 5", "Transfer-Encoding: chunked", "Host: evil", "Authorization: Basic eA==", "Cookie: a=b",
         "Content-Type: a/b", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Whatever: 1", "Set-Cookie: a=b", "Te: x",
         "Connection: close", "Trailer: x", "Expect: 100-continue", "Cache-Control: no-store"]
TAKES = {"TE": "trailers", "Connection": "TE"}


def trailing(origin, *names):
    config = proxy(origin)
    if names:
        config["routes"][0]["proxy"]["trailers"] = list(names)
    return config


def post(conn, *trailers, fields=(), cut=None):
    data = head("Transfer-Encoding: chunked", *fields, start="POST / HTTP/1.1") + b"5\r\nhello\r\n0\r\n" + \
        b"".join(t.encode() + b"\r\n" for t in trailers) + b"\r\n"
    for at in range(0, len(data), cut or len(data)):
        conn.send(data[at:at + (cut or len(data))])
    return conn.response()


# ---- of requests ----

@pytest.mark.parametrize("cut", [None, 1])
def test_S15_those_named_go_on(lab, cut):
    origin = lab.origin()
    with lab.weir(trailing(origin, "x-checksum", "etag")).connect() as conn:
        for _ in range(2):
            told = post(conn, "X-Checksum: 1234", "X-Other: 1", "ETag:  \"a\" ", "X-Checksum:", *NEVER,
                        fields=["Trailer: X-Checksum, X-Other", "Trailer:ETag"], cut=cut).json()
            assert told["length"] == 5
            assert told["trailers"] == [["X-Checksum", "1234"], ["ETag", "\"a\""], ["X-Checksum", ""]]
            assert ["trailer", "X-Checksum, ETag"] in [[n.lower(), v] for n, v in told["headers"]]


def test_S15_others_are_dropped(lab):
    origin = lab.origin()
    with lab.weir(trailing(origin)).connect() as conn:
        told = post(conn, "X-Checksum: 1234", *NEVER, fields=["Trailer: X-Checksum"]).json()
        assert told["trailers"] == [] and "trailer" not in {n.lower() for n, _ in told["headers"]}
        assert post(conn).json()["length"] == 5


def test_S15_an_empty_body_has_them_too(lab):
    with lab.weir(trailing(lab.origin(), "x-checksum")).connect() as conn:
        conn.send(head("Transfer-Encoding: chunked", start="POST / HTTP/1.1") + b"0\r\nX-Checksum: 0\r\n\r\n")
        assert conn.response().json()["trailers"] == [["X-Checksum", "0"]]
        conn.send(head("Content-Length: 5", "Trailer: X-Checksum", start="POST / HTTP/1.1") + b"hello")
        told = conn.response().json()
        assert told["trailers"] == [] and told["framing"] == "length"


@pytest.mark.parametrize("line, code", [
    ("X Checksum: 1", "bad_trailer"), ("X-Checksum : 1", "bad_trailer"), ("X-Checksum: a\0b", "bad_trailer"),
    ("X-Checksum: a\n b", "bare_lf"), (": 1", "bad_trailer"), ("X_Checksum: 1", "bad_trailer"),
    (" X-Checksum: 1", "bad_trailer"), ("X-Checksum: " + "a" * 20000, "trailers_too_large"),
], ids=lambda v: repr(v[:20]))
def test_S15_a_malformed_one_is_refused(lab, line, code):
    """As strictly as a header; the upstream's connection is given up with the request."""
    origin = lab.origin()
    weir = lab.weir(trailing(origin, "x-checksum"))
    with weir.refuses(code), weir.connect() as conn:
        response = post(conn, line)
        problem(response, 431 if code == "trailers_too_large" else 400, code)
        assert response.closes
        conn.assert_closed()
    assert not origin.requests


@pytest.mark.parametrize("name", ["content-length", "Host", "authorization", "cookie", "x-forwarded-for", "x-forwarded-x",
                                  "transfer-encoding", "set-cookie", "trailer", "x checksum", "x_checksum", ""])
def test_S15_names_that_cannot_be_let_through(tmp_path, name):
    path = tmp_path / "w.yaml"
    path.write_text("version: 1\nlisten: [\"127.0.0.1:1\"]\nupstreams: {o: {endpoints: [\"http://127.0.0.1:2\"]}}\n"
                    f"routes: [{{match: \"/*\", proxy: {{upstream: o, trailers: [\"{name}\"]}}}}]\n")
    done = run_weir("check", "-c", path)
    assert done.returncode == 1
    assert f'"{name}"' in done.stderr + done.stdout


# ---- of responses ----

@pytest.mark.parametrize("parts", [[b"hello"], [], [b"x" * 100000, b"y"]], ids=["small", "empty", "large"])
def test_S15_a_response_has_them_for_a_client_that_takes_them(lab, parts):
    never = [tuple(t.split(": ")) for t in NEVER]
    origin = lab.origin(lambda request, peer: reply_chunked(
        parts, [("Trailer", "X-Checksum, X-Other")], [SUM, ("X-Other", "1"), *never, ("X-Checksum", "5678")]))
    weir = lab.weir(trailing(origin, "x-checksum"))
    with weir.connect() as conn:
        for _ in range(2):
            response = conn.exchange("GET", "/", headers=TAKES)
            assert response.body == b"".join(parts)
            assert response.trailers == [SUM, ("X-Checksum", "5678")]
            assert response.all("trailer") == ["X-Checksum"]
            assert origin.last.header("te") == "trailers" and origin.last.header("connection") == "TE"
        response = conn.exchange("GET", "/")
        assert response.body == b"".join(parts)
        assert response.trailers == [] and response.all("trailer") == []
        assert not origin.last.names() & {"te", "connection"}
        assert conn.exchange("HEAD", "/", headers=TAKES).status == 200
    data = weir.raw(b"GET / HTTP/1.0\r\nHost: weir.test\r\nTE: trailers\r\n\r\n")
    assert data.endswith(b"\r\n\r\n" + b"".join(parts)) and b"Trailer" not in data


def test_S15_a_route_that_lets_none_through(lab):
    origin = lab.origin(lambda request, peer: reply_chunked([b"hello"], [("Trailer", "X-Checksum")], [SUM]))
    response = lab.weir(trailing(origin)).get(headers=TAKES)
    assert response.body == b"hello" and response.trailers == [] and response.all("trailer") == []
    assert "te" not in origin.last.names()


@pytest.mark.parametrize("trailer", [("X Checksum", "1"), ("X-Checksum", "a\0b"), ("X-Checksum", "a" * 20000)],
                         ids=["name", "value", "size"])
def test_S15_a_malformed_one_of_a_response(lab, trailer):
    """The head has gone out, or not; the client gets no end that looks whole."""
    origin = lab.origin(lambda request, peer: reply_chunked([b"hello"], (), [trailer]))
    weir = lab.weir(trailing(origin, "x-checksum"))
    with weir.connect() as conn:
        try:
            problem(conn.exchange("GET", "/", headers=TAKES), 502, "upstream_bad_response")
        except Truncated as cut:
            assert cut.got in (b"", b"hello")
    assert weir.metric("weir_bad_responses_total") == 1
