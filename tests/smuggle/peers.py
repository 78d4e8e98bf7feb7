"""What weir forwarded, read by others: each distinct message is sent to nginx, HAProxy, Apache, Python's http.server and
node (llhttp), with a canary behind it. All of them must see the same: one request, of that method, target and body, and
then the canary. A peer may also refuse a message, where REFUSALS names the reason.

nginx, HAProxy and Apache pass on to a recording origin of their own; Python and node answer with what they read."""
import http.server
import multiprocessing
import os
import re
import shutil
import socketserver
import subprocess
import tempfile
import threading
import time
import zlib

import origin
import wire
from gate import free_port

CANARY = b"GET /canary HTTP/1.1\r\nHost: weir.test\r\n\r\n"
HERE = os.path.dirname(os.path.abspath(__file__))

NGINX = """\
daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log crit;
events {{ worker_connections 512; }}
http {{
    access_log off; client_max_body_size 0; keepalive_requests 1000000; merge_slashes off;
    large_client_header_buffers 8 64k; proxy_http_version 1.1; proxy_buffer_size 64k; proxy_buffers 4 64k;
    proxy_busy_buffers_size 128k;
    client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c; uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e;
    upstream b {{ server 127.0.0.1:{backend}; keepalive 32; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://b; proxy_set_header Connection ""; proxy_set_header Host $http_host; }}
    }}
}}
"""
HAPROXY = """\
global
    nbthread 1
    maxconn 500
    tune.bufsize 65536
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 10s
frontend f
    bind 127.0.0.1:{port}
    default_backend b
backend b
    server s 127.0.0.1:{backend}
"""
APACHE = """\
ServerRoot {dir}
ServerName weir.test
PidFile {dir}/pid
Listen 127.0.0.1:{port}
User www-data
Group www-data
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
ErrorLog {dir}/error.log
LogLevel crit
DefaultRuntimeDir {dir}
Mutex pthread
ServerLimit 1
StartServers 1
ThreadsPerChild 32
MaxRequestWorkers 32
MinSpareThreads 1
MaxSpareThreads 32
MaxConnectionsPerChild 0
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
LimitRequestFieldSize 65000
LimitRequestLine 65000
LimitRequestFields 0
AllowEncodedSlashes NoDecode
ProxyAddHeaders Off
ProxyPass / http://127.0.0.1:{backend}/ nocanon responsefieldsize=65000
"""
APACHE_MODULES = "/usr/lib/apache2/modules"

NODE_METHODS = set("""ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE
NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK
UNSUBSCRIBE""".encode().split())


def method_of(raw):
    return raw.split(b" ", 1)[0]


def fields_of(raw):
    return raw.split(b"\r\n\r\n", 1)[0].count(b"\r\n")


def host_of(raw):
    return re.search(rb"\r\nHost: ([^\r]*)", raw)[1]


def empty_label(raw):
    return b".." in host_of(raw) or host_of(raw).startswith(b".")


# What a peer may refuse: when, and why. Nothing of such a message may come to its origin.
REFUSALS = {
    "nginx": [
        (lambda raw: not re.fullmatch(rb"[A-Z_-]+", method_of(raw)), "its methods are of capitals, - and _"),
        (lambda raw: raw.startswith(b"OPTIONS * "), "it does not take *"),
        (lambda raw: method_of(raw) == b"TRACE", "it does not pass it on"),
        (empty_label, "it takes no such host"),
    ],
    "haproxy": [
        (lambda raw: method_of(raw) == b"PRI", "that begins HTTP/2"),
        (lambda raw: fields_of(raw) > 100, "it takes 100 fields"),
    ],
    "apache": [
        (lambda raw: raw.startswith(b"OPTIONS * "), "it answers for itself"),
        (lambda raw: method_of(raw) == b"TRACE", "it answers for itself"),
        (lambda raw: empty_label(raw) or re.search(rb"[~_]", host_of(raw)), "it takes no such host"),
        (lambda raw: re.search(rb"\r\nMax-Forwards:(?! *[1-9]\d?\r)", raw, re.I), "it counts that down for every method"),
    ],
    "python": [
        (lambda raw: fields_of(raw) > 100, "it takes 100 fields"),
    ],
    "node": [
        (lambda raw: method_of(raw) not in NODE_METHODS, "it takes only methods that it knows"),
    ],
}


def tell(method, target, body):
    return b"0 - %b %b %d %08x" % (method, target, len(body), zlib.crc32(body))


class PythonHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.tell
        raise AttributeError(name)

    def setup(self):
        super().setup()
        self.connection.setsockopt(6, 1, 1)  # TCP_NODELAY

    def tell(self):
        """http.server leaves bodies to its user, who goes by the fields as it has read them."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                part = self.rfile.read(size + 2)[:-2]
                if size == 0:
                    break
                body += part
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        seen = tell(self.command.encode("latin-1"), self.path.encode("latin-1"), body).decode("latin-1")
        self.send_response(200)
        self.send_header("X-Seen", seen)
        self.send_header("Content-Length", str(len(seen)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(seen.encode("latin-1"))

    def log_message(self, *_):
        pass


class PythonServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A client that leaves is none."""


