"""Upgrades: WebSocket and other protocols behind a 101, and what must not happen on the way there (S24)."""
import base64
import hashlib
import json
import os
import random
import socket
import threading
import time

import pytest

from harness import free_port, proxy, run_weir
from origin import echo, reply
from test_hostile_clients import head
from test_streaming import ROOM, lean, peak
from test_upstream_faults import problem
from wire import wait_until

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"
ASK = head("Connection: Upgrade", "Upgrade: echo", start="GET / HTTP/1.1")


def upgrading(*origins, protocols=("echo",), **more):
    config = proxy(*origins, **more)
    config["routes"][0]["proxy"]["upgrade"] = list(protocols)
    return config


def switched(*first):
    """An answer that switches, and echoes from there on what comes; `first` comes right behind the 101."""
    def answer(_request, peer):
        peer.send(SWITCH + b"".join(first))
        while True:
            if peer.buffer and not peer.send(peer.take(len(peer.buffer))):
                break
            if not peer.more():
                break
        peer.finished = True
    return answer


def opened(weir, data=b""):
    """A client's end of a tunnel."""
    conn = weir.connect()
    conn.send(ASK + data)
    assert conn.head().status == 101
    return conn


# ---- WebSocket (RFC 6455) ----

def accept_key(key):
    return base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()


