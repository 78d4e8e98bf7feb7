"""What must come of the bytes that a client sends, told from RFC 9110, RFC 9112, RFC 3986 and the acceptance table of
hostile input (rows S01 to S30, P01, P03, P08). It shares nothing with weir but the limits of its config.

`judge` reads a whole connection and gives the verdicts that are right: one, or two where the RFC leaves a choice that
no row of the table takes away."""
import re
from dataclasses import dataclass, field

MAX_BODY = 64 * 1024  # gate.py writes it into weir's config
MAX_HEAD = 16 * 1024
MAX_FIELDS = 100
MAX_TARGET = 8 * 1024
MAX_METHOD = 32
MAX_EXTENSIONS = 256
MAX_EXTENSIONS_OF_BODY = 16 * 1024

METHODS = {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"}
SINGLE = {b"authorization", b"content-type"}  # P08; Host is on its own
SINGLE_PERHAPS = {b"origin", b"range", b"if-modified-since", b"content-range", b"location", b"date", b"max-forwards"}

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
TOKEN_RE = re.compile(TOKEN)
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]+) HTTP/(\d)\.(\d)")
FIELD = re.compile(rb"(" + TOKEN + rb"):([\t\x20-\x7e\x80-\xff]*)")
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})(|;.*)", re.S)
QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
EXTENSIONS = re.compile(rb"(?:;" + TOKEN + rb"(?:=(?:" + TOKEN + rb"|" + QUOTED + rb"))?)*")
EXTENSIONS_BWS = re.compile(rb"(?:[ \t]*;[ \t]*" + TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + TOKEN + rb"|" + QUOTED + rb"))?)*")
HOST = re.compile(rb"[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*\.?(?::(\d+))?")
HOST_DOUBTFUL = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})*(?::\d*)?|\[[0-9A-Za-z:.]+\](?::\d*)?")
ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
PATH_RAW = UNRESERVED | frozenset(b"!$&'()*+,;=:@/%")
QUERY = PATH_RAW | frozenset(b"?")
ORIGINS = frozenset({200})  # what the origin answers


@dataclass
class Arrival:
    """A request that must reach the origin: exactly this, exactly once."""
    method: bytes
    target: bytes
    host: bytes  # in lower case; empty: anything
    body: bytes
    fields: tuple  # those named x-t...
    expects: bool = False
    upgrade: bool = False  # to websocket, and the connection ends behind it (S24)
    own: frozenset = ORIGINS  # another status: weir answers by itself, and the origin gets nothing


@dataclass
class Verdict:
    arrivals: list = field(default_factory=list)
    end: str = "open"  # or refused, closed, incomplete
    statuses: frozenset = frozenset()  # of the refusal
    rows: frozenset = frozenset()  # what it breaks
    partial: Arrival = None  # a request whose head was good and whose body was not, or never ended
    heads: int = 0  # good ones
    rows_whole: bool = True  # what broke the rule has come to its end


class Refused(Exception):
    def __init__(self, faults, whole=True):
        super().__init__(faults)
        self.faults = faults  # {row: status}
        self.whole = whole  # the head that breaks the rule has its end


class Incomplete(Exception):
    pass


def judge(data):
    verdicts = [Reader(data, strict=True)]
    if verdicts[0].doubtful:
        verdicts.append(Reader(data, strict=False))
    out = [reader.verdict for reader in verdicts]
    for verdict in list(out):
        for i, arrival in enumerate(verdict.arrivals):
            if arrival.own != ORIGINS:
                # weir may close behind an answer of its own
                out.append(Verdict(verdict.arrivals[:i + 1], "closed", heads=verdict.heads))
        if verdict.end == "refused" and not verdict.rows_whole:
            # a fault in a head without end may be told at once or not at all
            out.append(Verdict(verdict.arrivals, "incomplete", heads=verdict.heads))
    return out


