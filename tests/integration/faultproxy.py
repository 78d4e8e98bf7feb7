"""tests/faultproxy, started before origins and commanded while it runs; its --help says what it can do wrong."""
import json
import os
import re
import socket

from harness import WEIR_BIN, Process
from wire import wait_until

BUILD = os.path.dirname(os.path.abspath(WEIR_BIN))
PROGRAM = next(filter(os.path.exists, (os.path.join(BUILD, folder, "faultproxy") for folder in ("", "release"))), None)


class Endpoint:
    """One of its listeners, with the origin behind it."""

    def __init__(self, proxy, name, port):
        self.proxy, self.name, self.port = proxy, name, port
        self.url = f"http://127.0.0.1:{port}"

    def __call__(self, command):
        """`bad("hang")`, `bad("latency 50 20")`: in force when this returns."""
        self.proxy.command(f"{self.name} {command}")

    def stats(self):
        return self.proxy.stats()[self.name]


class FaultProxy(Process):
    def __init__(self, directory, name, origins):
        super().__init__(directory, name)
        self.origins, self.endpoints, self.control, self.lines = origins, {}, None, None

    def start(self):
        arguments = [f"{name}=0:{origin.port}" for name, origin in self.origins.items()]
        assert PROGRAM, f"there is no faultproxy below {BUILD}"
        self.spawn([PROGRAM, "--seed", "1", *arguments])
        wait_until(lambda: len(self.stderr().splitlines()) == len(arguments) + 1 or self.process.poll() is not None,
                   "the fault proxy listens")
        ports = dict(re.findall(r"^(\w+) (\d+)$", self.stderr(), re.M))
        assert len(ports) == len(arguments) + 1, self.stderr()
        self.control = socket.create_connection(("127.0.0.1", int(ports.pop("control"))), 20)
        self.lines = self.control.makefile("r")
        self.endpoints = {name: Endpoint(self, name, int(port)) for name, port in ports.items()}
        return self

    def __getattr__(self, name):
        try:
            return self.__dict__["endpoints"][name]
        except KeyError:
            raise AttributeError(name) from None

    def command(self, line):
        self.control.sendall(line.encode() + b"\n")
        answer = self.lines.readline().strip()
        assert answer.startswith("ok"), f"{line}: {answer}"
        return answer[2:]

    def stats(self):
        return json.loads(self.command("stats"))

    def finish(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
        if self.process:
            self.wait()
            self.lines.close()
            self.control.close()
