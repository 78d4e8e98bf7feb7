"""A proxied request, whole: weir before a real nginx that serves a site with images, and before an origin that tells
what it was sent."""
import hashlib
import http.client
import random
import struct
import subprocess
import threading
import time
import zlib

import pytest

from harness import proxy
from origin import reply, reply_chunked
from wire import wait_until

pytestmark = pytest.mark.release


def png(width, height):
    """A picture that browsers take."""
    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    noise = random.Random(7)
    rows = b"".join(b"\0" + noise.randbytes(3 * width) for _ in range(height))
    return (b"\x89PNG\r\n\x1a\n" + part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b""))


FILES = {
    "index.html": b"<!doctype html><title>weir</title><img src=/img/logo.png>\n" * 40,
    "img/logo.png": png(60, 40),
    "img/photo.png": png(300, 200),
    "big.bin": random.Random(1).randbytes(1024 * 1024),
    "empty.bin": b"",
}


@pytest.fixture(scope="module")
def site(module_lab, tmp_path_factory):
    """weir before nginx."""
    root = tmp_path_factory.mktemp("site")
    for name, data in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(data)
    nginx = module_lab.nginx(root)
    weir = module_lab.weir(proxy(nginx))
    weir.nginx = nginx
    return weir


@pytest.fixture(scope="module")
def echoed(module_lab):
    """weir before an origin that answers with what it was asked."""
    weir = module_lab.weir({**proxy(module_lab.origin()), "workers": 1})
    weir.origin = module_lab.origins[-1]
    return weir


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# ---- the site ----

@pytest.mark.parametrize("name", FILES)
def test_get_is_equal_byte_for_byte(site, name):
    response = site.get("/" + name)
    assert response.status == 200
    assert sha256(response.body) == sha256(FILES[name])
    kinds = {"html": "text/html", "png": "image/png", "bin": "application/octet-stream"}
    assert response.header("content-type") == kinds[name.split(".")[-1]]
    assert response.header("etag") and response.header("last-modified")
    assert response.header("content-length") == str(len(FILES[name]))


def test_curl_gets_the_page_and_its_image(site, tool, tmp_path):
    url = f"http://127.0.0.1:{site.port}"
    subprocess.run([tool("curl"), "-sSf", "-o", tmp_path / "a", f"{url}/index.html", "-o", tmp_path / "b",
                    f"{url}/img/photo.png"], check=True, timeout=60)
    assert (tmp_path / "a").read_bytes() == FILES["index.html"]
    assert (tmp_path / "b").read_bytes() == FILES["img/photo.png"]


def test_an_ordinary_client_keeps_its_connection(site):
    client = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
    for name in list(FILES) * 4:
        client.request("GET", "/" + name)
        response = client.getresponse()
        assert response.status == 200 and response.read() == FILES[name]
        sock = client.sock
        assert sock is not None, "weir closed a connection that could be kept"
    client.close()


def test_head_states_the_length_and_sends_nothing(site):
    with site.connect() as conn:
        response = conn.exchange("HEAD", "/big.bin")
        assert response.status == 200
        assert response.header("content-length") == str(len(FILES["big.bin"]))
        assert conn.exchange("GET", "/img/logo.png").body == FILES["img/logo.png"]


def test_not_modified(site):
    with site.connect() as conn:
        etag = conn.exchange("GET", "/index.html").header("etag")
        response = conn.exchange("GET", "/index.html", headers={"If-None-Match": etag})
        assert response.status == 304 and response.header("etag") == etag
        assert conn.exchange("GET", "/index.html").status == 200


def test_range(site):
    response = site.get("/big.bin", headers={"Range": "bytes=1000-1999"})
    assert response.status == 206
    assert response.header("content-range") == f"bytes 1000-1999/{len(FILES['big.bin'])}"
    assert response.body == FILES["big.bin"][1000:2000]


def test_404_of_the_origin_passes_through(site):
    response = site.get("/nothing-here")
    assert response.status == 404
    assert response.header("content-type") == "text/html"
    assert b"nginx" in response.body