def frame(opcode, data, masked):
    length = len(data)
    mark = 0x80 if masked else 0
    out = bytes([0x80 | opcode])
    if length < 126:
        out += bytes([mark | length])
    elif length < 65536:
        out += bytes([mark | 126]) + length.to_bytes(2, "big")
    else:
        out += bytes([mark | 127]) + length.to_bytes(8, "big")
    if not masked:
        return out + data
    mask = os.urandom(4)
    pad = (mask * (length // 4 + 1))[:length]
    return out + mask + (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(length, "big")


def read_frame(reader):
    first, second = reader.exactly(2)
    length = second & 0x7f
    if length >= 126:
        length = int.from_bytes(reader.exactly(2 if length == 126 else 8), "big")
    mask = reader.exactly(4) if second & 0x80 else None
    data = reader.exactly(length)
    if mask:
        pad = (mask * (length // 4 + 1))[:length]
        data = (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(length, "big")
    return first & 0x0f, data


def websocket_echo(request, peer):
    """A server: echoes text and binary frames, answers pings and the end."""
    if request.header("upgrade") != "websocket" or request.header("connection").lower() != "upgrade":
        return reply(400, b"no WebSocket")
    peer.send((f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
               f"{accept_key(request.header('sec-websocket-key'))}\r\nSec-WebSocket-Protocol: chat\r\n"
               "Connection: X-Hop\r\nX-Hop: 1\r\n\r\n").encode())
    opcode = None
    while opcode != 8:
        opcode, data = read_frame(peer)
        peer.send(frame(10 if opcode == 9 else opcode, data, masked=False))
    peer.close()
    return None


def websocket_session(weir):
    key = base64.b64encode(os.urandom(16)).decode()
    with weir.connect() as conn:
        conn.request("GET", "/chat?x=1", headers={
            "Connection": "keep-alive, Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "chat", "Origin": "http://weir.test"})
        answer = conn.head()
        assert answer.status == 101, answer
        assert answer.all("upgrade") == ["websocket"]
        assert [v.lower() for v in answer.all("connection")] == ["upgrade"]
        assert answer.header("sec-websocket-accept") == accept_key(key)
        assert answer.header("sec-websocket-protocol") == "chat"
        assert not answer.names() & {"content-length", "transfer-encoding"}
        for opcode, data in ((1, b"hello"), (2, os.urandom(70000)), (9, b"there?"), (1, b""), (2, os.urandom(1 << 20))):
            conn.send(frame(opcode, data, masked=True))
            assert read_frame(conn) == (10 if opcode == 9 else opcode, data)
        conn.send(frame(8, b"\x03\xe8", masked=True))
        assert read_frame(conn) == (8, b"\x03\xe8")
        conn.assert_closed()
        return answer


@pytest.mark.release
def test_websocket(lab):
    origin = lab.origin(websocket_echo)
    weir = lab.weir(upgrading(origin, protocols=["websocket"]))
    for _ in range(3):
        assert "x-hop" not in websocket_session(weir).names()
    request = origin.last
    assert request.target == "/chat?x=1" and request.framing == "none"
    assert request.header("origin") == "http://weir.test" and request.header("sec-websocket-version") == "13"
    weir.wait_metric(0, "weir_tunnels")
    assert weir.served(http_response_status_code="101") == 3
    assert weir.metric("weir_tunnel_bytes_total", direction="in") > 3 << 20


def test_websocket_through_nginx(lab, tool, tmp_path):
    tool("nginx")
    origin = lab.origin(websocket_echo)
    nginx = lab.nginx(tmp_path, f"""
        location / {{
            proxy_pass http://127.0.0.1:{origin.port};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
        }}""")
    websocket_session(lab.weir(upgrading(nginx.url, protocols=["websocket"])))


# ---- S24: before the 101, and without one ----

def test_S24_no_byte_of_the_client_goes_on_before_the_101(lab):
    """What it sends early is held, and becomes the tunnel's first bytes."""
    go = threading.Event()
    seen = []

    def answer(request, peer):
        peer.wait(go)
        peer.sock.setblocking(False)
        try:
            seen.append(peer.buffer + peer.sock.recv(100))
        except BlockingIOError:
            seen.append(peer.buffer)
        peer.sock.setblocking(True)
        return switched()(request, peer)
    weir = lab.weir(upgrading(lab.origin(answer)))
    with weir.connect() as conn:
        conn.send(ASK + b"one")
        wait_until(lambda: lab.origins[0].requests, "the request is there")
        conn.send(b"two")
        time.sleep(0.2)
        go.set()
        assert conn.head().status == 101
        assert conn.exactly(6) == b"onetwo"
    assert seen == [b""]


@pytest.mark.parametrize("answer", [
    reply(200, b"no"), reply(403, b"no"), reply(426, b"no", [("Upgrade", "echo"), ("Connection", "Upgrade")]),
    b"HTTP/1.1 204 No Content\r\n\r\n",
], ids=["200", "403", "426", "204"])
def test_S24_an_answer_without_switching(lab, answer):
    """It is framed as usual, and both connections end: what follows the request may be of the other protocol."""
    origin = lab.origin(lambda request, peer: answer)
    weir = lab.weir(upgrading(origin))
    with weir.connect() as conn:
        conn.send(ASK + head(start="GET /smuggled HTTP/1.1"))
        response = conn.response()
        assert response.status == int(answer[9:12]) and response.closes
        assert response.body in (b"", b"no")
        conn.assert_closed()
    wait_until(lambda: origin.open == 0, "the origin's connection is closed")
    assert [r.target for r in origin.requests] == ["/"]


def test_S24_an_origin_that_is_not_there(lab):
    weir = lab.weir(upgrading(f"http://127.0.0.1:{free_port()}"))
    with weir.refuses("upstream_connect_failed"), weir.connect() as conn:
        conn.send(ASK + head(start="GET /smuggled HTTP/1.1"))
        problem(conn.response(), 502, "upstream_connect_failed")
        conn.assert_closed()


@pytest.mark.parametrize("answer", [
    b"Upgrade: other\r\nConnection: Upgrade\r\n", b"Upgrade: echo, other\r\nConnection: Upgrade\r\n",
    b"Upgrade: echo\r\nUpgrade: other\r\nConnection: Upgrade\r\n", b"Connection: Upgrade\r\n", b"Upgrade: echo\r\n", b"",
], ids=repr)
def test_S24_a_101_to_something_else(lab, answer):
    origin = lab.origin(lambda request, peer: b"HTTP/1.1 101 Switching Protocols\r\n" + answer + b"\r\n")
    weir = lab.weir(upgrading(origin))
    with weir.connect() as conn:
        conn.send(ASK + b"early")
        problem(conn.response(), 502, "upstream_bad_response")
        conn.assert_closed()
    assert b"early" not in origin.bytes


@pytest.mark.parametrize("fields, start, body", [
    (["Upgrade: h2c"], "GET / HTTP/1.1", b""), (["Upgrade: other"], "GET / HTTP/1.1", b""),
    (["Upgrade: echo", "Content-Length: 4"], "POST / HTTP/1.1", b"body"),
    (["Upgrade: echo", "Transfer-Encoding: chunked"], "POST / HTTP/1.1", b"4\r\nbody\r\n0\r\n\r\n"),
], ids=["h2c", "not configured", "with a body", "with chunks"])
def test_S24_no_upgrade_is_asked_for(lab, fields, start, body):
    """The request goes as plain HTTP, and the connection stays."""
    origin = lab.origin()
    weir = lab.weir(upgrading(origin))
    with weir.connect() as conn:
        for _ in range(2):
            conn.send(head("Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk", *fields, start=start) + body)
            assert conn.response().status == 200
    assert len(origin.peers) == 1
    for request in origin.requests:
        assert not request.names() & {"upgrade", "connection", "http2-settings"}


def test_S24_without_connection_upgrade_nothing_is_asked_for(lab):
    origin = lab.origin()
    assert lab.weir(upgrading(origin)).get(headers={"Upgrade": "echo"}).status == 200
    assert "upgrade" not in origin.last.names()


def test_S24_of_several_protocols_the_configured_one_is_asked_for(lab):
    origin = lab.origin(switched())
    with lab.weir(upgrading(origin)).connect() as conn:
        conn.send(head("Connection: Upgrade", "Upgrade: h2c, Echo, other", start="GET / HTTP/1.1") + b"x")
        assert conn.head().all("upgrade") == ["echo"]
        assert conn.exactly(1) == b"x"
    assert origin.last.all("upgrade") == ["echo"]


@pytest.mark.parametrize("name", ["h2c", "HTTP/2.0", "TLS/1.2", "h2", "web socket", "a/b/c", ""])
def test_S24_protocols_that_cannot_be_configured(tmp_path, name):
    path = tmp_path / "w.yaml"
    path.write_text("version: 1\nlisten: [\"127.0.0.1:1\"]\nupstreams: {o: {endpoints: [\"http://127.0.0.1:2\"]}}\n"
                    f"routes: [{{match: \"/*\", proxy: {{upstream: o, upgrade: [\"{name}\"]}}}}]\n")
    done = run_weir("check", "-c", path)
    assert done.returncode == 1 and "upgrade" in done.stderr + done.stdout or "protocol" in done.stderr + done.stdout


# ---- the tunnel ----

def test_bytes_right_behind_the_101(lab):
    weir = lab.weir(upgrading(lab.origin(switched(b"welcome"))))
    with opened(weir) as conn:
        assert conn.exactly(7) == b"welcome"


def test_a_client_that_finishes_first(lab):
    """Its end goes on to the origin, whose bytes still come back, and its end in turn."""
    def answer(_request, peer):
        peer.send(SWITCH)
        data = peer.rest()
        peer.send(b"got " + data)
        time.sleep(0.2)
        peer.send(b", bye")
        peer.close()
    weir = lab.weir(upgrading(lab.origin(answer)))
    with opened(weir) as conn:
        conn.send(b"all")
        conn.sock.shutdown(socket.SHUT_WR)
        assert conn.rest() == b"got all, bye"
        assert not conn.was_reset
    weir.wait_metric(0, "weir_tunnels")


def test_an_origin_that_finishes_first(lab):
    def answer(_request, peer):
        peer.send(SWITCH + b"bye")
        peer.sock.shutdown(socket.SHUT_WR)
        got.append(peer.rest())
        peer.finished = True
    got = []
    weir = lab.weir(upgrading(lab.origin(answer)))
    with opened(weir) as conn:
        assert conn.rest() == b"bye"
        conn.send(b"still here")
        conn.sock.shutdown(socket.SHUT_WR)
        wait_until(lambda: got, "the origin has seen the end")
    assert got == [b"still here"]
    weir.wait_metric(0, "weir_tunnels")


def test_a_reset_of_the_origin_is_one_for_the_client(lab):
    go = threading.Event()

    def answer(_request, peer):
        peer.send(SWITCH)
        peer.wait(go)
        peer.reset()
    weir = lab.weir(upgrading(lab.origin(answer)))
    with opened(weir) as conn:
        go.set()
        assert conn.rest() == b"" and conn.was_reset
    weir.wait_metric(0, "weir_tunnels")


def test_a_reset_of_the_client_is_one_for_the_origin(lab):
    origin = lab.origin(switched())
    weir = lab.weir(upgrading(origin))
    conn = opened(weir, b"x")
    assert conn.exactly(1) == b"x"
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    conn.close()
    wait_until(lambda: origin.peers[0].ended, "the origin's connection ends")
    assert origin.peers[0].was_reset
    weir.wait_metric(0, "weir_tunnels")


@pytest.mark.release
def test_a_tunnel_holds_the_faster_side_back(lab):
    """Both ways at once; what the other side has not taken stays with its sender."""
    data = random.Random(7).randbytes(24 << 20)
    go = threading.Event()
    got = []

    def answer(_request, peer):
        peer.seen = lambda data: None
        peer.send(SWITCH)
        sender = threading.Thread(target=peer.send, args=(data,), daemon=True)
        sender.start()
        peer.wait(go)
        got.append(peer.exactly(len(data)))
        sender.join()
        peer.close()
    weir = lean(lab, lab.origin(answer))
    weir.write({**upgrading(lab.origins[0]), "limits": {"tunnel_idle_timeout": "1h"}})
    assert weir.reload().status == 200
    with opened(weir) as conn:
        before = peak(weir)
        sender = threading.Thread(target=conn.send, args=(data,), daemon=True)
        sender.start()
        time.sleep(1)  # all buffers on the way are full by now
        assert sender.is_alive()
        go.set()
        assert conn.exactly(len(data)) == data
        sender.join()
        conn.assert_closed()
        assert peak(weir) - before < ROOM
    assert got == [data]


def test_many_tunnels_that_are_idle(lab):
    """They have neither fiber nor snapshot: a reload frees the old config, and the tunnels live on."""
    weir = lab.weir({**upgrading(lab.origin(switched())), "workers": 2})
    fibers = weir.metric("weir_fibers")
    conns = [opened(weir) for _ in range(40)]
    weir.wait_metric(40, "weir_tunnels")
    weir.wait_metric(fibers, "weir_fibers")
    for generation in (2, 3):
        weir.write({**upgrading(lab.origin(switched())), "workers": 2})  # the upstream of the tunnels goes
        assert weir.reload().status == 200
        assert weir.metric("weir_config_generation") == generation
        weir.wait_metric(fibers, "weir_fibers")
        for i, conn in enumerate(conns):
            conn.send(b"%03d" % i)
        for i, conn in enumerate(conns):
            assert conn.exactly(3) == b"%03d" % i
    weir.wait_metric(fibers, "weir_fibers")
    for conn in conns:
        conn.close()
    weir.wait_metric(0, "weir_tunnels")


def test_a_tunnel_that_is_idle_for_too_long(lab):
    weir = lab.weir({**upgrading(lab.origin(switched())), "limits": {"tunnel_idle_timeout": "700ms"}})
    with opened(weir) as conn:
        begin = time.monotonic()
        for _ in range(4):
            time.sleep(0.3)
            conn.send(b"x")
            assert conn.exactly(1) == b"x"
        assert time.monotonic() - begin > 0.7
        conn.assert_closed()
    weir.wait_metric(0, "weir_tunnels")


def test_a_side_that_takes_nothing_for_too_long(lab):
    """It is cut, and the other side sees that not all has gone through."""
    origin = lab.origin(lambda request, peer: peer.send(SWITCH) and peer.wait(threading.Event()))
    weir = lab.weir({**upgrading(origin), "limits": {"body_timeout": "500ms"}})
    with opened(weir) as conn:
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                conn.sock.sendall(b"x" * 65536)
    weir.wait_metric(0, "weir_tunnels")


def test_a_tunnel_is_a_connection_of_its_pool(lab):
    weir = lab.weir(upgrading(lab.origin(switched()), pool={"max_connections": 2}, max_in_flight=1, deadline="3s"))
    conns = [opened(weir) for _ in range(2)]
    problem(weir.get(), 503, "pool_exhausted")
    conns[0].close()
    weir.wait_metric(1, "weir_tunnels")
    conns.append(opened(weir))


def test_a_drain_lets_tunnels_go_on_and_a_stop_ends_them(lab):
    weir = lab.weir(upgrading(lab.origin(switched())))
    conns = [opened(weir) for _ in range(5)]
    weir.term()
    wait_until(lambda: weir.admin("GET", "/readyz").status == 503, "it drains")
    for conn in conns:
        conn.send(b"still")
        assert conn.exactly(5) == b"still"
    weir.term()
    for conn in conns:
        conn.assert_closed()
    assert weir.wait() == 0


def test_the_access_log_has_a_tunnel_at_its_end(lab):
    """With its bytes and its whole time, once."""
    path = lab.path("access.log")
    weir = lab.weir({**upgrading(lab.origin(switched(b"welcome"))), "use": ["request_id", "log"],
                     "middleware": {"log": {"access_log": {"path": path}}}})
    with opened(weir, b"x") as conn:
        assert conn.exactly(8) == b"welcomex"
        time.sleep(0.3)
        conn.send(b"y" * 1000)
        assert conn.exactly(1000) == b"y" * 1000
        assert weir.reload().status == 200
    weir.wait_metric(0, "weir_tunnels")

    def lines():
        with open(path, encoding="utf-8") as f:
            return f.read().splitlines()
    (line,) = [json.loads(text) for text in wait_until(lines, "the line is there")]
    assert line["http.response.status_code"] == 101 and line["url.path"] == "/" and line["upstream"] == "origin"
    assert line["http.request.body.size"] == 1001 and line["http.response.body.size"] == 1008
    assert line["duration"] >= 0.3 and line["endpoint"] == lab.origins[0].url and line["request_id"]


def test_plain_requests_beside_tunnels(lab):
    def answer(request, peer):
        return switched()(request, peer) if request.header("upgrade") else echo(request, peer)
    weir = lab.weir(upgrading(lab.origin(answer)))
    with opened(weir) as tunnel, weir.connect() as conn:
        for i in range(20):
            tunnel.send(b"x")
            assert conn.exchange("GET", f"/{i}").json()["target"] == f"/{i}"
            assert tunnel.exactly(1) == b"x"
