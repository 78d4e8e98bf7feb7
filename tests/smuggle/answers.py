"""Malformed answers of an origin (S27): what they are, what RFC 9112 and the table have weir make of them, and a client
that sees whether it did. A response that cannot be trusted is 502, or, once its head has gone out, a body that visibly
does not end; the connection it came on carries no other request; the next request of the client gets its own answer."""
import itertools
import random
import re
import threading
from dataclasses import dataclass, field

import cases
import oracle
import wire

STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d) [\t\x20-\x7e\x80-\xff]*")
STATUS_LINE_DOUBTFUL = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)")
INTERIM_MAX = 10
NO_BODY = (204, 304)


@dataclass
class Outcome:
    kind: str  # pass, bad (502), cut (the body does not end), or either of the last two: broken
    status: int = 0
    body: bytes = b""
    rows: dict = field(default_factory=dict)


@dataclass
class Answer:
    number: int
    name: str
    method: bytes
    minor: int  # of the client
    data: bytes
    close: bool  # the origin closes behind it
    outcomes: list = None
    last: bool = False  # weir may not use that connection again
    cut: bool = False  # it is sent in pieces
    end: int = 0  # where the answer is whole

    def pieces(self):
        """What stands behind a whole answer comes with its end: later, it would come for another request, and nobody
        could tell."""
        if not self.cut or self.end < 2:
            return [self.data]
        rng = random.Random(self.number)
        at = sorted({rng.randrange(1, self.end) for _ in range(rng.choice((1, 1, 2, 4)))})
        return [self.data[i:j] for i, j in zip([0, *at], [*at, len(self.data)])]


class AnswerReader(oracle.Reader):
    """Reads what an origin sends for one request."""
    max_body = (1 << 63) - 1
    until_close = False

    def __init__(self, answer, strict):
        self.answer = answer
        super().__init__(answer.data, strict)

    def run(self):
        answer = self.answer
        self.last = False
        interim = 0
        head = None
        try:
            while True:
                head = self.head()
                if head.status >= 200:
                    break
                interim += 1
                if head.status == 101 or interim > INTERIM_MAX:
                    raise oracle.Refused({"S27": 502})
        except (oracle.Refused, oracle.Incomplete) as e:
            self.outcome = Outcome("bad", rows=getattr(e, "faults", {}))
            self.last = True
            return
        self.last = self.last or not head.keep_alive
        body = b""
        until_close = False
        if head.status == 205 and answer.method != b"HEAD" and not head.values(b"content-length"):
            # RFC 9110 section 15.3.6: it has no content, however it is framed
            self.last = True
            self.outcome = Outcome("pass", head.status)
            return
        if answer.method != b"HEAD" and head.status not in NO_BODY:
            try:
                if head.chunked:
                    body = self.chunks()
                elif head.values(b"content-length"):
                    body = self.body(head)
                else:
                    until_close = True
                    body, self.at = self.data[self.at:], len(self.data)
            except (oracle.Refused, oracle.Incomplete) as e:
                self.outcome = Outcome("broken", head.status, self.data[self.at:], getattr(e, "faults", {}))
                self.last = True
                return
        self.last = self.last or until_close or self.at < len(self.data)
        self.until_close = until_close
        self.outcome = Outcome("pass", head.status, body)

    def head(self):
        head = AnswerHead(self)
        start = self.at
        text, at = self.line(start)
        head.status_line(text)
        while True:
            text, at = self.line(at)
            if not text:
                break
            head.field(text)
        if at - start > oracle.MAX_HEAD and self.doubt():
            head.faults["limit"] = 502
        head.meaning()
        if head.faults:
            raise oracle.Refused(head.faults)
        self.at = at
        return head


