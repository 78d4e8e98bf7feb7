"""Upstreams that fail, or are changed, while requests come in at a constant rate. Only weir: what is asked of it is in each row."""

import contextlib
import http.client
import json
import os
import random
import socket
import subprocess
import threading
import time

import subjects

# What shows before the first byte of an answer; each is held for HOLD_S, and then as long a rest.
BEFORE = ["refuse", "rst accept", "rst request", "rst answer 0", "blackhole", "blackhole full", "hang", "hang forward",
          "garbage", "cut 0"]
INSIDE = ["cut 20000", "rst answer 20000"]
HOLD_S = 1.0

CONFIG = """\
version: 1
log: {{level: warn}}
listen:
  - addr: "127.0.0.1:{port}"
admin: {{addr: "127.0.0.1:{admin_port}"}}
upstreams:
  o:
    endpoints: [{endpoints}]
    {options}
routes:
  - match: {{path: "/*"}}
    proxy: {{upstream: o}}
  {more}
"""
ATTEMPTS = ("timeout: 200ms\n    connect_timeout: 200ms\n    "
            "retry: {attempts: 3, on: [connect_failure, reset, timeout, bad_response, 502, 503, 504]}")


class FaultProxy:
    """tests/faultproxy before an origin for each name, and its commands."""

    def __init__(self, build, origins):
        names = [f"{name}=0:{port}" for name, port in origins.items()]
        self.process = subjects.Process([os.path.join(build, "faultproxy"), *names], os.path.join(build, "faultproxy.log"),
                                        stdout=subprocess.PIPE)
        lines = [self.process.popen.stdout.readline().decode().split() for _ in range(len(names) + 1)]
        self.ports = {name: int(port) for name, port in lines}
        self.control = socket.create_connection(("127.0.0.1", self.ports.pop("control")))
        self.answers = self.control.makefile("r")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.answers.close()
        self.control.close()
        self.process.popen.stdout.close()
        self.process.stop()

    def __call__(self, line):
        self.control.sendall(line.encode() + b"\n")
        answer = self.answers.readline()
        if not answer.startswith("ok"):
            raise RuntimeError(f"fault proxy: {line}: {answer}")
        return answer[2:]

    def stats(self):
        return json.loads(self("stats"))