class Reader:
    """Reads a connection from its first byte. `doubtful` says that a choice was taken."""

    max_body = MAX_BODY

    def __init__(self, data, strict):
        self.data = data
        self.at = 0
        self.strict = strict
        self.doubtful = False
        self.verdict = Verdict()
        self.run()

    def doubt(self):
        """True when the stricter of two permitted ways is to be taken."""
        self.doubtful = True
        return self.strict

    def run(self):
        verdict = self.verdict
        while self.at < len(self.data):
            head = None
            try:
                head = self.head()
                verdict.heads += 1
                body = self.body(head)
            except Incomplete:
                verdict.end = "incomplete"
                verdict.partial = head and head.arrival
                return
            except Refused as e:
                verdict.end = "refused"
                verdict.statuses = frozenset(e.faults.values())
                verdict.rows = frozenset(e.faults)
                verdict.rows_whole = e.whole
                verdict.partial = head and head.arrival
                return
            head.arrival.body = body
            verdict.arrivals.append(head.arrival)
            if not head.keep_alive:
                verdict.end = "closed"
                return

    # ---- lines ----

    def line(self, start, row="S11"):
        """The line at `start` without its CRLF, and where the next one begins."""
        end = self.data.find(b"\n", start)
        if end < 0:
            if b"\r" in self.data[start:-1]:
                raise Refused({row: 400}, whole=False)
            raise Incomplete
        text = self.data[start:end]
        if not text.endswith(b"\r") or b"\r" in text[:-1]:
            raise Refused({row: 400})
        return text[:-1], end + 1

    def head(self):
        start = self.at
        if self.data[start:start + 1] in (b"\r", b"\n"):
            text, start = self.line(start)
            if text:
                raise Refused({"S11": 400})
            while self.data[start:start + 1] in (b"\r", b"\n"):
                if self.doubt():
                    raise Refused({"S19": 400})
                text, start = self.line(start)
                if text:
                    raise Refused({"S11": 400})
            if start == len(self.data):
                raise Incomplete
        head = Head(self)
        begin = start
        try:
            text, start = self.line(start)
            head.request_line(text)
            while True:
                text, start = self.line(start)
                if not text:
                    break
                head.field(text)
        except Refused as e:
            head.faults.update(e.faults)
            head.whole = e.whole
        except Incomplete:
            if len(self.data) - begin > MAX_HEAD:
                head.faults.update({"R01": 431})
            if not head.faults:
                raise
            head.whole = False
        else:
            if start - begin > MAX_HEAD:
                head.faults["R01"] = 431
            head.meaning()
        if head.faults:
            raise Refused(head.faults, head.whole)
        self.at = start
        return head

    # ---- bodies ----

    def body(self, head):
        if head.chunked:
            return self.chunks()
        body = self.data[self.at:self.at + head.length]
        if len(body) < head.length:
            raise Incomplete
        self.at += head.length
        return body

    def chunks(self):
        body = []
        total = extensions = 0
        while True:
            text, at = self.chunk_line()
            match = CHUNK.fullmatch(text)
            if not match and CHUNK.match(text) and EXTENSIONS_BWS.fullmatch(text.lstrip(b"0123456789abcdefABCDEF")) \
                    and text[-1:] not in (b" ", b"\t") and re.match(rb"[0-9A-Fa-f]{1,16}[ \t;]", text):
                # RFC 9112 section 7.1.1 has a recipient read "bad whitespace"; S12 forbids it
                raise Refused({"S12": 400})
            if not match:
                raise Refused({"S12": 400})
            size = int(match[1], 16)
            if size >= 1 << 63:
                raise Refused({"S12": 400})
            if match[2] and not EXTENSIONS.fullmatch(match[2]):
                if not EXTENSIONS_BWS.fullmatch(match[2]) or self.doubt():
                    raise Refused({"S13": 400})
            extensions += len(match[2])
            if len(match[2]) > MAX_EXTENSIONS or extensions > MAX_EXTENSIONS_OF_BODY:
                raise Refused({"S13": 400})
            total += size
            if total > self.max_body:
                # it may be told when the size is read, or when that much has come
                if len(self.data) - at > self.max_body or self.doubt():
                    raise Refused({"limit": 413})
                raise Incomplete
            if size == 0:
                break
            data = self.data[at:at + size]
            end = self.data[at + size:at + size + 2]
            if end != b"\r\n"[:len(end)]:
                raise Refused({"S14": 400})
            if len(end) < 2:
                raise Incomplete
            body.append(data)
            self.at = at + size + 2
        self.trailers(at)
        return b"".join(body)

    def chunk_line(self):
        """A bad line without end is refused as soon as it is bad, or when it is too long."""
        try:
            return self.line(self.at)
        except Incomplete:
            text = self.data[self.at:]
            if text and not re.match(rb"[0-9A-Fa-f]{1,16}(\r?$|;)", text):
                raise Refused({"S12": 400}, whole=False) from None
            if len(text) > MAX_EXTENSIONS + 20:
                raise Refused({"S13": 400}) from None
            if b";" in text:
                raise Refused({"S13": 400}, whole=False) from None
            raise

    def trailers(self, at):
        begin = at
        try:
            while True:
                text, at = self.line(at)
                if not text:
                    break
                match = FIELD.fullmatch(text)
                if not match:
                    raise Refused({"S16": 400})
                if b"_" in match[1] and self.doubt():
                    raise Refused({"S17": 400})
                if at - begin > MAX_HEAD:
                    raise Refused({"S15": 431})
        except Incomplete:
            if not re.fullmatch(rb"(?:" + TOKEN + rb"(?::[\t\x20-\x7e\x80-\xff]*\r?)?|\r)?",
                                self.data[self.data.rfind(b"\n") + 1:]):
                raise Refused({"S16": 400}, whole=False) from None
            raise
        self.at = at


