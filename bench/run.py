#!/usr/bin/python3
"""weir beside a blind relay, nginx and HAProxy in one run, on this machine's loopback. See docs/benchmarks.md.

    bench/run.py                                       1k, 50k, start, micro; some four minutes
    bench/run.py --scenario 1k --subjects weir,relay --quick
    bench/run.py --scenario all --write-docs           also keeps the results in bench/results/
"""

import argparse
import contextlib
import glob
import json
import os
import resource
import select
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time

import accounts
import faults
import ingest
import report
import subjects

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BENCH = os.path.join(ROOT, "bench")
BUILD = os.path.join(ROOT, "build", "bench")
DOCS = os.path.join(ROOT, "docs", "benchmarks.md")
PROGRAMS = {**{name: [os.path.join(BENCH, f"{name}.c")] for name in ("origin", "relay", "load", "slow", "start")},
            "faultproxy": sorted(glob.glob(os.path.join(ROOT, "tests", "faultproxy", "*.c")))}
CFLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra", "-pthread"]
STARTS = 20
# bench/NAME.c and the parts of weir that it measures; one that is not there is left out.
MICROS = {
    "micro_runtime": ["src/runtime/*.[cS]", "src/base/*.c"],
    "micro_h1": ["src/http/*.c", "src/json/writer.c", "src/base/*.c"],
    "micro_json": ["src/json/*.c", "src/base/*.c"],
    "micro_table": ["src/gateway/reference_rows.c", "src/json/*.c", "src/base/*.c"],
    "micro_upstream": [f"src/{folder}/*.[cS]" for folder in
                       ("upstream", "telemetry", "config", "http", "json", "net", "runtime", "base")],
}

# kind "load": closed loop; "rate": all subjects at one constant rate; "idle": connections that do nothing any more.
SCENARIOS = {
    "1k": {"kind": "load", "path": "/1k", "size": 1024, "connections": 64,
           "about": "1 KB responses, 64 connections, closed loop"},
    "50k": {"kind": "load", "path": "/50k", "size": 51200, "connections": 64,
            "about": "50 KB responses, 64 connections, closed loop"},
    "1m": {"kind": "load", "path": "/1m", "size": 1048576, "connections": 64,
           "about": "1 MB responses, 64 connections, closed loop"},
    "inflight": {"kind": "load", "path": "/delay/500/1k", "size": 1024, "connections": 8000, "stagger_ms": 500,
                 "about": "8,000 requests in flight, 1 KB responses after 0.5 s"},
    "inflight1k": {"kind": "load", "path": "/delay/500/1k", "size": 1024, "connections": 1000, "stagger_ms": 500,
                   "about": "1,000 requests in flight, 1 KB responses after 0.5 s: memory in all"},
    "connect": {"kind": "load", "path": "/1k", "size": 1024, "connections": 64, "close_each": True,
                "about": "a new connection for each request, 1 KB responses, 64 at a time"},
    "respond": {"kind": "load", "path": "/", "size": None, "connections": 15000, "stagger_ms": 500, "respond_ms": 500,
                "about": "15,000 requests in flight that the subject answers itself after 0.5 s"},
    "merge": {"kind": "load", "path": "/merge/2400", "size": None, "connections": 64, "compose": True,
              "about": "one request becomes four calls of 2.4 KB JSON each, checked and merged"},
    "merge50k": {"kind": "load", "path": "/merge/50k", "size": None, "connections": 64, "compose": True,
                 "about": "one request becomes four calls of 50 KB JSON each, checked and merged"},
    "weak": {"kind": "load", "path": "/weak/20", "size": None, "connections": 64, "compose": True, "rate": 1000,
             "about": "1,000 requests/s of two calls; one in twenty of the weak one's answers takes 2 s, its timeout is 50 ms"},
    "weak_well": {"kind": "load", "path": "/weak/1000000", "size": None, "connections": 64, "compose": True, "rate": 1000,
                  "about": "the same, and (nearly) none is late"},
    "reshape": {"kind": "load", "path": "/reshape/500k", "size": None, "connections": 8, "compose": True,
                "about": "500 KB of JSON, checked and reshaped record by record"},
    "slow": {"kind": "slow", "path": "/1k", "size": 1024, "connections": 64, "rate": 1000, "slow": 10000,
             "about": "1,000 requests/s alone, then beside 10,000 connections that send a head a byte a second"},
    "latency": {"kind": "rate", "path": "/1k", "size": 1024, "connections": 64,
                "about": "added latency: 1 KB responses at one constant rate, half of what the slowest subject carries"},
    "idle": {"kind": "idle", "path": "/1k", "size": 1024, "connections": 5000,
             "about": "5,000 idle keep-alive connections, each after one request"},
    "start": {"kind": "start", "about": f"exec to first answered request, {STARTS} starts; memory when idle; binary"},
    "flapping": {"kind": "flapping", "path": "/1k", "size": 1024, "connections": 64, "rate": 1000, "posts": 20,
                 "about": "1,000 requests/s to three endpoints, of which one flaps; a fifth are POSTs"},
    "slow_endpoint": {"kind": "slow_endpoint", "path": "/delay/2/1k", "size": 1024, "connections": 256, "rate": 1000,
                      "slow_ms": 98, "about": "1,000 requests/s to three endpoints, of which one takes 100 ms and not 2"},
    "reloads": {"kind": "reloads", "path": "/1k", "size": 1024, "connections": 64, "rate": 2000, "connect_rate": 500,
                "about": "reloads in a row under 2,000 requests/s and 500 new connections/s"},
    "ingest": {"kind": "ingest", "about": "webhooks of five new alerts each, acknowledged when they are on disk"},
    "micro": {"kind": "micro", "about": "parts of weir alone"},
}


