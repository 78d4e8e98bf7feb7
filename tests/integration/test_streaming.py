"""Bodies of any size: they pass as they come, at the pace of the slower side, and take no more memory than small ones."""
import hashlib
import os
import random
import re
import threading
import time

import pytest

from harness import environment, proxy
from origin import reply
from test_hostile_clients import head
from wire import wait_until

MIB = 1024 * 1024
SIZE = int(os.environ.get("WEIR_STREAM_MIB", "48")) * MIB  # more than all socket buffers on the way hold
BLOCK = random.Random(5).randbytes(MIB)
ROOM = 6 * MIB  # what weir may grow by, whatever passes: scratch buffers and stacks that are touched for the first time


def blocks(size, chunked=False):
    for _ in range(size // MIB):
        if chunked:
            yield b"%x\r\n" % len(BLOCK)
        yield BLOCK
        if chunked:
            yield b"\r\n"
    if chunked:
        yield b"0\r\n\r\n"


def digest(size):
    h = hashlib.sha256()
    for block in blocks(size):
        h.update(block)
    return h.hexdigest()


class Counted:
    """Reads a body of that size from a peer and forgets it, but for its digest."""

    def __init__(self):
        self.size = 0
        self.hash = hashlib.sha256()

    def read(self, peer, size):
        self.add(peer.take(min(size, len(peer.buffer))))
        while self.size < size:
            data = peer.sock.recv(min(MIB, size - self.size))
            if not data:
                return False
            self.add(data)
        return True

    def read_chunks(self, peer):
        while True:
            n = int(peer.line("inside a chunk's head"), 16)
            if n == 0:
                assert peer.fields() == []
                return True
            self.add(peer.exactly(n))
            assert peer.exactly(2) == b"\r\n"

    def add(self, data):
        self.size += len(data)
        self.hash.update(data)


def lean(lab, *origins, **more):
    """weir, with the sanitizer's memory of freed blocks kept small."""
    options = environment()["ASAN_OPTIONS"] + ":quarantine_size_mb=1:thread_local_quarantine_size_kb=16"
    config = proxy(*origins)
    config["routes"][0]["max_body"] = "unlimited"
    return lab.weir({**config, **more}, env={"ASAN_OPTIONS": options})


def peak(weir):
    """The most memory it has had in use, bytes."""
    with open(f"/proc/{weir.pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmHWM:\s+(\d+) kB", f.read())[1]) * 1024


@pytest.fixture
def takes(lab):
    """An origin that reads a body of SIZE and tells what came; `gate` lets it go on where it is set."""
    origin = lab.origin()
    origin.gate = threading.Event()
    origin.gate.set()

    def on_head(request, peer):
        body = Counted()
        peer.seen = lambda data: None  # nothing is recorded
        if not peer.wait(origin.gate):
            return True
        whole = body.read_chunks(peer) if request.header("transfer-encoding") else body.read(peer, int(
            request.header("content-length")))
        if whole:
            peer.send(reply(body=f"{body.size} {body.hash.hexdigest()}".encode(), headers=[("Connection", "close")]))
        return True
    origin.on_head = on_head
    return origin


@pytest.fixture
def gives(lab):
    """An origin that sends SIZE bytes, in the framing that the target names."""
    def answer(request, peer):
        chunked = request.target == "/chunked"
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % SIZE
        if request.target == "/close":
            framing = b"Connection: close"
        peer.sent = 0
        peer.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        if request.method == "HEAD":
            return
        for block in blocks(SIZE, chunked):
            if not peer.send(block):
                break
            peer.sent += len(block)
        if request.target == "/close":
            peer.close()
    return lab.origin(answer)


@pytest.mark.release
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_download_in_constant_memory(lab, gives, framing):
    weir = lean(lab, gives)
    with weir.connect() as conn:
        conn.request("HEAD", "/length")
        conn.head()
    before = peak(weir)
    with weir.connect() as conn:
        conn.request("GET", "/" + framing)
        response = conn.head()
        assert response.status == 200
        body = Counted()
        if response.header("content-length"):
            assert body.read(conn, SIZE)
        else:
            body.read_chunks(conn)
    assert (body.size, body.hash.hexdigest()) == (SIZE, digest(SIZE))
    assert peak(weir) - before < ROOM


def upload(conn, chunked):
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {SIZE}"
    conn.send(head(framing, start="PUT / HTTP/1.1"))
    conn.sent = 0
    for block in blocks(SIZE, chunked):
        conn.sock.sendall(block)
        conn.sent += len(block)


@pytest.mark.release
@pytest.mark.parametrize("chunked", [False, True])
def test_upload_in_constant_memory(lab, takes, chunked):
    weir = lean(lab, takes)
    assert weir.request("PUT", "/", body=b"x").status == 200
    before = peak(weir)
    with weir.connect() as conn:
        upload(conn, chunked)
        assert conn.response().body.decode() == f"{SIZE} {digest(SIZE)}"
    assert peak(weir) - before < ROOM