class Head:
    """A request head, with everything that is wrong about it."""

    def __init__(self, reader):
        self.reader = reader
        self.faults = {}
        self.whole = True
        self.method = b""
        self.target = b""
        self.minor = 1
        self.fields = []  # (lower name, value as it stands behind the colon)
        self.chunked = False
        self.length = 0
        self.keep_alive = True
        self.own = ORIGINS
        self.nominated = []  # names in Connection: those fields end here (RFC 9110 section 7.6.1)
        self.arrival = None

    def values(self, name):
        return [value for have, value in self.fields if have == name]

    def request_line(self, text):
        match = REQUEST_LINE.fullmatch(text)
        if not match:
            status = {"S19": 400}
            other = re.search(rb" HTTP/(\d+)(?:\.\d+)?$", text)
            if other and other[1] not in (b"1", b"0"):
                status["version"] = 505
            if len(text) > MAX_TARGET:
                status["uri"] = 414
            if TOKEN_RE.match(text) and len(TOKEN_RE.match(text)[0]) > MAX_METHOD:
                status["S20"] = 501
            raise Refused(status)
        self.method, self.target = match[1], match[2]
        if len(self.target) > MAX_TARGET:
            raise Refused({"uri": 414})
        if len(self.method) > MAX_METHOD or (self.method not in METHODS and self.method.upper() in METHODS):
            self.faults["S20"] = 400
        if match[3] != b"1" or match[4] not in (b"0", b"1"):
            self.faults["S19"] = 505
            if match[3] in (b"0", b"1"):
                self.faults["S19-minor"] = 400
        self.minor = int(match[4])

    def field(self, text):
        if text[:1] in (b" ", b"\t"):
            raise Refused({"S10": 400})
        match = FIELD.fullmatch(text)
        if not match:
            raise Refused({"S18" if re.match(TOKEN + rb":", text) else "S16": 400})
        if b"_" in match[1]:
            self.faults["S17"] = 400
        self.fields.append((match[1].lower(), match[2]))
        if len(self.fields) > MAX_FIELDS:
            self.faults["H04"] = 431

    def meaning(self):
        if self.faults.get("S19") == 505:
            return
        self.framing()
        self.connection()
        self.expectation()
        host = self.host()
        target = self.destination()
        self.max_forwards()
        self.repeated(SINGLE, 400)
        if isinstance(target, tuple):
            target, host = target
        self.arrival = Arrival(self.method, target, host, b"",
                               tuple((n, v.strip(b" \t")) for n, v in self.fields
                                     if n.startswith(b"x-t") and n not in self.nominated),
                               bool(self.values(b"expect")), self.upgrades(target), self.own)
        self.keep_alive = self.keep_alive and not self.arrival.upgrade

    def upgrades(self, target):
        """gate.py has weir allow websocket below /ws/."""
        asked = [item.strip(b" \t").lower() for value in self.values(b"upgrade") for item in value.split(b",")]
        return target.startswith(b"/ws/") and self.minor == 1 and b"upgrade" in self.nominated and b"websocket" in asked and \
            not self.chunked and not self.length

    def repeated(self, sure, status):
        for name in SINGLE | SINGLE_PERHAPS:
            if len(self.values(name)) > 1 and (name in sure or self.reader.doubt()):
                self.faults["P08"] = status

    def max_forwards(self):
        """RFC 9110 section 7.6.2."""
        values = self.values(b"max-forwards")
        if values and self.method in (b"OPTIONS", b"TRACE"):
            if not re.fullmatch(rb"[ \t]*\d+[ \t]*", values[0]):
                if self.reader.doubt():
                    self.own = frozenset({400})
            elif int(values[0]) == 0:
                self.own = frozenset({200, 204} if self.method == b"OPTIONS" else {200, 405})

    # ---- framing ----

    def framing(self):
        lengths, codings = self.values(b"content-length"), self.values(b"transfer-encoding")
        if lengths and codings:
            self.faults["S01"] = 400
        if codings:
            self.chunked = True
            if self.minor == 0:
                self.faults["S09"] = 400
            self.transfer_encoding(codings)
        if lengths:
            self.content_length(lengths)
        if self.minor == 0 and self.method in (b"GET", b"HEAD", b"DELETE") and (self.chunked or self.length):
            self.faults["S21"] = 400
        if self.method == b"TRACE" and (self.chunked or lengths) and self.reader.doubt():
            self.faults["S21"] = 400

    def transfer_encoding(self, values):
        if any(b"\t" in value for value in values):
            self.faults["S08"] = 400
        if len(values) > 1:
            self.faults["S07"] = 400
        items = [item.strip(b" \t").lower() for value in values for item in value.split(b",")]
        names = [item for item in items if item != b"chunked"]
        if b"" in items or items.count(b"chunked") > 1 or (b"chunked" in items and items[-1] != b"chunked"):
            self.faults["S07"] = 400
        if any(names):
            self.faults["S06"] = 501
        if any(name and not re.fullmatch(TOKEN + rb"(;.*)?", name) for name in names):
            self.faults["S08"] = 400

    def content_length(self, values):
        texts = [value.strip(b" \t") for value in values]
        if len(values) > 1:
            self.faults["S02" if len(set(texts)) > 1 else "S03"] = 400
        if any(b"\t" in value for value in values):
            self.faults["S04"] = 400
        if not re.fullmatch(rb"\d+", texts[0]):
            self.faults["S04"] = 400
        elif re.match(rb"0\d", texts[0]):
            self.faults["S05"] = 400
        elif len(texts[0]) > 19 or int(texts[0]) >= 1 << 63:
            self.faults["S04"] = 400
        else:
            self.length = int(texts[0])
            if self.length > self.reader.max_body:
                self.faults["limit"] = 413

    # ---- the rest ----

    def connection(self):
        options = []
        for value in self.values(b"connection"):
            for item in value.split(b","):
                item = item.strip(b" \t").lower()
                if not item:
                    if self.reader.doubt():
                        self.faults["P05"] = 400
                elif not re.fullmatch(TOKEN, item):
                    if self.reader.doubt():
                        self.faults["P05"] = 400
                options.append(item)
        self.nominated = options
        self.keep_alive = b"close" not in options and (self.minor == 1 or b"keep-alive" in options)

    def expectation(self):
        values = self.values(b"expect")
        if not values:
            return
        if len(values) > 1 or values[0].strip(b" \t").lower() != b"100-continue":
            if self.minor == 1 or self.reader.doubt():
                self.faults["S23"] = 417
            if len(values) > 1:
                self.faults["S23-twice"] = 400

    def authority(self, text):
        match = HOST.fullmatch(text)
        if match and 0 < int(match[1] or 80) <= 65535 and len(match[1] or b"") <= 5 and len(text) <= 255:
            return text.lower()
        port = re.search(rb":(\d*)$", text)
        bad = not text or not HOST_DOUBTFUL.fullmatch(text) or (port and int(port[1] or 0) > 65535)
        if bad or self.reader.doubt():
            self.faults["P03"] = 400
        return text.lower()

    def host(self):
        values = self.values(b"host")
        if len(values) > 1 or (not values and self.minor == 1):
            self.faults["P03"] = 400
        return self.authority(values[0].strip(b" \t")) if values else b""

    def destination(self):
        """What the origin must be asked for, or that and the host."""
        target = self.target
        if self.method == b"CONNECT":
            self.faults["S25"] = 405
            if not HOST.fullmatch(target):
                self.faults["S19"] = 400
            return b""
        if self.method == b"TRACE" and self.reader.doubt():
            self.own = frozenset({405})
        if b"#" in target:
            self.faults["S19"] = 400
            return b""
        if target == b"*" and self.method == b"OPTIONS":
            return target
        if target.startswith(b"/"):
            return self.path_and_query(target)
        match = re.match(rb"(https?)://([^/?]*)", target, re.I)
        if not match:
            self.faults["S19"] = 400
            return b""
        if match[1].lower() == b"https" and self.reader.doubt():
            self.own = frozenset({421})  # this connection is not secured (RFC 9110 section 7.4)
        host = self.authority(match[2])
        rest = target[match.end():]
        if not rest and self.method == b"OPTIONS":
            return b"*", host
        return self.path_and_query(rest if rest.startswith(b"/") else b"/" + rest), host

    def path_and_query(self, target):
        path, mark, query = target.partition(b"?")
        if any(byte not in QUERY for byte in query) and self.reader.doubt():
            self.faults["S19"] = 400
        return self.normal(path) + mark + query

    def normal(self, path):
        """P01: escapes of unreserved characters are decoded, once; then slashes are merged and dot segments resolved."""
        bad = re.search(rb"%(?![0-9A-Fa-f]{2})|\\", path)
        decoded = ESCAPE.sub(lambda m: bytes([int(m[1], 16)]), path)
        for m in ESCAPE.finditer(path):
            byte = int(m[1], 16)
            if byte in b"/\\\x7f" or byte < 0x20:
                bad = True
        try:
            decoded.decode("utf-8")
        except UnicodeDecodeError:
            bad = True
        if bad:
            self.faults["P01"] = 400
            return b""
        out = ESCAPE.sub(lambda m: bytes([int(m[1], 16)]) if int(m[1], 16) in UNRESERVED else m[0].upper(), path)
        if any(byte not in PATH_RAW for byte in out):
            if self.reader.doubt():
                self.faults["P01"] = 400
            out = b"".join(bytes([b]) if b in PATH_RAW else b"%%%02X" % b for b in out)
        kept = []
        segments = re.sub(rb"/+", b"/", out).split(b"/")[1:]
        for i, segment in enumerate(segments):
            last = i == len(segments) - 1
            if segment == b"..":
                if not kept:
                    self.faults["P01"] = 400
                    return b""
                kept.pop()
            elif segment != b".":
                kept.append(segment)
                continue
            if last:
                kept.append(b"")
        return b"/" + b"/".join(kept)