# ---- one load ----

class Load:
    """bench/load, which stops before and after its measured phase (-s) so that accounts can be read there."""

    def __init__(self, port, scenario, seconds, warmup, rate=0.0, requests=0):
        command = [os.path.join(BUILD, "load"), "-s", "-u", f"http://127.0.0.1:{port}{scenario['path']}",
                   "-c", str(scenario["connections"]), "-t", "2", "-d", str(seconds), "-w", str(warmup),
                   "-g", str(scenario.get("stagger_ms", 0))]
        command += ["-l", str(scenario["size"])] if scenario["size"] is not None else []
        command += ["-1"] if scenario.get("close_each") else []
        command += ["-A", str(scenario["alerts"])] if scenario.get("alerts") else []
        command += ["-P", str(scenario["posts"])] if scenario.get("posts") else []
        command += ["-R", f"{rate:.1f}"] if rate else []
        command += ["-n", str(requests)] if requests else []
        self.process = subjects.Process(command, os.path.join(BUILD, "load.log"),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.popen, self.patience = self.process.popen, seconds + warmup + 60

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stop()

    def wait_for(self, word):
        if not select.select([self.popen.stdout], [], [], self.patience)[0]:
            raise RuntimeError("the load generator hangs")
        if self.popen.stdout.readline().strip() != word:
            raise RuntimeError(f"the load generator failed: {self.process.explain()}")

    def go_on(self):
        self.popen.stdin.write(b"\n")
        self.popen.stdin.flush()

    def result(self):
        return json.loads(self.popen.stdout.read())


class PeakMemory(threading.Thread):
    """The largest pss seen while it runs; four looks a second cost nothing that shows."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.enough = pid, 0, threading.Event()

    def run(self):
        while not self.enough.is_set():
            self.look()
            self.enough.wait(0.25)

    def look(self):
        self.peak = max(self.peak, accounts.memory_kib(self.pid)["pss"])

    def stop(self):
        self.enough.set()
        self.join()
        self.look()
        return self.peak


class Window:
    """The accounts of everyone who takes part, around the measured phase. All are idle at both ends, so they are exact."""

    def __init__(self, **pids):
        self.pids = pids
        self.cpu = {name: accounts.Cpu(pid) for name, pid in pids.items()}
        self.machine = accounts.machine_busy_ns()
        self.own_ns = time.process_time_ns()
        self.began = time.monotonic_ns()

    def close(self):
        elapsed = time.monotonic_ns() - self.began
        cpu = {name: accounts.Cpu(pid).since(self.cpu[name]) for name, pid in self.pids.items()}
        busy, stolen = (now - then for now, then in zip(accounts.machine_busy_ns(), self.machine))
        ours = sum(one["ns"] for one in cpu.values()) + time.process_time_ns() - self.own_ns
        capacity = elapsed * len(os.sched_getaffinity(0))
        return cpu, {"others": round(max(0, busy - ours) / capacity, 3), "stolen": round(stolen / capacity, 3)}


def counted_by_weir(admin_port):
    return round(subjects.metric(admin_port, "http_server_request_duration_seconds_count"))


def check_metrics(admin_port, before, load):
    """None, or what is wrong. A request is counted just after its answer went out, so the last ones get a moment."""
    sent = load["requests"] + load["error_kinds"]["status"] + load["error_kinds"]["length"]
    limit = time.monotonic() + 2
    while (counted := counted_by_weir(admin_port) - before) != sent and time.monotonic() < limit:
        time.sleep(0.05)
    return None if counted == sent else f"/metrics counted {counted} requests, the load generator {sent}"


class Bench:
    """A run: its options, the origin, the subjects that are there."""

    def __init__(self, options, chosen):
        self.options, self.chosen = options, chosen
        self.seconds = options.seconds or (2.0 if options.quick else 5.0)
        self.warmup = 0.5 if options.quick else 1.0
        self.rounds = options.rounds or (1 if options.quick else 3)
        self.problems = []

    @contextlib.contextmanager
    def serving(self, subject, connections, path="/1", size=1, respond=False, delay_ms=0):
        """The subject and an origin of its own, started and checked: (place, its process, the origin's process)."""
        origin_port = subjects.free_port()
        place = subjects.Place(os.path.join(BUILD, "run", subject.name), origin_port, connections, size or 1, respond, delay_ms)
        with subjects.Process([os.path.join(BUILD, "origin"), "-p", str(origin_port)],
                              os.path.join(BUILD, "origin.log")) as origin:
            subjects.wait_for(origin, origin_port, *((path, size) if size else ("/1", 1)))
            if subject.name == "direct" and not respond:
                place.port = origin_port
                yield place, origin, origin
                return
            with subjects.Process(subject.command(place), os.path.join(BUILD, f"{subject.name}.log")) as process:
                subjects.wait_for(process, place.port, path, None if respond else size)
                yield place, process, origin

    def measure(self, subject, scenario, rate=0.0, seconds=None):
        """One window of one subject."""
        connections, delay_ms = scenario["connections"], scenario.get("respond_ms", 0)
        with self.serving(subject, connections, scenario["path"], scenario["size"], delay_ms > 0,
                          delay_ms) as (place, process, origin):
            idle = accounts.memory_kib(process.pid)
            with Load(place.port, scenario, seconds or self.seconds, self.warmup, rate) as load:
                load.wait_for(b"ready")
                counted = counted_by_weir(place.admin_port) if subject.has_metrics else 0
                memory = PeakMemory(process.pid)
                memory.start()
                window = Window(subject=process.pid, origin=origin.pid, load=load.process.pid)
                load.go_on()
                load.wait_for(b"done")
                cpu, machine = window.close()
                peak_pss = memory.stop()
                after = accounts.memory_kib(process.pid)
                load.go_on()
                result = load.result()
            mismatch = check_metrics(place.admin_port, counted, result) if subject.has_metrics else None
        return self.row(subject, connections, result, cpu, machine, mismatch,
                        {"idle": idle, "peak_pss": peak_pss, "after": after})

    def row(self, subject, connections, result, cpu, machine, mismatch, memory):
        requests = max(1, result["requests"])
        latency = result["latency_us"]
        row = {
            "subject": subject.name, "rps": result["rps"], "requests": result["requests"], "errors": result["errors"],
            "error_kinds": {kind: count for kind, count in result["error_kinds"].items() if count},
            "reconnects": result["reconnects"],
            "cpu_us": cpu["subject"]["ns"] / requests / 1e3, "user_part": cpu["subject"]["user_part"],
            "cpu_stat_us": cpu["subject"]["stat_ns"] / requests / 1e3,
            "origin_cpu_us": cpu["origin"]["ns"] / requests / 1e3, "load_cpu_us": cpu["load"]["ns"] / requests / 1e3,
            "p50_us": latency["p50"], "p90_us": latency["p90"], "p99_us": latency["p99"],
            "p999_us": latency["p99.9"], "max_us": latency["max"],
            "rss_mib": memory["after"]["peak"] / 1024, "pss_mib": memory["peak_pss"] / 1024,
            "kib_per_connection": (memory["peak_pss"] - memory["idle"]["pss"]) / connections,
            "machine": machine, "metrics_mismatch": mismatch,
        }
        if subject.name == "direct":  # there is no subject: the origin's cost is in its own column
            row["cpu_us"] = row["user_part"] = row["cpu_stat_us"] = row["kib_per_connection"] = None
        if result["errors"]:
            self.problems.append(f"{subject.name}: errors in the measured window: {row['error_kinds']}")
        if mismatch:
            self.problems.append(f"{subject.name}: {mismatch}")
        return row

    # ---- scenarios ----

    def all_rounds(self, name, scenario, rate=0.0):
        """Every subject once per round, the order turned by one each round, so that drift meets all of them alike."""
        rounds, order = [], self.able(scenario)
        for number in range(self.rounds):
            rows = {}
            for subject in order[number % len(order):] + order[:number % len(order)]:
                label = f"{name}: round {number + 1}/{self.rounds}: {subject.name}"
                with self.step(label) as say:
                    row = rows[subject.name] = self.measure(subject, scenario, rate)
                    cpu = f", {row['cpu_us']:.2f} us CPU/request" if row["cpu_us"] is not None else ""
                    say(f"{row['rps']:,.0f} req/s{cpu}" + (f", {row['errors']} ERRORS" if row["errors"] else ""))
            rounds.append(rows)
        return rounds

    def load_table(self, name, scenario, rate=0.0):
        rounds = self.all_rounds(name, scenario, rate or scenario.get("rate", 0.0))
        return {"rows": [self.median_row(subject.name, rounds, scenario["size"]) for subject in self.able(scenario)], "rounds": rounds}

    def able(self, scenario):
        """The subjects that can do what the scenario asks for."""
        return [subject for subject in self.chosen
                if (not scenario.get("respond_ms") or subject.can_delay()) and
                (not scenario.get("compose") or subject.can_compose())]

    def median_row(self, name, rounds, size=None):
        """Medians over the rounds; a ratio is the median of the ratios, each taken within its round."""
        rows = [one[name] for one in rounds]
        row = {"subject": name, "errors": sum(one["errors"] for one in rows),
               "others": max(one["machine"]["others"] + one["machine"]["stolen"] for one in rows),
               "mismatch": any(one["metrics_mismatch"] for one in rows)}
        for key in ("rps", "cpu_us", "user_part", "origin_cpu_us", "load_cpu_us", "p50_us", "p90_us", "p99_us", "p999_us",
                    "rss_mib", "pss_mib", "kib_per_connection"):
            values = [one[key] for one in rows if one[key] is not None]
            row[key] = statistics.median(values) if values else None
        row["gib_per_cpu_s"] = size / 2**30 * 1e6 / row["cpu_us"] if size and row["cpu_us"] else None
        for key, other, compare in (("cpu_ratio", "relay", lambda mine, base: mine["cpu_us"] / base["cpu_us"]),
                                    ("added_p99_us", "direct", lambda mine, base: mine["p99_us"] - base["p99_us"])):
            pairs = [(one[name], one[other]) for one in rounds if other in one and one[name]["cpu_us"] is not None]
            values = [compare(*pair) for pair in pairs]
            row[key] = statistics.median(values) if values else None
            row[f"{key}_range"] = [min(values), max(values)] if len(values) > 1 and other != name else None
        return row

    def rate_table(self, name, scenario):
        rate = self.options.rate
        if not rate:
            highest = []
            for subject in self.chosen:
                with self.step(f"{name}: what does {subject.name} carry") as say:
                    highest.append(self.measure(subject, scenario, seconds=1.0)["rps"])
                    say(f"{highest[-1]:,.0f} req/s")
            rate = float(round(min(highest) / 2, -2))
        return {"rate": rate, **self.load_table(f"{name} at {rate:,.0f} req/s", scenario, rate)}

    def slow_table(self, name, scenario):
        rows = []
        for subject in self.chosen:
            if subject.name in ("direct", "relay"):  # they wait for no head
                continue
            with self.step(f"{name}: {subject.name}") as say:
                rows.append(self.measure_slow(subject, scenario))
                say(f"p99 {rows[-1]['alone_p99_us']:,.0f} us alone, {rows[-1]['p99_us']:,.0f} us beside")
        return {"rows": rows}

    def measure_slow(self, subject, scenario):
        """The same rate of normal requests without and with slow senders, and what one of those costs in memory."""
        count = scenario["slow"]

        def normal(port):
            with Load(port, scenario, self.seconds, 0.5, rate=scenario["rate"]) as load:
                for word in (b"ready", b"done"):
                    load.wait_for(word)
                    load.go_on()
                return load.result()

        with self.serving(subject, count + 1000, scenario["path"], scenario["size"]) as (place, process, _):
            alone = normal(place.port)
            before = accounts.memory_kib(process.pid)
            command = [os.path.join(BUILD, "slow"), "-p", str(place.port), "-c", str(count)]
            with subjects.Process(command, os.path.join(BUILD, "slow.log"), stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE) as slow:
                if slow.popen.stdout.readline().strip() != b"ready":
                    raise RuntimeError(f"the slow senders failed: {slow.explain()}")
                after = accounts.memory_kib(process.pid)
                beside = normal(place.port)
        return {"subject": subject.name, "errors": alone["errors"] + beside["errors"],
                "alone_p99_us": alone["latency_us"]["p99"], "p99_us": beside["latency_us"]["p99"],
                "p99_ratio": beside["latency_us"]["p99"] / alone["latency_us"]["p99"],
                "kib_per_connection": (after["pss"] - before["pss"]) / count}

    def idle_table(self, name, scenario):
        rows = []
        for subject in self.chosen:
            if subject.name == "direct":
                continue
            with self.step(f"{name}: {subject.name}") as say:
                rows.append(self.measure_idle(subject, scenario))
                say(f"{rows[-1]['kib_per_connection']:.2f} KiB a connection")
        return {"rows": rows}

    def measure_idle(self, subject, scenario):
        """The requests come one after the other (a rate): what is measured is the connections, not a burst's buffers."""
        count = scenario["connections"]
        with self.serving(subject, count, scenario["path"], scenario["size"]) as (place, process, _):
            time.sleep(0.3)
            before = accounts.memory_kib(process.pid)
            with Load(place.port, scenario, count / 2000, 0, rate=2000, requests=count) as load:
                load.wait_for(b"ready")
                load.go_on()
                load.wait_for(b"done")
                time.sleep(1)
                after = accounts.memory_kib(process.pid)
                load.go_on()
                result = load.result()
        if result["errors"]:
            self.problems.append(f"{subject.name}: errors while opening idle connections: {result['error_kinds']}")
        return {"subject": subject.name, "errors": result["errors"], "before_mib": before["pss"] / 1024,
                "after_mib": after["pss"] / 1024, "kib_per_connection": (after["pss"] - before["pss"]) / count}

    def start_table(self, name, _scenario):
        rows = []
        for subject in self.chosen:
            if subject.name == "relay":  # answers nothing by itself
                continue
            with self.step(f"{name}: {subject.name}") as say:
                rows.append(self.measure_start(subject))
                say(f"{rows[-1]['start_ms']:.1f} ms")
        return {"rows": rows}

    def measure_start(self, subject):
        place = subjects.Place(os.path.join(BUILD, "run", subject.name), 0, 64, respond=True)
        starts = self.start_times(subject, place)
        with self.serving(subject, 64, respond=True) as (_, process, _origin):
            time.sleep(0.3)
            idle = accounts.memory_kib(process.pid)
        return {"subject": subject.name, "start_ms": statistics.median(starts), "start_min_ms": min(starts),
                "start_max_ms": max(starts), "starts": starts, "idle_rss_mib": idle["rss"] / 1024,
                "idle_pss_mib": idle["pss"] / 1024, "stripped_mib": self.stripped_mib(subject)}

    def start_times(self, subject, place):
        """The first start reads files that the later ones find in memory: it is left out."""
        command = [os.path.join(BUILD, "start"), "-p", str(place.port), "-n", str(STARTS + 1), *subject.command(place)]
        with subjects.Process(command, os.path.join(BUILD, "start.log")) as process:
            if process.popen.wait(120) != 0:
                raise RuntimeError(process.explain())
            return [float(line) for line in accounts.read(process.log).split()][1:]

    def stripped_mib(self, subject):
        path = subject.binary()
        stripped = os.path.join(BUILD, f"{subject.name}.stripped")
        if not path or not shutil.which("strip"):
            return None
        if subprocess.run(["strip", "-o", stripped, path], stderr=subprocess.DEVNULL, check=False).returncode != 0:
            return None  # a script, say
        return os.path.getsize(stripped) / 2**20

    def micro_table(self, name, _scenario):
        """A micro benchmark prints a JSON object a line, {"name": ..., "value": ..., "unit": ...}, or text for people."""
        rows, text = [], []
        for program in build_micros():
            with self.step(f"{name}: {program}") as say:
                done = subprocess.run([os.path.join(BUILD, program)], check=True, stdout=subprocess.PIPE, timeout=300)
                for line in done.stdout.decode().splitlines():
                    if line.startswith("{"):
                        rows.append(json.loads(line))
                    else:
                        text.append(line)
                say("done")
        return {"rows": rows, "text": text}

    def run(self, names):
        tables = []
        makers = {"load": self.load_table, "rate": self.rate_table, "idle": self.idle_table, "slow": self.slow_table,
                  "start": self.start_table, "micro": self.micro_table}
        failing = faults.Faults(self, Load, BUILD)
        if failing.weir:
            makers |= {"flapping": failing.flapping_table, "slow_endpoint": failing.slow_endpoint_table,
                       "reloads": failing.reloads_table, "ingest": ingest.Ingest(self, Load, BUILD).table}
        names = [name for name in names if SCENARIOS[name]["kind"] in makers]
        for name in names:
            scenario = SCENARIOS[name]
            table = makers[scenario["kind"]](name, scenario)
            tables.append({"scenario": name, "kind": scenario["kind"], "about": scenario["about"], **table})
        return tables

    @contextlib.contextmanager
    def step(self, label):
        """A progress line: what is being done now, then how it went."""
        print(f"    {label} ... ", end="", flush=True)
        try:
            yield lambda text: print(text, flush=True)
        except BaseException:
            print("stopped", flush=True)
            raise


# ---- set-up ----

def compile_programs():
    """Each from its own sources, when one of them or the shared header is newer."""
    os.makedirs(BUILD, exist_ok=True)
    shared = os.path.join(BENCH, "common.h")
    for name, sources in PROGRAMS.items():
        target = os.path.join(BUILD, name)
        newest = max(map(os.path.getmtime, [*sources, shared]))
        if os.path.exists(target) and os.path.getmtime(target) >= newest:
            continue
        print(f"    compiling {name}")
        subprocess.run([os.environ.get("CC", "cc"), *CFLAGS, *sources, "-o", target], check=True)


def simdjson():
    """What micro_json is compiled with to stand beside simdjson; nothing where that is not installed."""
    target = os.path.join(BUILD, "peer_simdjson.o")
    compiler = os.environ.get("CXX", "c++")
    if not shutil.which(compiler) or not os.path.exists("/usr/include/simdjson.h"):
        print("    simdjson is not here (packages libsimdjson-dev, g++): weir's JSON is measured alone")
        return []
    done = subprocess.run([compiler, "-O2", "-c", os.path.join(BENCH, "peer_simdjson.cc"), "-o", target], check=False)
    if done.returncode:
        return []
    return ["-DPEER_SIMDJSON", target, "-lsimdjson", "-lstdc++"]


def build_micros():
    """Always anew: which of weir's many headers they depend on is the build's business, and it takes a second."""
    built = []
    for name, patterns in MICROS.items():
        source = os.path.join(BENCH, f"{name}.c")
        if not os.path.exists(source):
            continue
        parts = [path for pattern in patterns for path in sorted(glob.glob(os.path.join(ROOT, pattern)))]
        print(f"    compiling bench/{name}.c")
        command = [os.environ.get("CC", "cc"), *CFLAGS, f"-I{ROOT}/src", source, *parts, *(simdjson() if name == "micro_json" else []), "-lm",
                   "-lyaml", "-lcares", "-ffunction-sections", "-Wl,--gc-sections,--as-needed", "-o", os.path.join(BUILD, name)]
        done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            print(f"    {name}: skipped, it does not compile: {done.stderr.decode(errors='replace').strip()[:500]}")
        else:
            built.append(name)
    return built


def parse_arguments():
    def names_of(known, special=()):
        def parse(text):
            names = [name for name in text.split(",") if name]
            for name in names:
                if name not in known and name not in special:
                    raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join([*known, *special])}")
            return names
        return parse

    known_subjects = subjects.all_subjects("", "")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", type=names_of(SCENARIOS, ["all"]), default=["1k", "50k", "start", "micro"],
                        metavar="NAME,...", help=f"of {', '.join(SCENARIOS)}, all; default: 1k,50k,start,micro")
    parser.add_argument("--subjects", type=names_of(known_subjects), default=list(known_subjects),
                        metavar="NAME,...", help=f"of {', '.join(known_subjects)}; default: all")
    parser.add_argument("--quick", action="store_true", help="one round of 2 seconds: a smoke test, not a result")
    parser.add_argument("--rounds", type=int, help="default 3")
    parser.add_argument("--seconds", type=float, help="length of a window; default 5")
    parser.add_argument("--rate", type=float, default=0.0, help="requests/s for `latency`, instead of half of the slowest")
    parser.add_argument("--flaps", type=int, help="of `flapping`; default 60, a thousand take 33 minutes")
    parser.add_argument("--reloads", type=int, help="of `reloads`; default 1000")
    parser.add_argument("--weir", default=os.path.join(ROOT, "build", "weir"), metavar="FILE", help="the binary to measure")
    parser.add_argument("--keep", action="store_true", help="also keep the results in bench/results/, to be committed")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/benchmarks.md; implies --keep")
    parser.add_argument("--from", dest="source", metavar="FILE", help="show a stored result instead of measuring")
    return parser.parse_args()