def test_405_of_the_origin_passes_through(site):
    response = site.post("/index.html", b"x=1")
    assert response.status == 405 and b"nginx" in response.body


def test_upstream_connections_are_reused(site):
    before = site.nginx.accepts()
    with site.connect() as conn:
        for _ in range(50):
            assert conn.exchange("GET", "/index.html").status == 200
    opened = site.nginx.accepts() - before - 1  # the question itself
    assert opened < 10, f"50 requests took {opened} connections to nginx"
    assert site.metric("weir_pool_reused_total", upstream="origin") > 0


def test_pipelining_answers_in_order(site):
    names = [n for n in FILES if n != "big.bin"] * 8
    with site.connect() as conn:
        conn.send(b"".join(f"GET /{n} HTTP/1.1\r\nHost: weir.test\r\n\r\n".encode() for n in names))
        for name in names:
            assert conn.response().body == FILES[name]


def test_a_request_in_single_bytes(site):
    with site.connect() as conn:
        for byte in b"GET /img/logo.png HTTP/1.1\r\nHost: weir.test\r\n\r\n":
            conn.send(bytes([byte]))
        assert conn.response().body == FILES["img/logo.png"]


def test_connection_close_is_obeyed(site):
    with site.connect() as conn:
        response = conn.exchange("GET", "/index.html", headers={"Connection": "close"})
        assert response.status == 200 and response.closes
        conn.assert_closed()


# ---- HTTP/1.0 ----

def test_http_1_0_with_host(echoed):
    with echoed.connect() as conn:
        response = conn.exchange("GET", "/", host="old.example", version="HTTP/1.0")
        assert response.status == 200
        assert ["Host", "old.example"] in response.json()["headers"]
        conn.assert_closed()


def test_http_1_0_without_host_gets_that_of_the_endpoint(echoed):
    with echoed.connect() as conn:
        response = conn.exchange("GET", "/", host=None, version="HTTP/1.0")
        assert response.status == 200
        assert ["Host", f"127.0.0.1:{echoed.origin.port}"] in response.json()["headers"]


def test_http_1_0_keep_alive(echoed):
    with echoed.connect() as conn:
        for _ in range(3):
            response = conn.exchange("GET", "/", version="HTTP/1.0", headers={"Connection": "keep-alive"})
            assert response.status == 200
            assert response.header("connection").lower() == "keep-alive"


def test_http_1_0_client_never_sees_chunks(lab):
    origin = lab.origin(lambda request, peer: reply_chunked([b"one", b"two"]))
    with lab.weir(proxy(origin)).connect() as conn:
        response = conn.exchange("GET", "/", version="HTTP/1.0")
        assert response.framing == "close" and response.body == b"onetwo"


# ---- bodies ----

