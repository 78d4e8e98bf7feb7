"""Starts the processes of a test: weir, nginx, scripted origins; each on free ports, each watched until its end."""
import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess

import yaml

from origin import Origin, echo
from wire import LIMIT, Conn, Truncated, wait_until

WEIR_BIN = os.path.abspath(os.environ.get("WEIR_BIN", "build/weir"))
IO = os.environ.get("WEIR_TEST_IO", "")  # a value of the config's `io`: the back end that all tests run on
SANITIZER_MARKS = ("ERROR: AddressSanitizer", "LeakSanitizer", "runtime error", "ThreadSanitizer")
STOP_LIMIT = 90  # seconds: a drain may take 30 of them


class PlainDumper(yaml.SafeDumper):
    """Aliases are not part of weir's YAML."""

    def ignore_aliases(self, data):
        return True


given_ports = set()


def free_port(family=socket.AF_INET):
    """A port that nobody listens on, and that was not given out before. It is chosen below those that the kernel gives to
    outgoing connections, so that no client takes it before weir does."""
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    for _ in range(1000):
        port = random.randrange(10000, 32000)
        if port in given_ports:
            continue
        with socket.socket(family) as s:
            try:
                s.bind((host, port))
                given_ports.add(port)
                return port
            except OSError:
                continue
    raise RuntimeError("no free port found")


def environment(**more):
    env = dict(os.environ)
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=1:strict_string_checks=1")
    env.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
    env.update(more)
    return env


def run_weir(*arguments, env=None, **options):
    """A verb that ends by itself. Gives the finished process, with text output."""
    done = subprocess.run([WEIR_BIN, *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT,
                          env=environment(**(env or {})), stdin=subprocess.DEVNULL, check=False, **options)
    assert_clean(done.stderr)
    return done


def assert_clean(stderr):
    for mark in SANITIZER_MARKS:
        assert mark not in stderr, f"{mark}:\n{stderr[-8000:]}"


def proxy(*origins, path="/*", deadline=None, **upstream):
    """The config of a route to these origins; keywords are options of the upstream."""
    route = {"match": {"path": path}, "proxy": {"upstream": "origin"}}
    if deadline:
        route["deadline"] = deadline
    endpoints = [o if isinstance(o, str) else o.url for o in origins]
    return {"upstreams": {"origin": {"endpoints": endpoints, **upstream}}, "routes": [route]}


class Metrics:
    """A scrape."""

    SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
    LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')

    def __init__(self, text):
        self.text = text
        self.samples = []
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, labels, value = self.SAMPLE.fullmatch(line).groups()
                self.samples.append((name, dict(self.LABEL.findall(labels or "")), float(value)))

    def find(self, name, **labels):
        wanted = {k: str(v) for k, v in labels.items()}
        return [(have, value) for n, have, value in self.samples
                if n == name and all(have.get(k) == v for k, v in wanted.items())]

    def sum(self, name, **labels):
        """Over all series with at least these labels; 0 when there is none."""
        return sum(value for _, value in self.find(name, **labels))


class Process:
    """Something that runs, with its output in a file."""

    def __init__(self, directory, name):
        self.name = name
        self.directory = directory
        self.output = os.path.join(directory, f"{name}.stderr")
        self.process = None

    def spawn(self, arguments, **options):
        with open(self.output, "ab") as out:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **options)

    @property
    def pid(self):
        return self.process.pid

    def stderr(self):
        with open(self.output, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait(self, limit=STOP_LIMIT):
        """Waits for the end and gives the exit status."""
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"{self.name} did not stop within {limit} s:\n{self.stderr()[-4000:]}") from None


