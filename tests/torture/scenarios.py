"""What torture.py does with each weir that it starts: short scenes, and what is right in them.

A scene gets a Stage. What weir answers there is right, or it is an error of weir's own (5xx), or the connection ends: a
fault may hit anything. What must never come is an answer that says it is good and is not."""
import hashlib
import json
import socket
import sqlite3
import threading
import time

from origin import reply, reply_chunked
from wire import Malformed, Truncated

BIG = 3 << 20  # beyond what is passed on by copies
SCENES = []
ASTRAY = []  # requests that came through a tunnel


def scene(function):
    SCENES.append(function)
    return function


def payload(target, size=700):
    """The body of the answer to a target."""
    seed = hashlib.sha256(target.encode()).digest()
    return (seed * (size // len(seed) + 1))[:size]


def body_of(target):
    return payload(target, BIG if target.startswith("/big") else 700)


def answer(request, peer):
    """The origin."""
    target = request.target
    headers = [("X-Of", target), ("X-Sum", hashlib.sha256(request.body).hexdigest())]
    if target.startswith("/reset"):
        peer.reset()
        return None
    if target.startswith("/hang"):
        peer.hang()
        return None
    if target.startswith("/json/"):
        name = target.split("/")[2]
        made = {"id": name, "list": ["a", "b\n", 3, 4], "rows": [{"id": str(i), "name": f"row {i}"} for i in range(20)]}
        return reply(200, json.dumps(made).encode(), [("Content-Type", "application/json")])
    if target.startswith("/slow"):
        time.sleep(0.15)
    if target.startswith("/more/echo"):
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
        while peer.more():
            got = peer.take(len(peer.buffer))
            if b" HTTP/1.1\r\n" in got:
                ASTRAY.append(got)
            if not peer.send(got):
                break
        peer.finished = True
        return None
    if target.startswith("/more/trailers"):
        return reply_chunked([body_of(target)], headers + [("Trailer", "X-Checksum")], request.trailers)
    if target.startswith("/once"):  # the connection is closed without a word about it
        peer.send(reply(200, body_of(target), headers))
        peer.close()
        return None
    if target.startswith("/hints"):
        peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
    if target.startswith("/chunked"):
        body = body_of(target)
        return reply_chunked([body[:100], body[100:]], headers)
    return reply(200, body_of(target), headers)


class Wrong(Exception):
    """Weir did what no fault excuses."""


class Stage:
    def __init__(self, weir, strict):
        self.weir = weir
        self.strict = strict  # no fault was asked for: everything must be right

    def check(self, response, target, body=b"", status=200):
        if response.status in (status, 206) and status == 200:
            expected = body_of(target)
            if response.header("x-of") != target or response.body != expected:
                raise Wrong(f"{target} is answered with other bytes: {response}")
            if response.header("x-sum") != hashlib.sha256(body).hexdigest():
                raise Wrong(f"the body sent to {target} arrived with other bytes")
        elif response.status != status and (response.status < 500 or self.strict):
            raise Wrong(f"{target} is answered with {response}, not {status}")

    def fault(self, why):
        """A connection that ends, which only a fault can be the reason of."""
        if self.strict:
            raise Wrong(f"a connection broke: {why!r}")

    def ask(self, target, method="GET", body=None, status=200, **more):
        try:
            response = self.weir.request(method, target, body=body, **more)
        except (OSError, Truncated) as e:
            self.fault(e)
            return None
        except Malformed as e:
            raise Wrong(f"{target} is answered with {e}") from None
        if method != "HEAD":
            self.check(response, target, body or b"", status)
        return response

    def raw(self, data, allowed=(200,)):
        """Sends bytes and checks that every answer has one of these statuses, or 5xx."""
        try:
            got = self.weir.raw(data)
        except (OSError, Truncated) as e:
            self.fault(e)
            return b""
        statuses = [int(line.split(b" ")[1]) for line in got.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
        if any(s not in allowed and s != 100 and (s < 500 or self.strict) for s in statuses):
            raise Wrong(f"{data[:60]!r} is answered with {statuses}, not {allowed}")
        return got


@scene
def nothing(stage):
    del stage


@scene
def get(stage):
    stage.ask("/a")
    stage.ask("/b?q=1")


@scene
def head(stage):
    stage.ask("/head", method="HEAD")


@scene
def post_with_length(stage):
    body = payload("post", 100000)
    stage.ask("/post", method="POST", body=body)


@scene
def post_chunked(stage):
    body = payload("chunks", 3000)
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:1], body[1:1500], body[1500:])) + b"0\r\n\r\n"
    got = stage.raw(b"POST /up HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + pieces)
    if b" 200 " in got[:20] and hashlib.sha256(body).hexdigest().encode() not in got:
        raise Wrong("a chunked body arrived with other bytes")


@scene
def expect_continue(stage):
    stage.raw(b"POST /wait HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\nabc")


@scene
def pipeline(stage):
    try:
        with stage.weir.connect() as conn:
            for i in range(5):
                conn.send(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % i)
            for i in range(5):
                stage.check(conn.response(), f"/{i}")
    except (OSError, Truncated) as e:
        stage.fault(e)


@scene
def big(stage):
    stage.ask("/big")


@scene
def chunked_answer(stage):
    stage.ask("/chunked")
    stage.ask("/hints")


@scene
def trailers(stage):
    """Both ways."""
    try:
        with stage.weir.connect() as conn:
            conn.send(b"POST /more/trailers HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: TE\r\n"
                      b"Trailer: X-Checksum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Checksum: 12\r\n\r\n")
            response = conn.response()
            stage.check(response, "/more/trailers", b"abc")
            if response.status == 200 and response.trailers != [("X-Checksum", "12")]:
                raise Wrong(f"trailers went missing: {response.trailers}")
    except (OSError, Truncated) as e:
        stage.fault(e)


def send_all(conn, data):
    try:
        conn.send(data)
        conn.sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # who receives sees that it broke


@scene
def tunnel(stage):
    """Bytes both ways, with a pause in which it is idle; more than the buffers hold; the end, and a reload meanwhile."""
    data = payload("tunnel", 2 << 20)
    try:
        with stage.weir.connect() as conn:
            conn.send(b"GET /more/echo HTTP/1.1\r\nHost: h\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nearly")
            response = conn.head()
            if response.status != 101:
                if stage.strict or response.status < 500:
                    raise Wrong(f"the tunnel is answered with {response}")
                raise OSError("no tunnel")
            if conn.exactly(5) != b"early":
                raise Wrong("early bytes arrived as others")
            time.sleep(0.05)
            operator(stage, "POST", "/-/reload", (200, 422))
            threading.Thread(target=send_all, args=(conn, data), daemon=True).start()
            got = conn.rest()
            if conn.was_reset or len(got) < len(data):
                stage.fault(f"{len(got)} bytes came back")
            if not data.startswith(got):
                raise Wrong("the tunnel changed bytes")
    except (OSError, Truncated) as e:
        stage.fault(e)
        for i in range(4):  # the origin may have switched all the same: nothing else may go there
            stage.ask(f"/after{i}")
        if ASTRAY:
            raise Wrong(f"a request went into a tunnel: {ASTRAY[0]}") from None


@scene
def kept_connection_closed(stage):
    for i in range(4):
        stage.ask(f"/once{i}")


@scene
def refused(stage):
    stage.ask("/refused/x", status=502)


@scene
def origin_resets(stage):
    stage.ask("/reset", status=502)


@scene
def origin_hangs(stage):
    stage.ask("/hang", status=504)


@scene
def by_name(stage):
    stage.ask("/named/x", status=502)


@scene
def not_allowed(stage):
    stage.ask("/x", method="PATCH", status=405)
    stage.ask("/own/hello", method="DELETE", status=405)


@scene
def own_answer(stage):
    response = stage.ask("/own/json", status=201)
    if response and response.status == 201 and response.body.strip() != b'{"hello":"world"}':
        raise Wrong(f"/own/json is answered with {response.body!r}")


def made_of(stage, method, target, body=None):
    """The JSON of an answer of 200; None: it was an error of weir's own."""
    try:
        response = stage.weir.request(method, target, body=body)
    except (OSError, Truncated) as e:
        stage.fault(e)
        return None, None
    if response.status != 200:
        if response.status < 500 or stage.strict:
            raise Wrong(f"{target} is answered with {response}")
        return None, None
    return json.loads(response.body), response.header("weir-missing") or ""


@scene
def aggregate(stage):
    for target in ("7", "8"):
        made, missing = made_of(stage, "GET", f"/aggregate/{target}")
        if made is None:
            continue
        if made["id"] != target or made["lines"] != ["a!", "b%0A!", "3!"]:
            raise Wrong(f"an aggregate has other values: {made}")
        if made["late"] != "none" or "late;" not in missing or "late" not in made["degraded"]:
            raise Wrong(f"the late call is not told of: {made}, {missing}")
        if made["extra"] != "extra" and "extra;" not in missing:
            raise Wrong(f"a weak call is missing, and nobody says so: {made}, {missing}")
        if made["row"] not in (f"row {target}", None):
            raise Wrong(f"a row of a table is another one: {made}")


@scene
def transform(stage):
    made, _ = made_of(stage, "POST", "/transform/x", b'{"a": [1]}')
    if made not in (None, {"out": "x", "status": 200}):
        raise Wrong(f"a transformed answer has other values: {made}")


def alerts_of(name):
    return json.dumps({"version": "4", "alerts": [{"status": "firing", "labels": {"alertname": name, "n": str(n)}, "annotations": {"a\u00e9": "b\n"},
                                                   "startsAt": "2026-11-27T06:00:00Z"} for n in range(3)]}).encode()


@scene
def ingest(stage):
    """What is acknowledged is in the file, whole; what is not may be."""
    acknowledged = []
    for n in range(4):
        made, _ = made_of(stage, "POST", "/alerts", alerts_of(f"a{n % 3}"))
        if made is not None:
            acknowledged.append(f"a{n % 3}")
        made, _ = made_of(stage, "POST", "/events?q=x", json.dumps([{"id": f"e{n}"}, {"id": "all"}]).encode())
        if made is not None:
            acknowledged.append(f"e{n}")
    if not acknowledged:
        return
    file = sqlite3.connect(stage.weir.given["stores"]["main"]["sqlite"], timeout=60)
    there = {name: n for name, n in file.execute("SELECT labels ->> 'alertname', count(*) FROM alerts GROUP BY 1")}
    there |= {name: n for name, n in file.execute("SELECT id, 3 FROM events WHERE of ->> '$.all.id' = id AND q = 'x'")}
    file.close()
    lost = [name for name in acknowledged if there.get(name) != 3]
    if lost:
        raise Wrong(f"acknowledged, and not there: {lost}; there is {there}")


@scene
def bad_requests(stage):
    stage.raw(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", (400,))
    stage.raw(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999\r\n\r\n", (413,))
    stage.raw(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 20000 + b"\r\n\r\n", (431,))


@scene
def slow_head(stage):
    try:
        with stage.weir.connect() as conn:
            for part in (b"GET /slo", b"w HTTP/1.1\r\nHo", b"st: h\r\nX-Long: " + b"y" * 5000, b"\r\n\r\n"):
                conn.send(part)
                time.sleep(0.02)
            stage.check(conn.response(), "/slow")
    except (OSError, Truncated) as e:
        stage.fault(e)


@scene
def gone(stage):
    """Clients that leave before their answer."""
    for target in (b"/slow1", b"/big"):
        try:
            with stage.weir.connect() as conn:
                conn.send(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % target)
                time.sleep(0.05)
        except OSError as e:
            stage.fault(e)


@scene
def crowd(stage):
    wrong = []

    def one(i):
        try:
            stage.ask(f"/slow/{i}")
        except Wrong as e:
            wrong.append(e)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if wrong:
        raise wrong[0]


def operator(stage, method, target, statuses):
    try:
        response = stage.weir.admin(method, target)
    except (OSError, Truncated) as e:
        stage.fault(e)
        return None
    if response.status not in statuses and (response.status < 500 or stage.strict):
        raise Wrong(f"{target} is answered with {response}")
    return response


@scene
def reload(stage):
    operator(stage, "POST", "/-/reload", (200, 422))  # 422 names the memory that was short
    stage.ask("/after")


@scene
def reload_to_bad(stage):
    with open(stage.weir.config_file, "a", encoding="utf-8") as f:
        f.write("\nnonsense: 1\n")
    operator(stage, "POST", "/-/reload", (422,))
    stage.ask("/after")


@scene
def metrics(stage):
    stage.ask("/a")
    operator(stage, "GET", "/metrics", (200,))
    operator(stage, "GET", "/api/v1/upstreams", (200, 404))


@scene
def drain(stage):
    """TERM while a request runs: it is still answered."""
    try:
        with stage.weir.connect() as conn:
            conn.send(b"GET /slow/drain HTTP/1.1\r\nHost: h\r\n\r\n")
            time.sleep(0.05)
            stage.weir.term()
            stage.check(conn.response(), "/slow/drain")
    except (OSError, Truncated) as e:
        stage.fault(e)