class Faults:
    """The scenarios of this file; `bench` is the runner, `load` its load generator."""

    def __init__(self, bench, load, build):
        self.bench, self.load, self.build = bench, load, build
        self.weir = next(iter(subject for subject in bench.chosen if subject.name == "weir"), None)

    @contextlib.contextmanager
    def three(self, options, path="/1k", size=1024, faulty=True, name="faults"):
        """weir before three origins, with the fault proxy between: (place, proxy, its own process)."""
        with contextlib.ExitStack() as stack:
            ports = [subjects.free_port() for _ in range(3)]
            for port in ports:
                origin = stack.enter_context(subjects.Process(
                    [os.path.join(self.build, "origin"), "-p", str(port), "-t", "1"], os.path.join(self.build, "origin.log")))
                subjects.wait_for(origin, port, path, size)
            proxy = stack.enter_context(FaultProxy(self.build, dict(zip("abc", ports)))) if faulty else None
            place = subjects.Place(os.path.join(self.build, "run", name), 0, 128)
            self.write(place, options, list(proxy.ports.values()) if faulty else ports)
            process = stack.enter_context(subjects.Process(
                [self.weir.path, "run", "-c", os.path.join(place.folder, "weir.yaml")], os.path.join(self.build, "weir.log")))
            subjects.wait_for(process, place.port, path, size)
            yield place, proxy, ports

    @staticmethod
    def write(place, options, ports, more=""):
        endpoints = ", ".join(f'"http://127.0.0.1:{port}"' for port in ports)
        place.write("weir.yaml.new", CONFIG.format(port=place.port, admin_port=place.admin_port, endpoints=endpoints,
                                                   options=options, more=more))
        os.replace(os.path.join(place.folder, "weir.yaml.new"), os.path.join(place.folder, "weir.yaml"))

    def loaded(self, place, scenario, seconds, rate, during=None):
        """One load from its begin to its end, `during` beside it."""
        with self.load(place.port, scenario, seconds, 0.5, rate=rate) as load:
            load.wait_for(b"ready")
            load.patience += seconds
            load.go_on()
            if during:
                during()
            load.wait_for(b"done")
            load.go_on()
            return load.result()

    @staticmethod
    def row(name, load, **more):
        latency = load["latency_us"]
        asked = load["requests"] + load["errors"]
        gets, bad_gets = asked - load["posts"], load["errors"] - load["bad_posts"]
        return {"subject": name, "asked": asked, "bad_gets": bad_gets, "good_gets": 100 * (1 - bad_gets / max(1, gets)),
                "posts": load["posts"], "bad_posts": load["bad_posts"], "p50_us": latency["p50"], "p99_us": latency["p99"],
                "p999_us": latency["p99.9"], "kinds": {k: v for k, v in load["error_kinds"].items() if v}, **more}

    def say(self, row):
        return f"{row['asked']:,} requests, {row['bad_gets']} bad GETs, p99 {row['p99_us']:,.0f} us {row['kinds'] or ''}"

    # ---- flapping ----

    @staticmethod
    def flap(proxy, flaps):
        proxy("forget")  # what came in the warm-up
        order = random.Random(1)
        for number in range(flaps):
            if number % len(BEFORE) == 0:
                faults = order.sample(BEFORE, len(BEFORE))
            proxy(f"a {faults[number % len(BEFORE)]}")
            time.sleep(HOLD_S)
            proxy("a clear")
            time.sleep(HOLD_S)

    def flapping_table(self, name, scenario):
        """A third of the endpoints flaps: what of it do those see who ask for 1,000 answers a second."""
        flaps = self.bench.options.flaps or (10 if self.bench.options.quick else 60)
        with self.three(ATTEMPTS) as (place, proxy, _), self.three(ATTEMPTS, name="quiet") as (calm, _, _), \
                self.bench.step(f"{name}: {flaps} flaps, and as long without, {2 * HOLD_S * flaps / 60:.0f} minutes") as say:
            quiet = []
            beside = threading.Thread(target=lambda: quiet.append(
                self.loaded(calm, scenario, 2 * HOLD_S * flaps, scenario["rate"])))
            beside.start()
            load = self.loaded(place, scenario, 2 * HOLD_S * flaps, scenario["rate"], lambda: self.flap(proxy, flaps))
            beside.join()
            rows = [self.row("quiet, at the same time", quiet[0]),
                    self.row(f"{flaps} flaps", load, repeated=proxy.stats()["repeated"], **self.seen(place))]
            say("; ".join(map(self.say, rows)))
        rows[-1]["p99_ratio"] = rows[-1]["p99_us"] / rows[0]["p99_us"]
        if rows[-1]["repeated"]:
            self.bench.problems.append(f"{rows[-1]['repeated']} requests that must not be repeated came twice")
        return {"rows": rows + [self.inside(name, fault, scenario) for fault in INSIDE]}

    def seen(self, place):
        return {"retries": subjects.metric(place.admin_port, "weir_upstream_retries_total"),
                "ejections": subjects.metric(place.admin_port, "weir_breaker_ejections_total")}

    def inside(self, name, fault, scenario):
        """A fault in the middle of a body: every answer that it cuts is seen to be cut, and there are few of them."""
        with self.three(ATTEMPTS, "/50k", 51200) as (place, proxy, _), self.bench.step(f"{name}: {fault}") as say:
            load = self.loaded(place, {**scenario, "path": "/50k", "size": 51200, "posts": 0}, 4, scenario["rate"],
                               lambda: proxy(f"a {fault}"))
            cut = proxy.stats()["a"]["faults"]
            row = self.row(fault, load, cut=cut, **self.seen(place))
            if load["errors"] != cut:
                self.bench.problems.append(f"{fault}: {cut} answers were cut, {load['errors']} looked so: {row['kinds']}")
            say(self.say(row) + f", {cut} cut")
        return row

    # ---- one slow endpoint ----

    def slow_endpoint_table(self, name, scenario):
        """One of three is 50 times slower than the others, which take 2 ms."""
        rows = []
        for balance in ("p2c", "least_request", "round_robin"):
            with self.three(f"timeout: 10s\n    balance: {balance}", "/delay/2/1k") as (place, proxy, ports):
                for label, command in (("healthy", "a clear"), ("one slow", f"a latency {scenario['slow_ms']}")):
                    proxy(command)
                    with self.bench.step(f"{name}: {balance}, {label}") as say:
                        before = proxy.stats()["a"]["requests"]
                        row = self.row(f"{balance}, {label}", self.loaded(place, scenario, self.bench.seconds * 4, scenario["rate"]))
                        row["share"] = 100 * (proxy.stats()["a"]["requests"] - before) / row["asked"]
                        rows.append(row)
                        say(self.say(row) + f", {row['share']:.2f} % to that endpoint")
            rows[-1]["p99_ratio"] = rows[-1]["p99_us"] / rows[-2]["p99_us"]
        return {"rows": rows}

    # ---- reloads ----

    def reload_all(self, place, ports, count, times):
        """Fifty a second: each has a route, limits and endpoints that the one before it had not."""
        admin = http.client.HTTPConnection("127.0.0.1", place.admin_port, timeout=60)
        for number in range(count):
            more = f'- match: {{path: "/extra/{number}"}}\n    respond: {{status: 204}}'
            self.write(place, f"max_in_flight: {1000 + number % 7}\n    timeout: {5 + number % 3}s", ports[number % 2:], more)
            began = time.monotonic()
            admin.request("POST", "/-/reload")
            answer = admin.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"reload {number}: {answer.status} {body[:500]!r}")
            times.append(time.monotonic() - began)
            time.sleep(max(0.0, 0.02 - times[-1]))
        admin.close()

    def reloads_table(self, name, scenario):
        count = self.bench.options.reloads or (50 if self.bench.options.quick else 1000)
        rows, times = [], []
        with self.three("timeout: 5s", faulty=False) as (place, _, ports):
            with self.bench.step(f"{name}: {count} reloads") as say:
                stop, results = threading.Event(), {}

                def carry(label, rate, **more):
                    """Windows of two seconds, as long as there are reloads."""
                    while not stop.is_set():
                        load = self.loaded(place, {**scenario, **more}, 2, rate)
                        results.setdefault(label, []).append(load)

                threads = [threading.Thread(target=carry, args=("kept connections", scenario["rate"])),
                           threading.Thread(target=carry, args=("a connection each", scenario["connect_rate"]),
                                            kwargs={"close_each": True})]
                for thread in threads:
                    thread.start()
                try:
                    time.sleep(1)
                    self.reload_all(place, ports, count, times)
                finally:
                    stop.set()
                    for thread in threads:
                        thread.join()
                for label, loads in results.items():
                    worst = max(loads, key=lambda load: load["latency_us"]["p99"])
                    total = {**worst, **{key: sum(load[key] for load in loads)
                                         for key in ("requests", "errors", "posts", "bad_posts")}}
                    rows.append(self.row(f"{label}, {count} reloads", total,
                                         reload_ms=1e3 * sorted(times)[len(times) // 2]))
                    if total["errors"]:
                        self.bench.problems.append(f"reloads: {label}: {total['errors']} failed")
                say("; ".join(self.say(row) for row in rows) + f"; {sum(times):.1f} s, the longest {1e3 * max(times):.0f} ms")
        return {"rows": rows}