def present(options):
    """The chosen subjects that can run here; the others each get a line."""
    known = subjects.all_subjects(BUILD, os.path.abspath(options.weir))
    found = []
    for name in options.subjects:
        reason = known[name].missing()
        if reason:
            print(f"    {name}: {reason}")
        else:
            found.append(known[name])
    return found


def raise_file_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def measure(options):
    compile_programs()
    raise_file_limit()
    bench = Bench(options, present(options))
    if not bench.chosen:
        sys.exit("bench: no subject is there")
    names = list(SCENARIOS) if "all" in options.scenario else options.scenario
    versions = {subject.name: subject.version() for subject in bench.chosen if subject.version()}
    results = {"date": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
               "machine": {**accounts.facts(ROOT), "versions": versions},
               "options": {"rounds": bench.rounds, "seconds": bench.seconds, "warmup": bench.warmup}}
    results["tables"] = bench.run(names)
    results["problems"] = bench.problems
    return results


def store(results, options):
    name = time.strftime("results-%Y%m%d-%H%M%S.json", time.gmtime())
    folders = [BUILD] + ([os.path.join(BENCH, "results")] if options.keep or options.write_docs else [])
    for folder in folders:
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
            file.write("\n")
        print(f"results: {os.path.relpath(os.path.join(folder, name), ROOT)}")


def main():
    options = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.source:
        with open(options.source, encoding="utf-8") as file:
            results = json.load(file)
    else:
        results = measure(options)
    print("\n" + report.text(results))
    if not options.source:
        store(results, options)
    if options.write_docs:
        report.write_docs(DOCS, results)
        print(f"written: {os.path.relpath(DOCS, ROOT)}")
    if results["problems"]:
        sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nbench: interrupted; everything it started is stopped")
    except (RuntimeError, subprocess.SubprocessError) as problem:
        sys.exit(f"bench: {problem}")
