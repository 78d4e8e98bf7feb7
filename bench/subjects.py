"""The programs that are compared: how each is configured, started on free loopback ports, and stopped by its id."""

import http.client
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time

import accounts

START_LIMIT_S = 10
STOP_LIMIT_S = 5


def free_port():
    """Below the range that outgoing connections take theirs from, so that no client of this run can hold it."""
    while True:
        port = random.randint(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Process:
    """A started program. Its own session: Ctrl-C reaches only the runner, which then stops it."""

    def __init__(self, command, log, **options):
        self.log = log
        with open(log, "wb") as file:
            options = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": file, **options}
            self.popen = subprocess.Popen(command, start_new_session=True, **options)
        self.pid = self.popen.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """A first TERM may drain, a second ends that; KILL, children included, is for what hangs."""
        family = accounts.tree(self.pid)
        for sign in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if self.popen.poll() is not None:
                break
            self.popen.send_signal(sign)
            try:
                self.popen.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                pass
        for pid in family[1:]:
            self.end_orphan(pid)

    def end_orphan(self, pid):
        fields = accounts.stat_fields(pid)
        if fields and int(fields[3]) == self.pid:  # the session: still ours, not a new process with an old number
            os.kill(pid, signal.SIGKILL)

    def explain(self):
        return accounts.read(self.log)[-2000:].strip() or "(it printed nothing)"


def get(port, path, timeout=5.0):
    """(status, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def metric(port, name, **labels):
    """The sum over its series with these labels."""
    total = 0.0
    for line in get(port, "/metrics")[1].decode().splitlines():
        found = re.match(rf"{name}(?:\{{(.*)\}})? (\S+)$", line)
        if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
            total += float(found[2])
    return total


def wait_for(process, port, path, size):
    """Until the path is answered with 200 and the body of that size that the origin makes; size None: any body."""
    body = (b"abcdefghijklmnopqrstuvwxyz" * (size // 26 + 1))[:size] if size is not None else b""
    limit = time.monotonic() + START_LIMIT_S
    seen = "no answer"
    while time.monotonic() < limit and process.popen.poll() is None:
        try:
            status, got = get(port, path)
            if status == 200 and (size is None or got == body):
                return
            seen = f"status {status}, {len(got)} bytes instead of {size}: {got[:200]!r}"
        except (OSError, http.client.HTTPException) as error:
            seen = repr(error)
        time.sleep(0.02)
    raise RuntimeError(f"{os.path.basename(process.popen.args[0])} does not serve {path}: {seen}\n{process.explain()}")


class Place:
    """Where a subject runs: its directory, ports, the origin behind it, the connections and body size it must carry."""

    def __init__(self, folder, origin_port, connections, size=1, respond=False, delay_ms=0):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        self.folder, self.origin_port, self.respond, self.delay_ms = folder, origin_port, respond, delay_ms
        self.connections, self.size = connections, size
        self.port = self.admin_port = free_port()
        while self.admin_port == self.port:
            self.admin_port = free_port()

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path


class Subject:
    """`command(place)` writes the config and returns what to run; place.port is where it listens."""

    name = ""
    has_metrics = False

    def missing(self):
        """Why it cannot run, or None."""
        return None

    def version(self):
        return None

    def binary(self):
        """For its size; None: not of interest."""
        return None

    def can_delay(self):
        """Whether it can answer by itself after a while."""
        return False

    def can_compose(self):
        """Whether it can make one answer of several."""
        return False

    def command(self, place):
        raise NotImplementedError


class Direct(Subject):
    """No proxy: the load reaches the origin itself. In `start` it is the origin program, a server without a config."""

    name = "direct"

    def __init__(self, build):
        self.origin = os.path.join(build, "origin")

    def command(self, place):
        return [self.origin, "-p", str(place.port)]


class Relay(Subject):
    name = "relay"

    def __init__(self, build):
        self.relay = os.path.join(build, "relay")

    def binary(self):
        return self.relay

    def command(self, place):
        return [self.relay, "-p", str(place.port), "-u", str(place.origin_port), "-t", "2"]


WEIR_PROXY = """\
upstreams:
  o:
    endpoints: ["http://127.0.0.1:{origin_port}"]
    pool: {{max_connections: {room}, max_idle: {room}}}
    max_in_flight: {room}
routes:
  - match: {{path: "/*"}}
    proxy: {{upstream: o}}
  - match: {{path: "/merge/{{size}}"}}
    aggregate:
      calls:
        a: {{upstream: o, path: "/json/{{size}}"}}
        b: {{upstream: o, path: "/json/{{size}}"}}
        c: {{upstream: o, path: "/json/{{size}}"}}
        d: {{upstream: o, path: "/json/{{size}}"}}
      response: {{a: $a, b: $b, c: $c, d: $d}}
  - match: {{path: "/weak/{{every}}"}}
    aggregate:
      calls:
        a: {{upstream: o, path: "/json/2400"}}
        w: {{upstream: o, path: "/every/{{every}}/delay/2000/json/2400", need: weak, timeout: 50ms}}
      response: {{a: $a.id, w: $w.id}}
  - match: {{path: "/reshape/{{size}}"}}
    aggregate:
      calls: {{search: {{upstream: o, path: "/json/{{size}}"}}}}
      response: {{$each: $search.items, $as: i, $do: {{id: $i.id, name: $i.name, price: $i.price, free: $i.stock.free, tags: $i.tags}}}}
"""
WEIR_RESPOND = """\
routes:
  - match: {{path: "/*"}}
    respond: {{status: 200, json: {{hello: world}}, delay: {delay_ms}ms}}
"""
WEIR = """\
version: 1
log: {{level: warn}}
listen:
  - addr: "127.0.0.1:{port}"
admin: {{addr: "127.0.0.1:{admin_port}"}}
limits: {{max_connections: {room}, max_in_flight: {room}, max_requests_per_connection: 1000000000}}
use: []
io: {io}
"""


class Weir(Subject):
    has_metrics = True

    def __init__(self, path, io="epoll"):
        self.path, self.io, self.name = path, io, "weir" if io == "epoll" else f"weir-{io}"

    def can_delay(self):
        return True

    def can_compose(self):
        return True

    def missing(self):
        return None if os.access(self.path, os.X_OK) else "not built: ./dev build makes build/weir"

    def version(self):
        words = accounts.output(self.path, "version").split()
        return words[1] if words[:1] == ["weir"] and len(words) > 1 else None

    def binary(self):
        return self.path

    def command(self, place):
        values = {"port": place.port, "admin_port": place.admin_port, "origin_port": place.origin_port,
                  "room": max(10000, place.connections + 1000), "io": self.io, "delay_ms": place.delay_ms}
        text = WEIR.format(**values) + (WEIR_RESPOND if place.respond else WEIR_PROXY).format(**values)
        return [self.path, "run", "-c", place.write("weir.yaml", text)]


NGINX = """\
daemon off;
worker_processes 2;
{user}
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections {room}; }}
http {{
    access_log off;
    keepalive_timeout 60s;
    keepalive_requests 1000000000;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    {upstream}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            {location}
        }}
    }}
}}
"""
NGINX_UPSTREAM = """\
upstream o {{
        server 127.0.0.1:{origin_port};
        keepalive {idle};
        keepalive_requests 1000000000;
    }}"""
NGINX_PROXY = """\
proxy_pass http://o;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_buffer_size 8k;
            proxy_buffers 8 16k;
            proxy_max_temp_file_size 0;"""
NGINX_RESPOND = "return 200 'hello';"


class Packaged(Subject):
    """A peer from the distribution's packages."""

    def find(self):
        return shutil.which(self.name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")

    def missing(self):
        return None if self.find() else "not installed: ./dev bench installs it"

    def binary(self):
        return self.find()


class Nginx(Packaged):
    name = "nginx"

    def version(self):
        return accounts.output(self.find(), "-v").rpartition("/")[2]

    def command(self, place):
        text = NGINX.format(
            port=place.port, room=max(1024, 2 * place.connections + 512),
            user="user root;" if os.geteuid() == 0 else "",
            upstream="" if place.respond else NGINX_UPSTREAM.format(origin_port=place.origin_port, idle=place.connections),
            location=NGINX_RESPOND if place.respond else NGINX_PROXY)
        return [self.find(), "-p", place.folder, "-c", place.write("nginx.conf", text), "-e", "stderr"]


HAPROXY = """\
global
    nbthread 2
    no strict-limits
    maxconn {room}
    {buffers}
defaults
    mode http
    timeout connect 3s
    timeout client 60s
    timeout server 30s
    timeout http-keep-alive 60s
frontend f
    bind 127.0.0.1:{port} backlog 4096
    {frontend}
{backend}
"""
HAPROXY_PROXY = """\
option forwardfor
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    default_backend o"""
HAPROXY_BACKEND = """\
backend o
    http-reuse always
    server o1 127.0.0.1:{origin_port}
"""
# waits for the end of the inspection's time
HAPROXY_DELAY = """\
tcp-request inspect-delay {delay_ms}ms
    tcp-request content accept if WAIT_END
    """
HAPROXY_RESPOND = "http-request return status 200 content-type text/plain string hello"


class Haproxy(Packaged):
    name = "haproxy"

    def can_delay(self):
        return True

    def version(self):
        words = accounts.output(self.find(), "-v").split()
        return words[2] if len(words) > 2 else None

    def command(self, place):
        backend = "" if place.respond else HAPROXY_BACKEND.format(origin_port=place.origin_port)
        delay = HAPROXY_DELAY.format(delay_ms=place.delay_ms) if place.delay_ms else ""
        text = HAPROXY.format(port=place.port, room=max(2000, place.connections + 1000), backend=backend,
                              buffers="tune.bufsize 65536" if place.size > 16384 else "",
                              frontend=delay + HAPROXY_RESPOND if place.respond else HAPROXY_PROXY)
        return [self.find(), "-db", "-f", place.write("haproxy.cfg", text)]


def all_subjects(build, weir):
    every = (Direct(build), Relay(build), Weir(weir), Weir(weir, "uring"), Nginx(), Haproxy())
    return {subject.name: subject for subject in every}