@pytest.mark.release
def test_a_slow_reader_holds_the_origin_back(lab, gives):
    """And costs no memory: what it has not read stays with the origin."""
    weir = lean(lab, gives)
    with weir.connect() as conn:
        conn.request("GET", "/length")
        assert conn.head().status == 200
        settle(lambda: gives.peers[0].sent)
        before = peak(weir)
        assert gives.peers[0].sent < SIZE
        body = Counted()
        assert body.read(conn, SIZE)
        assert body.hash.hexdigest() == digest(SIZE)
        assert peak(weir) - before < ROOM


@pytest.mark.release
@pytest.mark.parametrize("chunked", [False, True])
def test_a_slow_origin_holds_the_client_back(lab, takes, chunked):
    weir = lean(lab, takes)
    takes.gate.clear()
    with weir.connect() as conn:
        thread = threading.Thread(target=upload, args=(conn, chunked), daemon=True)
        thread.start()
        wait_until(lambda: getattr(conn, "sent", 0), "the upload has begun")
        settle(lambda: conn.sent)
        before = peak(weir)
        assert conn.sent < SIZE
        takes.gate.set()
        thread.join()
        assert conn.response().body.decode() == f"{SIZE} {digest(SIZE)}"
        assert peak(weir) - before < ROOM


def settle(progress):
    """Waits until that does not grow any more."""
    last, since = progress(), time.monotonic()
    while time.monotonic() - since < 1:
        time.sleep(0.05)
        now = progress()
        if now != last:
            last, since = now, time.monotonic()


# ---- limits ----

@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_streams_has_no_total(lab, chunked):
    """It takes longer than the deadline allows for anything else; it must not stall."""
    weir = lab.weir({**proxy(lab.origin(), deadline="1s"), "limits": {"body_timeout": "1500ms"}})
    with weir.connect() as conn:
        conn.send(head("Transfer-Encoding: chunked" if chunked else "Content-Length: 80", start="POST / HTTP/1.1"))
        for _ in range(8):
            time.sleep(0.2)
            conn.send(b"a\r\n0123456789\r\n" if chunked else b"0123456789")
        conn.send(b"0\r\n\r\n" if chunked else b"")
        told = conn.response().json()
        assert told["length"] == 80
        assert "x-request-deadline" not in {name.lower() for name, _ in told["headers"]}
    with weir.connect() as conn:
        conn.send(head("Content-Length: 80", start="POST / HTTP/1.1") + b"x")
        assert conn.response().status == 408


def test_a_deadline_that_was_told_is_a_total(lab):
    weir = lab.weir({**proxy(lab.origin()), "trusted_proxies": ["127.0.0.0/8"]})
    with weir.connect() as conn:
        conn.send(head("Content-Length: 800", "X-Request-Deadline: 1000", start="POST / HTTP/1.1"))
        for _ in range(30):
            time.sleep(0.1)
            conn.send(b"0123456789")
        assert conn.response().status == 504


def test_a_route_has_a_limit_of_its_own(lab):
    origin = lab.origin()
    config = proxy(origin)
    config["routes"] = [{"match": path, "proxy": "origin", **more} for path, more in (
        ("/small", {"max_body": "10B"}), ("/large", {"max_body": "3MiB"}), ("/any", {"max_body": "unlimited"}),
        ("/usual", {}))]
    weir = lab.weir({**config, "limits": {"max_body": "100B"}})
    for target, size, status in (("/small", 10, 200), ("/small", 11, 413), ("/usual", 100, 200), ("/usual", 101, 413),
                                 ("/large", 3 * MIB, 200), ("/large", 3 * MIB + 1, 413), ("/any", 4 * MIB, 200)):
        assert weir.post(target, b"x" * size).status == status, (target, size)
        with weir.connect() as conn:
            conn.send(head("Transfer-Encoding: chunked", start=f"POST {target} HTTP/1.1"))
            conn.send(b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size))
            assert conn.response().status == status, (target, size)


@pytest.mark.parametrize("fields", [[f"Content-Length: {24 * MIB}"], ["Transfer-Encoding: chunked"]], ids=["length", "chunked"])
def test_S22_a_fast_sender_gets_its_refusal(lab, fields):
    """Even one that looks for it when it has sent all of its body only."""
    weir = lab.weir(proxy(lab.origin()))
    for _ in range(3):
        with weir.refuses("body_too_large"), weir.connect() as conn:
            conn.send(head(*fields, start="POST / HTTP/1.1"))
            for block in blocks(24 * MIB, chunked="Transfer-Encoding: chunked" in fields):
                conn.sock.sendall(block)
            assert conn.response().status == 413
            conn.assert_closed()