class Weir(Process):
    """A gateway. `config` is YAML text or a dict; what it does not say about listen, admin and log is filled in."""

    def __init__(self, directory, name, config):
        super().__init__(directory, name)
        self.config_file = os.path.join(directory, f"{name}.yaml")
        self.given = yaml.safe_load(config) if isinstance(config, str) else config
        self.own_ports = "listen" not in self.given
        self.conns = []
        self.exit_expected = 0
        self.choose_ports()

    def choose_ports(self):
        self.port = free_port()
        self.admin_port = free_port()
        self.write(self.given)

    def write(self, config):
        """Writes a config file for this instance; for reloads."""
        config = yaml.safe_load(config) if isinstance(config, str) else dict(config)
        filled = {"version": 1, "listen": [{"addr": f"127.0.0.1:{self.port}"}],
                  "admin": {"addr": f"127.0.0.1:{self.admin_port}"}, "log": {"level": "info", "format": "json"}}
        if IO:
            filled["io"] = IO
        filled.update(config)
        with open(self.config_file, "w", encoding="utf-8") as f:
            yaml.dump(filled, f, Dumper=PlainDumper, sort_keys=False)
        match = re.search(r":(\d+)$", self.address_of(filled["listen"][0]))
        if match:
            self.port = int(match[1])

    @staticmethod
    def address_of(listener):
        return listener if isinstance(listener, str) else listener["addr"]

    def start(self, ready=True, env=None, **options):
        for attempt in range(3):
            self.spawn([WEIR_BIN, "run", "-c", self.config_file], env=environment(**(env or {})), **options)
            if not ready or self.wait_ready(last=attempt == 2):
                return self
            self.choose_ports()
        return self

    def wait_ready(self, last=True):
        """True when it serves; False when somebody was faster at its ports and another try makes sense."""
        wait_until(lambda: self.process.poll() is not None or self.ready(), f"{self.name} is ready")
        if self.process.poll() is None:
            return True
        if last or not self.own_ports or "in use" not in self.stderr():
            status = self.process.returncode
            raise AssertionError(f"{self.name} did not start (exit {status}):\n{self.stderr()[-6000:]}")
        return False

    def ready(self):
        try:
            return self.admin("GET", "/readyz").status == 200
        except (OSError, Truncated):
            return False

    # ---- as a client ----

    def connect(self, address=None):
        conn = Conn(address or ("127.0.0.1", self.port))
        self.conns.append(conn)
        return conn

    def request(self, method="GET", target="/", **more):
        """One request on a connection of its own."""
        with self.connect() as conn:
            return conn.exchange(method, target, **more)

    def get(self, target="/", **more):
        return self.request("GET", target, **more)

    def post(self, target="/", body=b"", **more):
        return self.request("POST", target, body=body, **more)

    def raw(self, data):
        """Sends bytes and gives all that comes until weir closes."""
        with self.connect() as conn:
            conn.send(data)
            return conn.rest()

    # ---- as its operator ----

    def admin(self, method="GET", target="/", headers=(), body=None):
        with Conn(("127.0.0.1", self.admin_port)) as conn:
            return conn.exchange(method, target, headers=headers, body=body, host=f"127.0.0.1:{self.admin_port}")

    def metrics(self):
        response = self.admin("GET", "/metrics")
        assert response.status == 200, response
        return Metrics(response.body.decode())

    def metric(self, name, **labels):
        return self.metrics().sum(name, **labels)

    def served(self, **labels):
        """How many requests it has counted."""
        return self.metric("http_server_request_duration_seconds_count", **labels)

    def wait_metric(self, value, name, **labels):
        last = []

        def reached():
            last[:] = [self.metric(name, **labels)]
            return last[0] == value
        try:
            wait_until(reached, "")
        except AssertionError:
            raise AssertionError(f"{name}{labels} is {last[0]}, not {value}") from None

    @contextlib.contextmanager
    def counts(self, increase, name, **labels):
        """What happens inside makes that metric larger by exactly this."""
        before = self.metric(name, **labels)
        yield
        self.wait_metric(before + increase, name, **labels)

    def refuses(self, code, times=1):
        return self.counts(times, "weir_refusals_total", code=code)

    def reload(self, config=None):
        if config is not None:
            self.write(config)
        return self.admin("POST", "/-/reload")

    def signal(self, number):
        self.process.send_signal(number)

    def term(self):
        self.signal(signal.SIGTERM)

    def log(self):
        """weir's own log as dicts; lines that are no JSON are left out."""
        lines = []
        for line in self.stderr().splitlines():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(line))
        return lines

    def wait_log(self, text):
        """The log line that holds the text."""
        return wait_until(lambda: next((line for line in self.log() if text in line.get("msg", "")), None),
                          f'the log says "{text}"')

    def finish(self):
        """The end of every instance: it drains on TERM, ends well, and no sanitizer has said anything."""
        for conn in self.conns:
            conn.close()
        if not self.process:
            return
        if self.process.poll() is None:
            self.term()
        status = self.wait()
        assert_clean(self.stderr())
        assert status == self.exit_expected, f"{self.name} ended with {status}:\n{self.stderr()[-6000:]}"


class Nginx(Process):
    """Debian's nginx with one server block on a free port, everything else below its own directory."""

    CONFIG = """
{user}
worker_processes 1;
pid {prefix}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    types {{ text/html html; image/png png; application/octet-stream bin; text/css css; }}
    default_type application/octet-stream;
    access_log off;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port};
        root {root};
        location = /nginx_status {{ stub_status; }}
        {server}
    }}
}}
"""

    def __init__(self, directory, name, root, server=""):
        prefix = os.path.join(directory, name)
        os.makedirs(prefix)
        super().__init__(directory, name)
        self.prefix = prefix
        self.root = root
        self.server = server
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self):
        user = "user root;" if os.geteuid() == 0 else ""
        path = os.path.join(self.prefix, "nginx.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(self.CONFIG.format(user=user, prefix=self.prefix, port=self.port, root=self.root,
                                       server=self.server))
        self.spawn(["nginx", "-p", self.prefix, "-c", path, "-g", "daemon off;"])
        wait_until(self.answers, "nginx answers")
        return self

    def answers(self):
        assert self.process.poll() is None, f"nginx did not start:\n{self.stderr()}"
        try:
            return self.requests() > 0
        except OSError:
            return False

    def status(self):
        with Conn(("127.0.0.1", self.port)) as conn:
            conn.request("GET", "/nginx_status", headers={"Connection": "close"})
            return conn.rest().decode()

    def requests(self):
        """All that it has handled, these questions included."""
        return int(re.search(r"\n (\d+) (\d+) (\d+) ", self.status())[3])

    def accepts(self):
        return int(re.search(r"\n (\d+) (\d+) (\d+) ", self.status())[1])

    def finish(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.wait()


class Lab:
    """What a test has started. Origins stop first, so that nothing holds weir's drain up."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.origins, self.weirs, self.others = [], [], []

    def weir(self, config, ready=True, **options):
        weir = Weir(self.directory, f"weir{len(self.weirs)}", config)
        self.weirs.append(weir)
        return weir.start(ready=ready, **options)

    def origin(self, answer=echo, **options):
        self.origins.append(Origin(answer, **options))
        return self.origins[-1]

    def nginx(self, root, server=""):
        nginx = Nginx(self.directory, f"nginx{len(self.others)}", str(root), server)
        self.others.append(nginx)
        return nginx.start()

    def start(self, thing):
        """Starts a Process of another kind, which is stopped after those that use it."""
        self.others.append(thing)
        return thing.start()

    def path(self, name):
        return os.path.join(self.directory, name)

    def close(self):
        faults = []
        for thing in [o.stop for o in self.origins] + [p.finish for p in self.weirs + self.others]:
            try:
                thing()
            except AssertionError as e:
                faults.append(str(e))
        assert not faults, "\n".join(faults)
