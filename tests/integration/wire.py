"""HTTP/1 over a bare socket. What http.client would repair or hide, these tests must see."""
import json
import re
import socket
import time

LIMIT = 40  # seconds a condition may take: far more than needed, for sanitizers and busy machines are slow

HEADER_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([^\r\n\0]*)\Z")
STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) ([^\r\n\0]*)\Z")


def wait_until(condition, what, limit=LIMIT):
    """Waits for condition() to be true and gives its value."""
    end = time.monotonic() + limit
    pause = 0.005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit} s in vain: {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


class Malformed(AssertionError):
    """The peer's message breaks HTTP."""


class Truncated(Exception):
    """The connection ended inside a message; `got` is what came of it."""

    def __init__(self, what, got=b""):
        super().__init__(f"the connection ended {what}, after {len(got)} bytes of it")
        self.got = got


class Message:
    """Headers and body of a request or a response."""

    def __init__(self):
        self.headers = []  # (name, value), in order
        self.body = b""
        self.trailers = []
        self.framing = "none"  # none, length, chunked, close

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def header(self, name):
        values = self.all(name)
        return ", ".join(values) if values else None

    def names(self):
        return {n.lower() for n, _ in self.headers}

    def json(self):
        return json.loads(self.body)


class Response(Message):
    def __init__(self, status, reason):
        super().__init__()
        self.status = status
        self.reason = reason
        self.interim = []  # the 1xx responses before it

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.headers} {self.body[:400]!r}>"

    @property
    def closes(self):
        return "close" in (self.header("connection") or "").lower()


class Reader:
    """Messages from a socket, read strictly."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""
        self.ended = False
        self.was_reset = False

    def more(self):
        """Reads on; False at the end."""
        if self.ended:
            return False
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            self.was_reset = True
            data = b""
        except socket.timeout:
            limit = self.sock.gettimeout()
            raise AssertionError(f"no byte came for {limit} s; before that: {self.buffer[:500]!r}") from None
        if not data:
            self.ended = True
        self.seen(data)
        self.buffer += data
        return bool(data)

    def seen(self, data):
        pass

    def take(self, n):
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def line(self, what):
        while b"\n" not in self.buffer:
            if not self.more():
                raise Truncated(what, self.buffer)
        line = self.take(self.buffer.index(b"\n") + 1)
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise Malformed(f"a line does not end in CRLF: {line!r}")
        return line[:-2]

    def fields(self):
        out = []
        while True:
            line = self.line("inside a header section")
            if not line:
                return out
            match = HEADER_LINE.match(line)
            if not match:
                raise Malformed(f"not a header line: {line!r}")
            out.append((match[1].decode(), match[2].decode("latin-1")))

    def exactly(self, n):
        parts = [self.buffer[:n]]
        have = len(parts[0])
        self.buffer = self.buffer[n:]
        while have < n:
            if not self.more():
                raise Truncated("inside a body", b"".join(parts))
            parts.append(self.take(n - have))
            have += len(parts[-1])
        return b"".join(parts)

    def rest(self):
        parts = [self.take(len(self.buffer))]
        while self.more():
            parts.append(self.take(len(self.buffer)))
        return b"".join(parts)

    def chunks(self, message):
        parts = []
        try:
            while True:
                size = self.line("inside a chunk's head")
                if not re.fullmatch(rb"[0-9a-fA-F]{1,16}", size):
                    raise Malformed(f"not a chunk size as weir writes it: {size!r}")
                if int(size, 16) == 0:
                    message.trailers = self.fields()
                    break
                try:
                    parts.append(self.exactly(int(size, 16)))
                except Truncated as e:
                    parts.append(e.got)
                    raise
                if self.exactly(2) != b"\r\n":
                    raise Malformed("a chunk is longer than its size")
        except Truncated:
            raise Truncated("inside a chunked body", b"".join(parts)) from None
        return b"".join(parts)

    def take_body(self, message, until_close):
        """Reads the body by the message's framing fields."""
        lengths, codings = message.all("content-length"), message.all("transfer-encoding")
        if len(lengths) + len(codings) > 1 or not all(re.fullmatch(r"0|[1-9]\d*", v) for v in lengths):
            raise Malformed(f"ambiguous framing: {lengths} {codings}")
        if codings and codings != ["chunked"]:
            raise Malformed(f"not the framing that weir writes: {codings}")
        if codings:
            message.framing = "chunked"
            message.body = self.chunks(message)
        elif lengths:
            message.framing = "length"
            message.body = self.exactly(int(lengths[0]))
        elif until_close:
            message.framing = "close"
            message.body = self.rest()


class Conn(Reader):
    """A client's connection. `address` is (host, port) or the path of a unix socket."""

    def __init__(self, address, limit=LIMIT, source=None):
        family = socket.AF_UNIX if isinstance(address,
                                              str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(limit)
        if source:
            sock.bind((source, 0))
        sock.connect(address)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        """Sends; a peer that has closed is no error here, its answer is read all the same."""
        try:
            self.sock.sendall(data)
        except ConnectionError:
            pass

    def request(self, method="GET", target="/", headers=(), body=None, host="weir.test", version="HTTP/1.1"):
        """Sends a well-formed request. `headers` is a list of pairs or a dict; body None means none at all."""
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
        lines = [f"{method} {target} {version}"]
        if host is not None:
            lines.append(f"Host: {host}")
        lines += [f"{name}: {value}" for name, value in pairs]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines + ["", ""]).encode("latin-1") + (body or b""))

    def head(self):
        """A response up to the end of its header section; nothing of the body."""
        interim = []
        while True:
            line = self.line("before a response")
            match = STATUS_LINE.match(line)
            if not match:
                raise Malformed(f"not a status line: {line!r}")
            response = Response(int(match[1]), match[2].decode("latin-1"))
            response.headers = self.fields()
            if response.status >= 200 or response.status == 101:
                response.interim = interim
                return response
            interim.append(response)

    def response(self, method="GET"):
        """The next final response, whole. Raises Truncated when the connection ends inside it."""
        response = self.head()
        if method != "HEAD" and response.status not in (204, 304):
            try:
                self.take_body(response, until_close=True)
            except Truncated as e:
                e.response = response
                raise
        return response

    def exchange(self, method="GET", target="/", **more):
        self.request(method, target, **more)
        return self.response(method)

    def assert_closed(self):
        """The peer closes, and sends nothing more before that."""
        while self.more():
            pass
        assert self.buffer == b"", f"more came before the end: {self.buffer[:500]!r}"

    def assert_open(self):
        """No end and no byte yet."""
        self.sock.setblocking(False)
        try:
            data = self.sock.recv(1, socket.MSG_PEEK)
            raise AssertionError(f"the connection is {'readable' if data else 'closed'}")
        except BlockingIOError:
            pass
        finally:
            self.sock.settimeout(LIMIT)