def test_S22_a_sender_that_never_ends_is_let_go(lab):
    weir = lab.weir(proxy(lab.origin()))
    with weir.connect() as conn:
        conn.send(head("Transfer-Encoding: chunked", start="POST / HTTP/1.1"))
        with pytest.raises(ConnectionError):
            for block in blocks(1024 * MIB, chunked=True):
                conn.sock.sendall(block)
    with weir.connect() as conn:
        conn.send(head("Content-Length: 100000000", start="POST / HTTP/1.1"))
        with pytest.raises(ConnectionError):
            while True:
                time.sleep(0.1)
                conn.sock.sendall(b"drip")


# ---- both ways at once ----

@pytest.fixture
def echoes(lab):
    """An origin that answers at once and gives back what comes as it comes."""
    origin = lab.origin()

    def on_head(request, peer):
        peer.seen = lambda data: None
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        left = int(request.header("content-length") or -1)
        while left:
            n = left if left > 0 else int(peer.line("inside a chunk's head"), 16)
            if n == 0:
                assert peer.fields() == []
                break
            if not peer.buffer:
                assert peer.more()
            data = peer.take(n) if left > 0 else peer.exactly(n)
            if left > 0:
                left -= len(data)
            else:
                assert peer.exactly(2) == b"\r\n"
            peer.send(b"%x\r\n%s\r\n" % (len(data), data))
        peer.send(b"0\r\n\r\n")
        request.body = b""
        with origin.lock:
            origin.requests.append(request)
        return False
    origin.on_head = on_head
    origin.answer = lambda request, peer: peer.close()
    return origin


def read_chunk(conn):
    n = int(conn.line("inside a chunk's head"), 16)
    data = conn.exactly(n)
    assert conn.exactly(2) == b"\r\n"
    return data


@pytest.mark.parametrize("chunked", [False, True])
def test_a_response_is_carried_while_the_request_still_comes(lab, echoes, chunked):
    with lean(lab, echoes).connect() as conn:
        conn.send(head("Transfer-Encoding: chunked" if chunked else "Content-Length: 50", start="POST / HTTP/1.1"))
        for i in range(10):
            conn.send(b"5\r\npart%d\r\n" % i if chunked else b"part%d" % i)
            if i == 0:
                assert conn.head().status == 200
            assert read_chunk(conn) == b"part%d" % i
        conn.send(b"0\r\n\r\n" if chunked else b"")
        assert conn.exactly(5) == b"0\r\n\r\n"


@pytest.mark.release
@pytest.mark.parametrize("chunked", [False, True])
def test_both_ways_at_once_in_constant_memory(lab, echoes, chunked):
    """Each side is held back when the other does not go on, and nothing is lost on the way."""
    weir = lean(lab, echoes)
    with weir.connect() as conn:
        conn.send(head("Content-Length: 1", start="POST / HTTP/1.1") + b"x")
        conn.response()
    before = peak(weir)
    with weir.connect() as conn:
        thread = threading.Thread(target=upload, args=(conn, chunked), daemon=True)
        thread.start()
        assert conn.head().status == 200
        settle(lambda: conn.sent)
        assert conn.sent < SIZE
        body = Counted()
        body.read_chunks(conn)
        thread.join()
    assert (body.size, body.hash.hexdigest()) == (SIZE, digest(SIZE))
    assert peak(weir) - before < ROOM


def test_S22_an_origin_that_has_enough(lab):
    """It answers well and whole, and never reads the rest: neither connection is used again."""
    origin = lab.origin()
    origin.on_head = lambda request, peer: request.method == "POST" and (peer.send(reply(body=b"enough")), peer.hang())
    weir = lab.weir({**proxy(origin), "workers": 1})
    for _ in range(2):
        with weir.connect() as conn:
            conn.send(head("Content-Length: 500000", start="POST / HTTP/1.1") + b"x" * 1000)
            response = conn.response()
            assert response.body == b"enough" and response.closes
    assert weir.get("/next").json()["target"] == "/next"
    assert len(origin.peers) == 3


@pytest.mark.parametrize("rest", [b"", b"\r", b"\r\n", b"\r\n4", b"\r\n4\r\n"], ids=repr)
def test_S22_an_early_answer_is_heard_between_chunks(lab, rest):
    """Wherever the client stops: it waits for this answer."""
    origin = lab.origin()
    origin.on_head = lambda request, peer: (peer.send(reply(403, b"no")), peer.hang())
    weir = lab.weir(proxy(origin, deadline="1h", timeout="1h"))
    with weir.connect() as conn:
        conn.send(head("Transfer-Encoding: chunked", start="POST / HTTP/1.1") + b"5\r\nhello" + rest)
        response = conn.response()
        assert response.status == 403 and response.body == b"no" and response.closes