@pytest.mark.parametrize("size", [0, 1, 16383, 65536, 1024 * 1024])
def test_upload_with_length(echoed, size):
    body = random.Random(size).randbytes(size)
    told = echoed.post("/up", body).json()
    assert told["method"] == "POST" and told["framing"] == "length"
    assert (told["length"], told["sha256"]) == (size, sha256(body))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_chunked_upload(echoed, method):
    parts = [b"a", b"bc" * 5000, b"d" * 70000]
    with echoed.connect() as conn:
        conn.send(f"{method} /up HTTP/1.1\r\nHost: weir.test\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for part in parts:
            conn.send(b"%X\r\n%s\r\n" % (len(part), part))
        conn.send(b"0\r\n\r\n")
        told = conn.response().json()
        assert told["framing"] == "chunked"
        assert (told["length"], told["sha256"]) == (70000 + 10001, sha256(b"".join(parts)))
        assert conn.exchange("GET", "/again").json()["target"] == "/again"


def test_upload_arrives_while_it_is_sent(lab):
    """Bodies stream: the origin has the first half before the client sends the second."""
    origin = lab.origin()
    with lab.weir(proxy(origin)).connect() as conn:
        conn.send(b"POST /up HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 10\r\n\r\nfirst")
        wait_until(lambda: origin.bytes.endswith(b"first"), "the first half is at the origin")
        conn.send(b"later")
        assert conn.response().json()["length"] == 10


def test_response_arrives_while_it_is_sent(lab):
    def answer(_request, peer):
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        return b"later" if peer.wait(seen) else b""
    seen = threading.Event()
    with lab.weir(proxy(lab.origin(answer))).connect() as conn:
        conn.request()
        assert conn.head().status == 200
        assert conn.exactly(5) == b"first"
        seen.set()
        assert conn.exactly(5) == b"later"


def test_large_response_to_a_slow_reader(lab):
    """Back-pressure: nothing is lost when the client reads late."""
    data = random.Random(3).randbytes(8 * 1024 * 1024)
    with lab.weir(proxy(lab.origin(lambda request, peer: reply(body=data)))).connect() as conn:
        conn.request()
        assert conn.head().header("content-length") == str(len(data))
        time.sleep(1)  # all buffers on the way are full by now
        assert sha256(conn.exactly(len(data))) == sha256(data)


def test_chunked_response(lab):
    weir = lab.weir(proxy(lab.origin(lambda request, peer: reply_chunked([b"x" * 100, b"y" * 30000]))))
    with weir.connect() as conn:
        for _ in range(3):
            response = conn.exchange()
            assert response.framing == "chunked" and response.body == b"x" * 100 + b"y" * 30000


def test_response_until_close_is_framed_for_the_client(lab):
    def answer(_request, peer):
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"z" * 50000)
        peer.close()
    with lab.weir(proxy(lab.origin(answer))).connect() as conn:
        for _ in range(2):  # the client's connection lives on
            response = conn.exchange()
            assert response.framing == "chunked" and response.body == b"z" * 50000


