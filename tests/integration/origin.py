"""An origin that does as a script says: a small threaded server that records what weir sends and answers in any way,
right or wrong.

    origin = lab.origin()                                   answers with what it was asked, as JSON (see echo)
    origin = lab.origin(lambda request, peer: reply(404))   any bytes
    origin.answer = ...                                     may change while it runs
"""
import hashlib
import json
import re
import socket
import struct
import threading

from wire import LIMIT, Malformed, Message, Reader, Truncated

REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP/1\.1\Z")


def reply(status=200, body=b"", headers=(), reason="OK"):
    """The bytes of a response with Content-Length."""
    lines = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(body)}"] + [f"{n}: {v}" for n, v in headers]
    return "\r\n".join(lines + ["", ""]).encode("latin-1") + body


def reply_chunked(parts, headers=(), trailers=()):
    lines = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked"] + [f"{n}: {v}" for n, v in headers]
    out = "\r\n".join(lines + ["", ""]).encode("latin-1")
    for part in parts:
        out += b"%x\r\n%s\r\n" % (len(part), part)
    return out + b"0\r\n" + b"".join(f"{n}: {v}\r\n".encode() for n, v in trailers) + b"\r\n"


def echo(request, _peer):
    """Tells what arrived, so that a test sees it through the client's end."""
    return reply(body=json.dumps({
        "method": request.method, "target": request.target, "headers": request.headers, "framing": request.framing,
        "length": len(request.body), "sha256": hashlib.sha256(request.body).hexdigest(), "trailers": request.trailers,
    }).encode(), headers=[("Content-Type", "application/json")])


class Request(Message):
    method = target = None
    peer = None

    def __repr__(self):
        return f"<{self.method} {self.target} {self.headers} {len(self.body)} bytes>"


class Peer(Reader):
    """One connection from weir."""

    def __init__(self, origin, sock, number):
        super().__init__(sock)
        self.origin = origin
        self.number = number
        self.data = b""  # all that came
        self.finished = False  # this side is done with it

    def seen(self, data):
        self.data += data

    def send(self, data):
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False

    def close(self):
        """FIN, even while the other side has sent bytes that nobody read."""
        self.finished = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def reset(self):
        self.finished = True
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def hang(self):
        """Says nothing until weir gives up or the test is over."""
        while not self.origin.stopping.is_set() and not self.ended:
            self.more()

    def wait(self, event):
        """Waits for an event of the test; False when the test is over."""
        while not event.wait(0.02):
            if self.origin.stopping.is_set():
                return False
        return True

    def request(self):
        """The next request, or None at the end."""
        if not self.buffer and not self.more():
            return None
        line = self.line("inside a request line")
        match = REQUEST_LINE.match(line)
        if not match:
            raise Malformed(f"not a request line as weir writes it: {line!r}")
        request = Request()
        request.peer = self
        request.method, request.target = match[1].decode(), match[2].decode()
        request.headers = self.fields()
        if self.origin.on_head and self.origin.on_head(request, self):
            return None
        self.take_body(request, until_close=False)
        return request


class Origin:
    """`on_head(request, peer)`, when set, is called before the body is read; true means that the connection is done."""

    def __init__(self, answer=echo, port=0):
        self.answer = answer
        self.on_head = None
        self.on_connect = None
        self.requests = []  # those that came whole
        self.peers = []
        self.faults = []  # messages of weir that were malformed
        self.open = 0  # connections
        self.busy = 0  # requests that are being answered
        self.most_busy = 0
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.threads = [threading.Thread(target=self.accept, daemon=True)]
        self.threads[0].start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.settimeout(None)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                peer = Peer(self, sock, len(self.peers))
                self.peers.append(peer)
                self.open += 1
                thread = threading.Thread(target=self.serve, args=(peer,), daemon=True)
                self.threads.append(thread)
            thread.start()

    def serve(self, peer):
        try:
            if self.on_connect:
                self.on_connect(peer)
            while not peer.finished:
                request = peer.request()
                if request is None:
                    break
                with self.lock:
                    self.requests.append(request)
                    self.busy += 1
                    self.most_busy = max(self.most_busy, self.busy)
                try:
                    answer = self.answer(request, peer)
                finally:
                    with self.lock:
                        self.busy -= 1
                if answer and not peer.send(answer):
                    break
        except Malformed as e:
            self.faults.append(str(e))
        except (Truncated, OSError):
            pass  # weir gave up in the middle, which is its right
        finally:
            with self.lock:
                self.open -= 1
            peer.sock.close()

    def clear(self):
        with self.lock:
            self.requests.clear()
            for peer in self.peers:
                peer.data = b""

    @property
    def bytes(self):
        """All that came, over all connections."""
        with self.lock:
            return b"".join(peer.data for peer in self.peers)

    @property
    def last(self):
        return self.requests[-1]

    def stop(self):
        self.stopping.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        with self.lock:
            peers = list(self.peers)
        for peer in peers:
            try:
                peer.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join(LIMIT)
        assert not self.faults, f"weir sent malformed requests: {self.faults}"
