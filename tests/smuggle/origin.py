"""The recording origin: a process of its own that reads what weir forwards more strictly than any server would, and
keeps every request, whole or not, under the address of the client it came from (X-Forwarded-For: each connection of
the driver has its own).

A request of ours is answered with what was read of it, and a number that is given once, so that the driver sees which
request an answer belongs to. For `/answer/N` the raw bytes of answer N are sent instead (answers.py)."""
import multiprocessing
import re
import selectors
import socket
import time
import zlib
from dataclasses import dataclass

REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) (/[\x21\x22\x24-\x7e]*|\*) HTTP/1\.1")
FIELD = re.compile(rb"([!#$%&'*+\-.^`|~0-9A-Za-z]+): ((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)")
LENGTH = re.compile(rb"0|[1-9]\d{0,18}")
FIELD_OF_OTHERS = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t\x20-\x7e\x80-\xff]*)")
CHUNK = re.compile(rb"([0-9a-fA-F]+)\r\n")
OF_THE_MOMENT = re.compile(rb"(X-Forwarded-For: 127\.|X-Request-Deadline: |X-Test: | /c/| /canary/)\d[\d.]*(?=\r\n| |$)", re.I)
HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"expect"}
ANSWER = re.compile(rb"/answer/(\d+)")


@dataclass
class Record:
    source: bytes
    method: bytes
    target: bytes
    host: bytes
    fields: tuple
    body: bytes = b""
    whole: bool = False
    serial: int = 0
    upgrade: bool = False


class Peer:
    """A connection from weir."""

    def __init__(self, sock, origin):
        self.sock = sock
        self.origin = origin
        self.data = bytearray()
        self.poisoned = None  # the answer that must be the last one here
        self.started = None
        self.dead = False

    def readable(self):
        try:
            data = self.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        if self.poisoned is not None:
            self.origin.violation(f"answer {self.poisoned} was not the last on its connection", bytes(data))
            self.close()
            return
        self.data += data
        try:
            while self.data and self.poisoned is None and self.request():
                pass
        except ValueError as e:
            self.origin.violation(str(e), bytes(self.data))
            self.close()

    def close(self):
        if not self.dead:
            self.dead = True
            self.origin.selector.unregister(self.sock)
            self.sock.close()
            if self.data and self.started is None:
                self.origin.violation("a head without end", bytes(self.data))

    def request(self):
        """Takes a request from the front of what has come. False when it is not whole."""
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return False
        if self.started is None:
            self.started = self.head(bytes(self.data[:end]))
            self.origin.records.append(self.started[0])
        record, framing = self.started
        at = end + 4
        if framing == b"chunked":
            body, at = self.chunks(at)
        else:
            body, at = bytes(self.data[at:at + framing]), at + framing
            if len(body) < framing:
                body = None
        if body is None:
            return False
        record.body = body
        record.whole = True
        self.started = None
        self.origin.keep(bytes(self.data[:at]), record)
        del self.data[:at]
        self.answer(record)
        return True

    def head(self, raw):
        lines = raw.split(b"\r\n")
        line = REQUEST_LINE.fullmatch(lines[0])
        if not line:
            raise ValueError(f"request line {lines[0]!r}")
        fields = []
        for text in lines[1:]:
            match = (FIELD if self.origin.strict else FIELD_OF_OTHERS).fullmatch(text)
            if not match:
                raise ValueError(f"field line {text!r}")
            fields.append((match[1].lower(), match[2]))
        names = [name for name, _ in fields]
        for name in (b"host", b"x-forwarded-for"):
            if names.count(name) != 1 and self.origin.strict:
                raise ValueError(f"{names.count(name)} {name.decode()} fields")
        have = dict(fields)
        upgrade = have.get(b"upgrade", b"").lower() == b"websocket" and have.get(b"connection", b"").lower() == b"upgrade" and \
            names.count(b"upgrade") == 1 and names.count(b"connection") == 1
        for name in HOP & set(names):
            if self.origin.strict and not (upgrade and name in (b"upgrade", b"connection")):
                raise ValueError(f"hop-by-hop field {name.decode()}")
        framing = [(name, value) for name, value in fields if name in (b"content-length", b"transfer-encoding")]
        if len(framing) > 1:
            raise ValueError(f"framed more than once: {framing}")
        length = 0
        if framing:
            name, value = framing[0]
            if name == b"transfer-encoding":
                if value != b"chunked":
                    raise ValueError(f"Transfer-Encoding: {value!r}")
                length = b"chunked"
            else:
                if not LENGTH.fullmatch(value):
                    raise ValueError(f"Content-Length: {value!r}")
                length = int(value)
        return Record(have.get(b"x-forwarded-for", b"-"), line[1], line[2], have.get(b"host", b""),
                      tuple((n, v) for n, v in fields if n.startswith(b"x-t")), upgrade=upgrade), length

    def chunks(self, at):
        body = []
        while True:
            match = CHUNK.match(self.data, at)
            if not match:
                if b"\n" in self.data[at:at + 20] or len(self.data) - at > 20:
                    raise ValueError(f"chunk {bytes(self.data[at:at + 40])!r}")
                return None, at
            size = int(match[1], 16)
            at = match.end()
            if size == 0:
                if self.data[at:at + 2] == b"\r\n":
                    return b"".join(body), at + 2
                if len(self.data) - at >= 2:
                    raise ValueError(f"trailers {bytes(self.data[at:at + 40])!r}")
                return None, at
            if len(self.data) < at + size + 2:
                return None, at
            if self.data[at + size:at + size + 2] != b"\r\n":
                raise ValueError(f"no line end behind a chunk of {size}")
            body.append(bytes(self.data[at:at + size]))
            at += size + 2

    def answer(self, record):
        self.origin.serial += 1
        record.serial = self.origin.serial
        scripted = ANSWER.fullmatch(record.target)
        if scripted and self.origin.answers:
            answer = self.origin.answers[int(scripted[1])]
            if answer.last:
                self.poisoned = answer.number
            for i, piece in enumerate(answer.pieces()):
                if i:
                    time.sleep(0.001)  # long enough for weir to read the one before, mostly
                self.send(piece)
            if answer.close:
                self.close()
            return
        body = describe(record)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Seen: %b\r\nContent-Length: %d\r\n\r\n" % (body, len(body))
        self.send(head if record.method == b"HEAD" else head + body)
        if record.upgrade and self.origin.strict:
            self.poisoned = "to an upgrade"

    def send(self, data):
        if self.dead:
            return
        try:
            self.sock.settimeout(10)
            self.sock.sendall(data)
            self.sock.setblocking(False)
        except OSError:
            self.close()