class AnswerHead(oracle.Head):
    status = 0

    def status_line(self, text):
        match = STATUS_LINE.fullmatch(text)
        if not match and STATUS_LINE_DOUBTFUL.fullmatch(text) and not self.reader.doubt():
            match = STATUS_LINE_DOUBTFUL.fullmatch(text)
        if not match:
            raise oracle.Refused({"status line": 502})
        self.minor, self.status = int(match[1]), int(match[2])
        if self.status >= 600 and self.reader.doubt():
            self.faults["status"] = 502

    def field(self, text):
        super().field(text)
        if self.faults.get("S17") and not self.reader.doubt():
            del self.faults["S17"]  # the table has that row for requests
        if self.faults.get("H04") and not self.reader.doubt():
            del self.faults["H04"]

    def meaning(self):
        lengths, codings = self.values(b"content-length"), self.values(b"transfer-encoding")
        self.framing()
        self.faults.pop("S21", None)
        self.connection()
        if self.status < 200 or self.status == 204:
            if codings or (lengths and (self.length or self.reader.doubt())):
                self.faults["S27"] = 502
        if self.status == 205 and self.length and self.reader.doubt():
            self.faults["S27"] = 502
        self.repeated((), 502)


def judge(answer):
    readers = [AnswerReader(answer, strict=True)]
    if readers[0].doubtful:
        readers.append(AnswerReader(answer, strict=False))
    answer.outcomes = [reader.outcome for reader in readers]
    if any(not reader.last for reader in readers):
        # weir may keep that connection, and a POST on it would meet its end
        answer.close = False
    elif any(reader.until_close or reader.outcome.kind != "pass" for reader in readers):
        answer.close = True  # else it may have no end
    answer.end = min(reader.at if reader.outcome.kind == "pass" else len(answer.data) for reader in readers)
    answer.last = answer.close or all(reader.last for reader in readers)
    return answer


# ---- the answers ----

def reply(line=b"HTTP/1.1 200 OK", *fields, body=b""):
    return line + b"\r\n" + b"".join(f + b"\r\n" for f in fields) + b"\r\n" + body


