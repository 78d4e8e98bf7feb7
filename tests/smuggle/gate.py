"""weir, for these tests: started on free ports, scraped, stopped, and asked whether a sanitizer had something to say."""
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

import oracle

CONFIG = """\
version: 1
workers: {workers}
io: {io}
listen: [{{addr: "127.0.0.1:{port}"}}]
admin: {{addr: "127.0.0.1:{admin}"}}
log: {{level: error}}
limits: {{max_body: "{max_body}B", header_timeout: 120s, body_timeout: 120s, idle_timeout: 120s}}
upstreams: {{origin: {{endpoints: ["http://127.0.0.1:{origin}"], timeout: 120s, retry: {{"on": [connect_failure]}}}}}}
routes:
  - {{match: {{path: /probe}}, respond: {{body: ok}}}}
  - {{match: {{path: "/ws/*"}}, deadline: 120s, proxy: {{upstream: origin, upgrade: [websocket]}}}}
  - {{match: {{path: "/*"}}, deadline: 120s, proxy: {{upstream: origin}}}}
  - {{match: {{path: "/*", methods: [TRACE]}}, deadline: 120s, proxy: {{upstream: origin}}}}
"""
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


def free_port():
    """Chosen below the ports that the kernel gives to outgoing connections."""
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Gate:
    io = "auto"

    def __init__(self, binary, origin_port, workers):
        self.directory = tempfile.TemporaryDirectory(prefix="weir-smuggle-")
        self.port, self.admin = free_port(), free_port()
        path = os.path.join(self.directory.name, "weir.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(CONFIG.format(workers=workers, io=self.io, port=self.port, admin=self.admin, origin=origin_port,
                                  max_body=oracle.MAX_BODY))
        self.output = os.path.join(self.directory.name, "output")
        env = dict(os.environ)
        env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=1:strict_string_checks=1")
        env.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
        with open(self.output, "wb") as out:
            self.process = subprocess.Popen([binary, "run", "-c", path], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            env=env)
        end = time.monotonic() + 60
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                raise RuntimeError("weir did not start:\n" + self.words())
            time.sleep(0.05)

    def words(self):
        with open(self.output, encoding="utf-8", errors="replace") as f:
            return f.read()[-8000:]

    def ready(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=5).status == 200
        except OSError:
            return False

    def metrics(self):
        """[(name, labels, value)]"""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=60).read().decode()
        out = []
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, labels, value = SAMPLE.fullmatch(line).groups()
                out.append((name, dict(LABEL.findall(labels or "")), float(value)))
        return out

    def stop(self):
        """Its complaints: a status other than 0, or a sanitizer's words."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(120)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = "none: it did not stop within 120 s"
        words = self.words()
        self.directory.cleanup()
        marks = ("ERROR: AddressSanitizer", "LeakSanitizer", "runtime error", "ThreadSanitizer")
        if status != 0 or any(mark in words for mark in marks):
            return f"weir's exit status is {status}:\n{words}"
        return None