def test_interim_responses_do_not_confuse(lab):
    origin = lab.origin(lambda request,
                        peer: b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" * 3 + reply(body=b"ok"))
    with lab.weir(proxy(origin)).connect() as conn:
        for _ in range(2):
            assert conn.exchange().body == b"ok"


# ---- what weir adds and takes away ----

def sent_headers(weir, headers=(), **more):
    """The headers of a request as the origin got them: name in lower case to the list of values."""
    out = {}
    response = weir.get("/", headers=headers, **more)
    assert response.status == 200, response
    for name, value in response.json()["headers"]:
        out.setdefault(name.lower(), []).append(value)
    return out


def test_target_goes_on_as_it_came(echoed):
    assert echoed.get("/a/b;c=d/e%20f?q=%2F&r=a+b&").json()["target"] == "/a/b;c=d/e%20f?q=%2F&r=a+b&"
    assert echoed.get("/?").json()["target"] == "/?"


@pytest.mark.parametrize("host", ["weir.test", "Shop.Example:8080", "[::1]:80"])
def test_host_goes_on_as_it_came(echoed, host):
    assert sent_headers(echoed, host=host)["host"] == [host]


def test_other_headers_go_on(echoed):
    sent = sent_headers(echoed, [("Accept", "a/b"), ("Accept", "c/d"), ("X-Empty", ""), ("Cookie", "a=b; c=d"),
                                 ("Authorization", "Basic eA=="), ("X-Latin", "caf\xe9")])
    assert sent["accept"] == ["a/b", "c/d"]
    assert sent["x-empty"] == [""]
    assert sent["cookie"] == ["a=b; c=d"]
    assert sent["authorization"] == ["Basic eA=="]
    assert sent["x-latin"] == ["caf\xe9"]


def test_forwarded_headers(echoed):
    sent = sent_headers(echoed, host="shop.example:8080")
    assert sent["x-forwarded-for"] == ["127.0.0.1"]
    assert sent["x-forwarded-proto"] == ["http"]
    assert sent["x-forwarded-host"] == ["shop.example:8080"]


def test_P06_spoofed_forwarded_headers_are_replaced(echoed):
    sent = sent_headers(echoed, {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https",
                                 "X-Forwarded-Host": "evil.example", "X-Real-IP": "203.0.113.9",
                                 "Forwarded": "for=203.0.113.9"})
    assert sent["x-forwarded-for"] == ["127.0.0.1"]
    assert sent["x-forwarded-proto"] == ["http"]
    assert sent["x-forwarded-host"] == ["weir.test"]
    assert "203.0.113.9" not in str(sent)


def test_a_trusted_proxy_is_believed(lab):
    weir = lab.weir({**proxy(lab.origin()), "trusted_proxies": ["127.0.0.0/8"]})
    sent = sent_headers(weir, {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https",
                               "X-Forwarded-Host": "shop.example"})
    assert sent["x-forwarded-for"] == ["203.0.113.9, 127.0.0.1"]
    assert sent["x-forwarded-proto"] == ["https"]
    assert sent["x-forwarded-host"] == ["shop.example"]


def test_hop_by_hop_headers_stay_behind(echoed):
    sent = sent_headers(echoed, [("Connection", "keep-alive, X-Private"), ("Connection", "x-other"), ("X-Private", "1"),
                                 ("X-Other", "2"), ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"),
                                 ("TE", "trailers"), ("Proxy-Authorization", "Basic eA=="), ("Trailer", "X-Sum"),
                                 ("X-Kept", "3")])
    assert sent["x-kept"] == ["3"]
    for name in ("x-private", "x-other", "keep-alive", "proxy-connection", "te", "proxy-authorization", "trailer"):
        assert name not in sent, name
    assert "x-private" not in str(sent.get("connection", "")).lower()


def test_P05_connection_cannot_remove_what_matters(echoed):
    """Names that weir owns, and the client's credentials, are not removable."""
    sent = sent_headers(echoed, {"Connection": "X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Authorization, "
                                 "Cookie, Host, X-Request-Deadline", "Authorization": "Basic eA==", "Cookie": "a=b"})
    assert sent["x-forwarded-for"] == ["127.0.0.1"]
    assert sent["x-forwarded-proto"] == ["http"]
    assert sent["x-forwarded-host"] == ["weir.test"]
    assert sent["authorization"] == ["Basic eA=="]
    assert sent["cookie"] == ["a=b"]
    assert sent["host"] == ["weir.test"]
    assert "x-request-deadline" in sent


def test_hop_by_hop_headers_of_the_response_stay_behind(lab):
    origin = lab.origin(lambda request, peer: reply(body=b"ok", headers=[
        ("Connection", "X-Private"), ("X-Private", "1"), ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "close"),
        ("Proxy-Authenticate", "Basic"), ("X-Kept", "2"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))
    response = lab.weir(proxy(origin)).get()
    assert response.header("x-kept") == "2"
    assert response.all("set-cookie") == ["a=1", "b=2"]
    assert not response.names() & {"x-private", "keep-alive", "proxy-connection", "proxy-authenticate"}


# ---- deadline ----

def test_the_deadline_is_told_to_the_origin(lab):
    sent = sent_headers(lab.weir(proxy(lab.origin(), deadline="20s")))
    (left,) = sent["x-request-deadline"]
    assert 0 < int(left) <= 20000


def test_a_stranger_cannot_set_the_deadline(lab):
    sent = sent_headers(lab.weir(proxy(lab.origin(), deadline="20s")), {"X-Request-Deadline": "3600000"})
    (left,) = sent["x-request-deadline"]
    assert 0 < int(left) <= 20000


def test_the_deadline_counts_from_the_first_byte(lab):
    weir = lab.weir(proxy(lab.origin(), deadline="20s"))
    with weir.connect() as conn:
        conn.send(b"GET / HTTP/1.1\r\nHo")
        time.sleep(2)
        conn.send(b"st: weir.test\r\n\r\n")
        (left,) = [v for n, v in conn.response().json()["headers"] if n.lower() == "x-request-deadline"]
    assert 0 < int(left) <= 18000


def test_a_trusted_peer_can_only_shorten_it(lab):
    weir = lab.weir({**proxy(lab.origin(), deadline="20s"), "trusted_proxies": ["127.0.0.1"]})
    (left,) = sent_headers(weir, {"X-Request-Deadline": "15000"})["x-request-deadline"]
    assert 0 < int(left) <= 15000
    (left,) = sent_headers(weir, {"X-Request-Deadline": "3600000"})["x-request-deadline"]
    assert 15000 < int(left) <= 20000