LENGTH = b"Content-Length: 5"
CHUNKED = cases.CHUNKED
TEMPLATES = [
    reply(b"HTTP/1.1 200 OK", b"X-A: b", LENGTH, body=b"hello"),
    reply(b"HTTP/1.1 404 Not Found", CHUNKED, body=b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
    reply(b"HTTP/1.1 200 OK", CHUNKED, b"X-A: b", body=b"5;a=b\r\nhello\r\n0;c\r\nX-Sum: 1\r\n\r\n"),
    reply(b"HTTP/1.0 200 OK", b"Connection: keep-alive", LENGTH, body=b"hello"),
    reply(b"HTTP/1.1 103 Early Hints", b"Link: </a>") + reply(b"HTTP/1.1 204 No Content", b"X-A: b"),
]
HIDDEN = reply(b"HTTP/1.1 200 OK", b"X-Seen: 0 127.9.9.9 GET /evil 4 0", b"Content-Length: 4", body=b"evil")


def framings():
    both = [1, 3, 10, 28, 45]
    pairs = [(t, 0) for t in range(60)] + [(0, c) for c in range(1, 40)] + [
        (t, c) for t in both for c in (1, 2, 3, 16, 30)]
    statuses = [b"200 OK", b"204 No Content", b"304 Not Modified", b"404 Not Found", b"205 Reset Content"]
    for (t, c), status, method, minor, version in itertools.product(pairs, statuses, (b"GET", b"HEAD", b"POST"), (1, 0), (1, 0)):
        rng = random.Random(f"{t} {c} {status} {method} {minor} {version}")
        body = rng.choice((b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello", b"0\r\n\r\n", b"", HIDDEN,
                           b"5\r\nhello\r\n0\r\n\r\n" + HIDDEN))
        length = cases.CONTENT_LENGTHS[c][0].replace(b"%d", b"%d" % len(body))
        lines = [cases.TRANSFER_ENCODINGS[t][0], length, b"X-A: b\r\n", rng.choice((b"", b"Connection: keep-alive\r\n"))]
        rng.shuffle(lines)
        if lines[0][:1] in (b" ", b"\t"):
            lines.reverse()
        yield (f"{status.decode()} 1.{version} TE {cases.TRANSFER_ENCODINGS[t][0]!r} CL {length!r}", method, minor,
               b"HTTP/1.%d %b\r\n%b\r\n%b" % (version, status, b"".join(lines), body), rng.random() < 0.3)


def heads():
    lines = [b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1  200 OK", b"HTTP/1.1 200  OK", b"HTTP/1.1\t200 OK", b"HTTP/1.1 2000 OK",
             b"HTTP/1.1 20 OK", b"HTTP/1.1 099 OK", b"HTTP/1.1 000 OK", b"HTTP/1.1 600 OK", b"HTTP/1.1 999 OK", b"HTTP/1.1 -20 OK",
             b"HTTP/1.1 2x0 OK", b"HTTP/1.1 200OK", b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/2.0 200 OK", b"HTTP/1.2 200 OK", b"HTTP/0.9 200 OK",
             b"HTTP/11 200 OK", b"HTTP/1.10 200 OK", b"http/1.1 200 OK", b"ICY 200 OK", b"HTTPS/1.1 200 OK", b" HTTP/1.1 200 OK",
             b"\r\nHTTP/1.1 200 OK", b"HTTP/1.1 200 O\0K", b"HTTP/1.1 200 O\x01K", b"HTTP/1.1 200 \xe4", b"HTTP/1.1 200 a\tb",
             b"HTTP/1.1 200 OK\r", b"HTTP/1.1 200 O\rK", b"HTTP/1.1 200 OK\nX: y", b"GET / HTTP/1.1", b"", b"\0", b"<html>", b"200 OK",
             b"HTTP/1.1 200 OK HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK", b"HTTP/1.1:200 OK", b"HTTP/1.1 101 Switching",
             b"HTTP/1.1 200 \x7f", b"HTTP/1.1 \xb2\xb0\xb0 OK", b"HTTP/1.1 0200 OK", b"HTTP /1.1 200 OK", b"XHTTP/1.1 200 OK"]
    for line, method, minor in itertools.product(lines, (b"GET", b"HEAD", b"POST"), (1, 0)):
        yield f"status line {line!r}", method, minor, reply(line, LENGTH, body=b"hello"), False
    for t, template in enumerate(TEMPLATES):
        at = template.find(b"\r\n")
        while at >= 0:
            for end in cases.LINE_ENDS:
                yield f"line end {end!r} at {at} of {t}", b"GET", 1, template[:at] + end + template[at + 2:], True
            at = template.find(b"\r\n", at + 1)
    for byte in range(256):
        b = bytes([byte])
        for name in (b + b"X-A", b"X-" + b + b"A", b"X-A" + b):
            yield f"byte {byte:#x} in a name", b"GET", 1, reply(b"HTTP/1.1 200 OK", name + b": v", LENGTH, body=b"hello"), False
        for value in (b + b"v", b"v" + b + b"w", b"v" + b):
            yield f"byte {byte:#x} in a value", b"GET", 1, reply(b"HTTP/1.1 200 OK", b"X-A: " + value, LENGTH, body=b"hello"), False
    for line in (b"", b"X-A", b": b", b" X-A: b", b"X-A : b", b"Content-Length : 5", b"Transfer-Encoding : chunked", b"X_A: b",
                 b"Connection: close", b"Connection: keep-alive", b"Connection: X-A, content-length", b"Connection: transfer-encoding",
                 b"Keep-Alive: timeout=5", b"Upgrade: websocket", b"Trailer: X-Sum", b"Proxy-Connection: close", b"Connection: a b",
                 b"Content-Type: a\r\nContent-Type: b", b"Date: x\r\nDate: y", b"Location: a\r\nLocation: b", b"X-Long: " + b"y" * 15000,
                 b"X-Long: " + b"y" * 40000, b"\r\n".join(b"X-%d: y" % i for i in range(98)),
                 b"\r\n".join(b"X-%d: y" % i for i in range(300))):
        for method, minor, status in itertools.product((b"GET", b"HEAD"), (1, 0), (b"200 OK", b"304 Not Modified")):
            body = b"" if method == b"HEAD" or status[:3] == b"304" else b"hello"
            yield f"line {line[:40]!r}", method, minor, reply(b"HTTP/1.1 " + status, b"X-A: b", line, LENGTH, body=body), False


def bodies():
    for size, extension in itertools.product(cases.SIZES, cases.EXTENSIONS):
        body = size + extension + b"\r\nhello\r\n0\r\n\r\n"
        yield f"chunk {size + extension!r}", b"GET", 1, reply(b"HTTP/1.1 200 OK", CHUNKED, body=body), True
    for size, after, minor in itertools.product(cases.SIZES[:8] + cases.SIZES[-10:], cases.AFTER_DATA, (1, 0)):
        yield (f"chunk {size!r}, {after!r} behind", b"GET", minor,
               reply(b"HTTP/1.1 200 OK", CHUNKED, body=size + b"\r\nhello" + after + b"0\r\n\r\n"), True)
    for last, trailer in itertools.product((b"0", b"000", b"0;a=b", b"0;", b"00000000000000000", b"-0", b"0 "), cases.TRAILERS):
        yield (f"last chunk {last!r}, trailers {trailer!r}", b"GET", 1,
               reply(b"HTTP/1.1 200 OK", CHUNKED, body=b"5\r\nhello\r\n" + last + b"\r\n" + trailer), True)
    extra = [b"", b"x", b"\r\n", b"\n", HIDDEN, b"HTTP/1.1 100 Continue\r\n\r\n", b"0\r\n\r\n", b"\0", b"GET / HTTP/1.1\r\n\r\n"]
    for more, t, method, minor in itertools.product(extra, range(len(TEMPLATES)), (b"GET", b"HEAD", b"POST"), (1, 0)):
        yield f"{more[:30]!r} behind answer {t}", method, minor, TEMPLATES[t] + more, False
    for cut in range(1, len(TEMPLATES[2])):
        for t in range(3):
            yield f"the first {cut} bytes of answer {t}", b"GET", 1, TEMPLATES[t][:cut], True


def interims():
    """1xx: alone, before an answer, too many, with a body."""
    final = reply(b"HTTP/1.1 200 OK", LENGTH, body=b"hello")
    firsts = [b"100 Continue", b"102 Processing", b"103 Early Hints", b"101 Switching Protocols", b"199 Odd"]
    extras = [(), (b"Content-Length: 0",), (b"Content-Length: 5",), (CHUNKED,), (b"Connection: close",), (b"Link: </a>", b"X-A: b"),
              (b"Upgrade: websocket", b"Connection: Upgrade"), (b" folded",), (b"X A: b",)]
    for first, fields, method, minor in itertools.product(firsts, extras, (b"GET", b"HEAD", b"POST"), (1, 0)):
        yield f"{first!r} with {fields}", method, minor, reply(b"HTTP/1.1 " + first, *fields) + final, False
    for count, minor, first in itertools.product((1, 2, 9, 10, 11, 12, 50, 500), (1, 0), (b"100 Continue", b"103 Early Hints")):
        yield f"{count} x {first!r}", b"GET", minor, reply(b"HTTP/1.1 " + first) * count + final, False
        yield f"{count} x {first!r} and no more", b"GET", minor, reply(b"HTTP/1.1 " + first) * count, True
    for minor in (1, 0):
        yield "103 with HTTP/1.0", b"GET", minor, reply(b"HTTP/1.0 103 Early Hints") + final, True


def any_byte():
    for i in range(3000):
        rng = random.Random(200000 + i)
        data = bytearray(TEMPLATES[i % len(TEMPLATES)])
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            at = rng.randrange(len(data))
            odd = rng.choice(cases.ODD_BYTES)
            kind = rng.randrange(3)
            data[at:at + (kind != 1)] = odd if kind != 2 else b""
        yield f"bytes of answer {i % len(TEMPLATES)} changed", b"GET", 1, bytes(data), True


def all_answers(cut_all):
    """A quarter of them is sent in pieces, or all."""
    out = []
    for family in (framings, heads, bodies, interims, any_byte):
        for name, method, minor, data, close in family():
            if data:
                number = len(out)
                out.append(judge(Answer(number, f"{family.__name__}: {name}", method, minor, data, close,
                                        cut=cut_all or number % 4 == 0)))
    return out


# ---- the client ----

class Player:
    def __init__(self, port, report):
        self.port = port
        self.report = report
        self.lock = threading.Lock()
        self.sources = itertools.count()
        self.statuses = {}

    def source(self):
        n = next(self.sources)
        return "127.%d.%d.%d" % (1 + n // 62500, n // 250 % 250 + 1, n % 250 + 1)

    def work(self, following):
        conn = None
        while True:
            answer = following()
            if answer is None:
                break
            if conn is None:
                source = self.source()
                conn = wire.Wire(self.port, source)
            got = []
            try:
                problem = self.play(conn, source, answer, got)
            except wire.Malformed as e:
                problem = str(e)
            with self.lock:
                if problem:
                    self.report.bad("answers", f"{problem}\n     answer {answer.number}: {answer.method.decode()} HTTP/1.{answer.minor}, "
                                    f"{answer.name}\n     the origin sent: {answer.data[:2000]!r}{' and closed' if answer.close else ''}",
                                    expected=answer.outcomes, got=got)
                else:
                    self.report.good()
                for one in got:
                    self.statuses[one.status] = self.statuses.get(one.status, 0) + 1
            if problem or conn.ended:
                conn.close()
                conn = None

    def play(self, conn, source, answer, got):
        """None when all is well. Leaves the connection ended when it may not be used again."""
        body = b"Content-Length: 5\r\n" if answer.method == b"POST" else b""
        conn.send(b"%b /answer/%d HTTP/1.%d\r\nHost: weir.test\r\n%b\r\n%b" % (
            answer.method, answer.number, answer.minor, body, b"hello" if body else b"") +
            b"GET /canary/%d HTTP/1.1\r\nHost: weir.test\r\n\r\n" % answer.number)
        first = conn.answer(answer.method)
        if first is None:
            # a cut before its first byte would do, if there was a head to pass on
            return None if any(o.kind == "broken" for o in answer.outcomes) else "no answer"
        got.append(first)
        problems = [self.unlike(answer, outcome, first) for outcome in answer.outcomes]
        if None not in problems:
            return "; or ".join(problems)
        if first.interim > (INTERIM_MAX if answer.minor else 0):
            return f"{first.interim} interim responses"
        if first.closes or not first.whole or answer.minor == 0:
            return None if conn.end() else f"bytes behind the end: {conn.data[:200]!r}"
        second = conn.answer()
        if second is None:
            return "the connection was closed without a word"
        got.append(second)
        seen = second.values(b"x-seen")
        if second.status != 200 or not seen or seen[0].split(b" ")[1:4] != [source.encode(), b"GET", b"/canary/%d" % answer.number]:
            return f"the next request's answer is {second}"
        if conn.data or second.closes:
            return f"behind the next answer: {conn.data[:200]!r}"
        return None

    @staticmethod
    def unlike(answer, outcome, first):
        names = {name for name, _ in first.fields}
        if names & {b"trailer", b"upgrade", b"proxy-connection"} or (b"keep-alive" in names):
            return f"hop-by-hop fields in {first.fields}"
        if outcome.kind == "pass":
            if first.status != outcome.status or first.body != outcome.body or not first.whole:
                return f"{first} is not {outcome}"
            return None
        if first.status == 502 and first.whole and outcome.status != 502:
            return None
        if outcome.kind == "bad":
            return f"{first} is not 502"
        if first.status != outcome.status:
            return f"{first} is not {outcome}"
        if first.whole:
            return f"the broken body has an end: {first}"
        return None


def play(port, answers, report):
    """Plays them all; gives how many answers of each status have come."""
    player = Player(port, report)
    wire.in_threads(answers, player.work)
    return player.statuses
