"""The driver: many connections to weir at once, each with an address of its own, each playing cases one after another.

A case is its bytes and a canary request behind them. What comes back is compared with the verdicts of the oracle: the
right answers in order and nothing else, and the connection open or closed as it must be."""
import collections
import itertools
import re
import selectors
import socket
import time
from dataclasses import dataclass, field

import oracle

HEAD = re.compile(rb"HTTP/1\.1 (\d\d\d) ([\x20-\x7e]*)\r\n((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t\x20-\x7e\x80-\xff]*\r\n)*)\r\n")
LENGTH = re.compile(rb"(?:^|\n)content-length: (\d+)\r", re.I)
CHUNKED = re.compile(rb"(?:^|\n)transfer-encoding:", re.I)
CLOSE = re.compile(rb"(?:^|\n)connection: close\r", re.I)
CODE = re.compile(rb'"code":\s*"(\w+)"')
CHUNK = re.compile(rb"([0-9a-fA-F]+)\r\n")
PROBE = b"GET /probe HTTP/1.1\r\nHost: weir.test\r\n\r\n"
STALL = 30  # seconds without an event on a connection
CASES_PER_CONNECTION = 50
BIND_NO_PORT = 24  # IP_BIND_ADDRESS_NO_PORT


class Malformed(Exception):
    pass


@dataclass
class Response:
    status: int
    head: bytes
    body: bytes = b""
    closes: bool = False


@dataclass
class Run:
    """One case played once."""
    case: object
    data: bytes  # with the canary
    verdicts: list
    pieces: list  # how it is written
    responses: list = field(default_factory=list)
    interim: int = 0
    eof: bool = False
    reset: bool = False
    rest: bytes = b""  # what came and is no response
    failure: str = None
    true: list = field(default_factory=list)  # the verdicts that came true, as far as a client sees
    source: bytes = b""


def canary(number):
    return b"GET /canary/%d HTTP/1.1\r\nHost: weir.test\r\n\r\n" % number


_judged = {}


def make_run(case, split=None):
    """`split`: None for one write, "bytes" for a write a byte, or the place where it is cut in two."""
    known = _judged.get(case.number)
    if known is None:
        data = case.data + canary(case.number)
        known = _judged[case.number] = (data, oracle.judge(data))
    data, verdicts = known
    if split is None:
        pieces = [data]
    elif split == "bytes":
        pieces = [data[i:i + 1] for i in range(len(data))]
    else:
        pieces = [data[:split], data[split:]]
    return Run(case, data, verdicts, pieces)