class Peer:
    """One of them, running. `origin` is the recording one behind it, if it has one."""

    def __init__(self, name):
        self.name = name
        self.port = free_port()
        self.origin = None
        self.process = None
        self.directory = tempfile.mkdtemp(prefix=f"weir-{name}-")
        getattr(self, name)()
        origin.wait_port(self.port)

    def config(self, text):
        self.origin = origin.Origin(strict=False)
        path = os.path.join(self.directory, "config")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.format(dir=self.directory, port=self.port, backend=self.origin.port, modules=APACHE_MODULES))
        return path

    def run(self, *arguments):
        with open(os.path.join(self.directory, "output"), "wb") as out:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def nginx(self):
        self.run("nginx", "-p", self.directory, "-e", os.path.join(self.directory, "error.log"), "-c", self.config(NGINX))

    def haproxy(self):
        self.run("haproxy", "-db", "-f", self.config(HAPROXY))

    def apache(self):
        os.chmod(self.directory, 0o755)  # its children are another user
        self.run("apache2", "-DFOREGROUND", "-f", self.config(APACHE))

    def python(self):
        server = PythonServer(("127.0.0.1", self.port), PythonHandler)
        self.process = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
        self.process.start()
        server.server_close()

    def node(self):
        self.run("node", os.path.join(HERE, "node_server.js"), str(self.port))

    def stop(self):
        """The requests that came to its origin; None when it has none."""
        self.process.terminate()
        if isinstance(self.process, subprocess.Popen):
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        else:
            self.process.join(20)
        out = self.origin.stop() if self.origin else None
        shutil.rmtree(self.directory, ignore_errors=True)
        return out


PEERS = {"nginx": "nginx", "haproxy": "haproxy", "apache": "apache2", "python": None, "node": "node"}


def refusable(name, raw):
    return any(test(raw) for test, _ in REFUSALS[name])


class Replay:
    def __init__(self, peer, report):
        self.peer = peer
        self.report = report
        self.lock = threading.Lock()
        self.requests = 0  # that its origin must have got
        self.refused = 0

    def work(self, following):
        conn = None
        while True:
            item = following()
            if item is None:
                break
            raw, expected = item
            if conn is None:
                conn = wire.Wire(self.peer.port)
            problem = None
            try:
                problem = self.play(conn, raw, expected)
            except wire.Malformed as e:
                problem = str(e)
            with self.lock:
                if problem:
                    self.report.bad(f"peers, {self.peer.name}", problem, expected=expected, got=raw[:3000])
                else:
                    self.report.good()
            if problem or conn.ended:
                conn.close()
                conn = None

    def play(self, conn, raw, expected):
        method = expected.split(b" ")[2]
        conn.send(raw + CANARY)
        first = conn.answer(method)
        seen = first and first.values(b"x-seen")
        if not seen:
            status = first.status if first else "closed"
            if not refusable(self.peer.name, raw):
                return f"refused with {status}"
            with self.lock:
                self.refused += 1
            if not first or first.closes:
                return None if conn.end() else "refused, and yet something behind it was read"
        elif seen[0].split(b" ")[2:] != expected.split(b" ")[2:]:
            return f"it read {seen[0]!r}"
        second = conn.answer()
        seen = second and second.values(b"x-seen")
        if not seen or seen[0].split(b" ")[2:] != CANARY_SEEN:
            return f"the canary's answer is {second}"
        if conn.data:
            return f"bytes behind the answers: {conn.data[:200]!r}"
        with self.lock:
            self.requests += 2 if first.values(b"x-seen") else 1
        return None


CANARY_SEEN = tell(b"GET", b"/canary", b"").split(b" ")[2:]


def play(kept, report):
    """`kept`: {raw message: (method, target, body)}."""
    items = [(raw, tell(*what)) for raw, what in kept.items()]
    for name, program in PEERS.items():
        if program and not shutil.which(program) and not os.path.exists(f"/usr/sbin/{program}"):
            print(f"peers: {name} is not installed, so it is left out")
            continue
        begin = time.monotonic()
        before = report.failed
        peer = Peer(name)
        replay = Replay(peer, report)
        try:
            wire.in_threads(items, replay.work)
        finally:
            recorded = peer.stop()
        if recorded:
            records, violations, _ = recorded
            for what, data in violations:
                report.bad("peers", f"the origin behind {name} got {what}", got=data[:2000])
            count = sum(record.whole for record in records)
            if report.failed == before and (count != replay.requests or count != len(records)):
                report.bad("peers", f"{name} has made {count} whole requests of {replay.requests}, {len(records)} in all")
        print(f"peers: {name}: {len(items)} messages, {replay.refused} refused, {report.failed - before} failed, "
              f"{time.monotonic() - begin:.1f} s")