def describe(record):
    return b"%d %b %b %b %d %08x" % (record.serial, record.source, record.method, record.target, len(record.body),
                                     zlib.crc32(record.body))


class Server:
    def __init__(self, listener, pipe, answers, strict):
        self.strict = strict
        self.selector = selectors.EpollSelector()
        self.listener = listener
        self.pipe = pipe
        self.answers = answers
        self.serial = 0
        self.records = []
        self.violations = []
        self.kept = {}
        listener.setblocking(False)
        self.selector.register(listener, selectors.EVENT_READ, self.accept)
        self.selector.register(pipe, selectors.EVENT_READ, self.asked)

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(sock, selectors.EVENT_READ, Peer(sock, self).readable)

    def violation(self, what, data):
        self.violations.append((what, data))

    def keep(self, raw, record):
        """For the differential test: the distinct messages, whoever sent them. What follows a request for an upgrade
        is of no language yet, so that one could not see where others end it."""
        if record.upgrade:
            return
        head, end, body = raw.partition(b"\r\n\r\n")
        raw = OF_THE_MOMENT.sub(rb"\g<1>1.1.1", head) + end + body
        if raw not in self.kept:
            self.kept[raw] = (record.method, raw.split(b" ", 2)[1], record.body)

    def asked(self):
        """The driver wants what is there; first everything that has arrived is read."""
        word = self.pipe.recv()
        while self.turn(0, but=self.pipe):
            pass
        if word == "stop":
            self.pipe.send((self.records, self.violations, self.kept))
            raise SystemExit
        self.pipe.send((self.records, self.violations, {}))
        self.records, self.violations = [], []

    def turn(self, timeout, but=None):
        events = [key for key, _ in self.selector.select(timeout) if key.fileobj is not but]
        for key in events:
            key.data()
        return len(events)

    def run(self):
        while True:
            self.turn(None)


class Origin:
    """Starts the process; the parent's side. Not strict, it stands behind other servers than weir."""

    def __init__(self, answers=(), strict=True):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=lambda: Server(self.listener, theirs, answers, strict).run(), daemon=True)
        self.process.start()
        self.listener.close()

    def ask(self, word):
        self.pipe.send(word)
        if not self.pipe.poll(60):
            raise RuntimeError("the origin does not answer")
        return self.pipe.recv()

    def collect(self):
        """(records, violations) since the last time."""
        records, violations, _ = self.ask("collect")
        return records, violations

    def stop(self):
        out = self.ask("stop")
        self.process.join(10)
        return out


def wait_port(port, limit=30):
    """Until somebody listens there."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nobody listens on port {port}")