class Connection:
    """Plays runs in turn, until one ends the connection."""

    def __init__(self, driver, source):
        self.driver = driver
        self.source = source
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_IP, BIND_NO_PORT, 1)
        sock.bind((source.decode(), 0))
        sock.connect(("127.0.0.1", driver.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # the last word is a reset, so that 100,000 closed connections do not hold their ports
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.setblocking(False)
        self.sock = sock
        self.run = None
        self.out = b""
        self.buffer = bytearray()
        self.since = time.monotonic()
        self.count = 0
        self.writing = False
        self.ends = False  # nothing follows what is in `out`
        driver.selector.register(sock, selectors.EVENT_READ, self)

    def close(self):
        self.driver.selector.unregister(self.sock)
        self.sock.close()
        self.sock = None

    # ---- writing ----

    def begin(self, run):
        self.run = run
        run.source = self.source
        self.count += 1
        self.since = time.monotonic()

    def write(self, data, last=False):
        """After the last piece of a run that leaves a message without end, the connection is half-closed."""
        self.out = self.out + data if self.out else data
        self.ends = last and any(v.end == "incomplete" for v in self.run.verdicts)
        self.flush()

    def flush(self):
        try:
            sent = self.sock.send(self.out)
        except BlockingIOError:
            sent = 0
        except OSError:  # weir has closed; what it said is read below
            sent = len(self.out)
        self.out = self.out[sent:]
        if self.ends and not self.out:
            self.half_close()
        wants = bool(self.out)
        if wants != self.writing:
            self.writing = wants
            self.driver.selector.modify(self.sock, selectors.EVENT_READ | (selectors.EVENT_WRITE if wants else 0), self)

    def half_close(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    # ---- reading ----

    def event(self, mask):
        """True when the run is over."""
        self.since = time.monotonic()
        if mask & selectors.EVENT_WRITE:
            self.flush()
        if not mask & selectors.EVENT_READ:
            return False
        try:
            data = self.sock.recv(262144)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
            self.run.reset = True
        if data:
            self.buffer += data
        else:
            self.run.eof = True
        return self.progress()

    def progress(self):
        run = self.run
        try:
            while self.buffer and self.response():
                pass
            if len(run.responses) > max(len(v.arrivals) + (v.end in ("refused", "incomplete")) for v in run.verdicts):
                raise Malformed("more answers than requests")
        except Malformed as e:
            run.failure = str(e)
            run.rest = bytes(self.buffer)
            return True
        if run.eof:
            run.rest = bytes(self.buffer)
            return True
        return not self.buffer and not self.out and any(
            v.end == "open" and len(v.arrivals) == len(run.responses) and
            all(r.status in a.own for r, a in zip(run.responses, v.arrivals)) for v in run.verdicts)

    def response(self):
        run = self.run
        match = HEAD.match(self.buffer)
        if not match:
            if b"\r\n\r\n" in self.buffer or (run.eof and self.buffer):
                raise Malformed(f"no response head: {bytes(self.buffer[:200])!r}")
            return False
        status, head = int(match[1]), match[3]
        at = match.end()
        if status < 200:
            run.interim += 1
            del self.buffer[:at]
            return True
        length = LENGTH.search(head)
        index = len(run.responses)
        method = next((v.arrivals[index].method for v in run.verdicts if len(v.arrivals) > index), None)
        if status == 200 and method is None:
            raise Malformed(f"an answer of the origin where there must be none: {head!r}")
        closes = bool(CLOSE.search(head))
        body = b""
        if CHUNKED.search(head):
            raise Malformed("a chunked response, and nobody asked for one")
        if not length and status not in (204, 304):
            raise Malformed(f"a response without length: {bytes(self.buffer[:200])!r}")
        if status not in (204, 304) and (method != b"HEAD" or status != 200):
            size = int(length[1])
            if len(self.buffer) < at + size:
                if not run.eof:
                    return False
                if len(self.buffer) > at or b"HEAD " not in run.data:
                    raise Malformed("a response that ends early")
                size = 0  # the refusal of a HEAD
            body = bytes(self.buffer[at:at + size])
            at += size
        del self.buffer[:at]
        run.responses.append(Response(status, head, body, closes))
        return True


def mismatch(run, verdict):
    """Why what came is not this verdict; None when it is."""
    responses = run.responses
    if run.rest:
        return f"{len(run.rest)} bytes behind the last response: {run.rest[:200]!r}"
    wanted = len(verdict.arrivals)
    for i, arrival in enumerate(verdict.arrivals):
        if i >= len(responses):
            return f"{i} answers, then {'a reset' if run.reset else 'the end'}"
        response = responses[i]
        if response.status not in arrival.own:
            return f"answer {i} is {response.status} {code_of(response)}, not {sorted(arrival.own)}"
        if arrival.own != oracle.ORIGINS:
            continue
        seen = re.search(rb"(?:^|\n)x-seen: \d+ (\S+) (\S+) (\S+) (\d+) ", response.head, re.I)
        if not seen or seen[1] != run.source:
            return f"answer {i} is another client's: {response.head!r}"
        if (seen[2], seen[3], int(seen[4])) != (arrival.method, arrival.target, len(arrival.body)):
            return f"answer {i} is of another request: {seen[0]!r}, not {arrival}"
    extra = responses[wanted:]
    if verdict.end == "open":
        if extra or run.eof:
            return f"{len(responses)} answers, {[r.status for r in extra]} too many" if extra else "it was closed"
        if responses and responses[-1].closes:
            return "the last answer says close"
    elif verdict.end == "closed":
        if extra or not run.eof:
            return f"{[r.status for r in extra]} behind the last answer"
    elif verdict.end == "refused":
        if not extra:
            return "it was not refused" + (", but reset" if run.reset else "")
        if len(extra) > 1 or extra[0].status not in verdict.statuses:
            return f"refused with {[r.status for r in extra]} {[code_of(r) for r in extra]}, not {sorted(verdict.statuses)}"
        if not extra[0].closes or not run.eof:
            return "refused without closing"
    elif extra and (len(extra) > 1 or not 400 <= extra[0].status < 500):
        return f"{[r.status for r in extra]} for what has no end"
    expecting = sum(a.expects for a in verdict.arrivals + [verdict.partial] * bool(verdict.partial))
    if run.interim > expecting:
        return f"{run.interim} interim responses, {expecting} asked for"
    return None


def code_of(response):
    match = CODE.search(response.body)
    return match[1].decode() if match else ""


class Driver:
    def __init__(self, port):
        self.port = port
        self.selector = selectors.EpollSelector()
        self.next_source = 0
        self.done = []
        self.statuses = collections.Counter()
        self.codes = collections.Counter()
        self.probes = 0
        self.probe_sock = None

    def source(self):
        n = self.next_source
        self.next_source += 1
        return b"127.%d.%d.%d" % (1 + n // 62500, n // 250 % 250 + 1, n % 250 + 1)

    def connect(self):
        return Connection(self, self.source())

    def finish(self, conn):
        """Judges the run of that connection; gives the connection when it can play another."""
        run = conn.run
        conn.run = None
        self.settle(run)
        if run.eof or run.failure or conn.count >= CASES_PER_CONNECTION:
            conn.close()
            return None
        return conn

    def settle(self, run):
        why = []
        for response in run.responses:
            self.statuses[response.status] += 1
            if response.status >= 400:
                self.codes[code_of(response)] += 1
        if not run.failure:
            problems = [mismatch(run, verdict) for verdict in run.verdicts]
            run.true = [verdict for verdict, problem in zip(run.verdicts, problems) if problem is None]
            run.failure = None if run.true else "; or ".join(problems)
        self.done.append(run)

    # ---- all in one write ----

    def play(self, runs, width=64):
        """Each connection plays one run at a time, `width` of them at once."""
        runs = iter(runs)
        busy = 0

        def start(conn):
            nonlocal busy
            run = next(runs, None)
            if run is None:
                if conn:
                    conn.close()
                return
            conn = conn or self.connect()
            conn.begin(run)
            busy += 1
            conn.write(run.pieces[0], last=True)

        for _ in range(width):
            start(None)
        checked = time.monotonic()
        while busy:
            for key, mask in self.selector.select(1):
                conn = key.data
                if conn.run is None:
                    continue
                if conn.event(mask):
                    busy -= 1
                    start(self.finish(conn))
            if time.monotonic() - checked > 1:
                checked = time.monotonic()
                for key in list(self.selector.get_map().values()):
                    if key.data.run and self.gave_up(key.data):
                        busy -= 1
                        start(self.finish(key.data))

    # ---- in pieces ----

    def probe(self):
        """One request on a connection of its own, answered by weir itself. A worker takes what is ready in order, so
        when the answer is here, it has read all that was sent before."""
        if self.probe_sock is None:
            self.probe_sock = socket.create_connection(("127.0.0.1", self.port))
            self.probe_sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.probe_sock.settimeout(STALL)
        self.probe_sock.sendall(PROBE)
        got = b""
        while b"\r\n\r\nok" not in got:
            data = self.probe_sock.recv(65536)
            if not data:
                raise RuntimeError("the probe's connection was closed")
            got += data
        self.probes += 1
        if b"\r\nConnection: close" in got:
            self.probe_sock.close()
            self.probe_sock = None

    def play_pieces(self, runs, width=250):
        """In step: every connection writes its next piece, and weir has read it before any writes the one after."""
        runs = iter(runs)
        idle = []
        while True:
            group = []
            for run in itertools.islice(runs, width):
                conn = idle.pop() if idle else self.connect()
                conn.begin(run)
                group.append(conn)
            if not group:
                break
            self.write_in_step(group)
            pending = set(group)
            over = [conn for conn in group if conn.progress()]
            while pending:
                for conn in over:
                    pending.discard(conn)
                    kept = self.finish(conn)
                    if kept:
                        idle.append(kept)
                over = self.read(0.2) + [conn for conn in pending if self.gave_up(conn)] if pending else []
        for conn in idle:
            conn.close()
        if self.probe_sock:
            self.probe_sock.close()
            self.probe_sock = None

    def write_in_step(self, group):
        index = 0
        while group:
            for conn in group:
                conn.write(conn.run.pieces[index], last=index + 1 == len(conn.run.pieces))
            index += 1
            self.probe()
            self.read(0)
            still = []
            for conn in group:
                run = conn.run
                if index == len(run.pieces):
                    continue
                if run.eof or any(r.status != 200 for r in run.responses):
                    # refused: what is left is sent for the sake of what weir does with it
                    conn.write(b"".join(run.pieces[index:]), last=True)
                else:
                    still.append(conn)
            group = still

    def read(self, timeout):
        """Takes what has come; gives the connections whose run is over."""
        return [key.data for key, mask in self.selector.select(timeout) if key.data.run and key.data.event(mask)]

    def gave_up(self, conn):
        if time.monotonic() - conn.since < STALL:
            return False
        conn.run.failure = f"nothing came for {STALL} s, behind {len(conn.run.responses)} answers"
        conn.run.rest = bytes(conn.buffer)
        return True
