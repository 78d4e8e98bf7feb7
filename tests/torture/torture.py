"""Fails every n-th allocation, or every n-th system call, of weir, in each of the scenes of scenarios.py.

    torture.py alloc  [--shallow N] [--seed S] [--seconds T] [--io IO] [-j J] [SCENE ...]
    torture.py calls  ...
    torture.py strace ...        a sample on a binary without sanitizers, by strace -e inject
    torture.py alloc get --only 123            one case again, as the report of a failure says it

Without --shallow every case is run; with it so many that are drawn by the seed, until the seconds are over. A case is a start
of weir, the scene, a good request at the end (faults pass, so it must be answered), TERM, and the end: exit 0, no word of a
sanitizer, nothing in flight. A weir that cannot start because of the fault must say so and end with 1."""
import argparse
import concurrent.futures
import errno
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))

from harness import SANITIZER_MARKS, WEIR_BIN, Weir, free_port  # noqa: E402
from origin import Origin  # noqa: E402
from scenarios import SCENES, Stage, Wrong, answer  # noqa: E402

START_LIMIT = 40  # seconds; far more than needed, for machines are busy
STOP_LIMIT = 60
NEVER = 1 << 60  # an allocation that is counted up to and never comes

# The calls, and how they fail. Those of the start are here as well: weir must then end with a word about it.
PAIRS = {
    "accept4": "EMFILE ENFILE ECONNABORTED ENOMEM ENOBUFS EINTR EPROTO",
    "recv": "ECONNRESET EINTR ENOMEM ETIMEDOUT EHOSTUNREACH",
    "send": "EPIPE ECONNRESET ENOBUFS EINTR ENOMEM ETIMEDOUT",
    "sendmsg": "EPIPE ECONNRESET ENOBUFS EINTR ENOMEM",
    "connect": "ECONNREFUSED EADDRNOTAVAIL ETIMEDOUT ENETUNREACH EHOSTUNREACH EAGAIN ECONNRESET",
    "socket": "EMFILE ENFILE ENOBUFS ENOMEM",
    "setsockopt": "ENOPROTOOPT ENOMEM",
    "getsockopt": "ENOBUFS",
    "shutdown": "ENOTCONN",
    "epoll_ctl": "ENOMEM ENOSPC",
    "epoll_wait": "EINTR",
    "epoll_create1": "EMFILE",
    "eventfd": "EMFILE",
    "signalfd": "EMFILE",
    "bind": "EADDRINUSE EACCES",
    "listen": "EADDRINUSE",
    "mmap": "ENOMEM",
    "madvise": "ENOMEM",
    "mprotect": "ENOMEM",
    "open": "EMFILE ENOENT EACCES",
    "read": "EINTR EIO",
    "write": "EINTR ENOSPC EPIPE",
    "writev": "EINTR ENOSPC EPIPE",
    "pthread_create": "EAGAIN",
    "io_uring_queue_init_params": "EPERM ENOSYS ENOMEM EMFILE",
    "io_uring_register_buf_ring": "ENOMEM EINVAL",
    "io_uring_register_ring_fd": "ENOMEM",
    "io_uring_submit_and_wait_timeout": "EINTR EAGAIN EBUSY",
    "pipe2": "EMFILE ENFILE",
    "splice": "ECONNRESET EPIPE EINTR ENOMEM EINVAL",
}
IN_A_ROW = 5  # calls that fail one after the other, for some positions
POSITIONS = 25  # of each call: the first so many, and for allocations all
STRACE_PAIRS = [("accept4", "EMFILE"), ("recvfrom", "ECONNRESET"), ("sendto", "EPIPE"), ("connect", "EADDRNOTAVAIL"),
                ("socket", "EMFILE"), ("epoll_ctl", "ENOSPC"), ("epoll_wait", "EINTR"), ("mmap", "ENOMEM"),
                ("openat", "EMFILE"), ("clone3", "EAGAIN")]

LOADER = {"mmap": 32, "openat": 8}  # calls before weir's own


class Failure(Exception):
    """What a case has shown."""


def config(origins, nobody, io):
    up = {"connect_timeout": "2s", "timeout": "5s"}
    return {
        "workers": 2,
        "io": io,
        "use": ["request_id", "access_log"],
        "middleware": {"access_log": {"access_log": {"path": "ACCESS_LOG"}}},
        "upstreams": {
            "origin": {"endpoints": [o.url for o in origins], **up},
            "nobody": {"endpoints": [f"http://127.0.0.1:{nobody}"], **up},
            "named": {"endpoints": [f"http://localhost:{nobody}"], **up},
        },
        "stores": {"main": {"sqlite": "STORE"}},
        "tables": {"rows": {"from": {"upstream": "origin", "path": "/json/rows"}, "rows": "$.rows", "key": "id", "refresh": "100ms"}},
        "routes": [
            {"match": {"path": "/*", "methods": ["GET", "HEAD", "POST"]}, "proxy": {"upstream": "origin"}},
            {"match": {"path": "/more/*"}, "max_body": "unlimited",
             "proxy": {"upstream": "origin", "upgrade": ["echo"], "trailers": ["x-checksum"]}},
            {"match": {"path": "/hang"}, "deadline": "300ms", "proxy": {"upstream": "origin"}},
            {"match": {"path": "/refused/*"}, "proxy": {"upstream": "nobody", "strip_prefix": "/refused"}},
            {"match": {"path": "/named/*"}, "proxy": {"upstream": "named"}},
            {"match": {"path": "/aggregate/{id}"}, "aggregate": {
                "report": "degraded",
                "calls": {
                    "doc": {"upstream": "origin", "path": "/json/{id}"},
                    "lines": {"upstream": "origin", "path": "/json/{line}", "each": {"in": "$doc.list", "as": "line", "max": 3}},
                    "late": {"upstream": "origin", "path": "/hang/{id}", "need": "weak", "timeout": "50ms", "default": "none"},
                    "extra": {"upstream": "origin", "path": "/json/extra", "need": "weak", "stale": "1h"},
                    "audit": {"upstream": "origin", "method": "POST", "path": "/json/audit", "body": {"of": "$doc.id"}, "need": "async"}},
                "response": {"id": "$doc.id", "lines": {"$each": "$lines", "$as": "l", "$do": "{l.id}!"}, "late": "$late",
                             "extra": "$extra.id", "row": "$tables.rows[id].name"}}},
            {"match": {"path": "/transform/{id}", "methods": ["POST"]}, "proxy": {
                "upstream": "origin", "strip_prefix": "/transform", "add_prefix": "/json",
                "transform": {"request": {"in": "$request.body.a"}, "response": {"out": "$response.id", "status": "$status"}}}},
            {"match": {"path": "/alerts"}, "ingest": {"format": "alertmanager"}},
            {"match": {"path": "/events"}, "ingest": {"format": "json", "table": "events", "key": ["id"], "types": {"of": "json"},
                                                      "columns": {"id": "$item.id", "of": {"all": "$item"}, "q": "{request.query.q}"}}},
            {"match": {"path": "/own/json"}, "respond": {"status": 201, "json": {"hello": "world"}}},
            {"match": {"path": "/own/hello", "methods": ["GET"]}, "respond": {"body": "hello"}},
        ],
    }


def preloaded():
    """The library of faults.c, built once."""
    directory = os.path.join(os.path.dirname(WEIR_BIN), "torture")
    os.makedirs(directory, exist_ok=True)
    library = os.path.join(directory, "faults.so")
    source = os.path.join(HERE, "faults.c")
    if not os.path.exists(library) or os.path.getmtime(library) < os.path.getmtime(source):
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, source, "-ldl"], check=True)
    return library


class Case:
    """One start of weir. `fault` is None, or what of it fails."""

    def __init__(self, mode, io, scene, fault):
        self.mode, self.io, self.scene, self.fault = mode, io, scene, fault
        self.stderr = self.trace = ""
        self.started = True
        self.whole = False  # went to its end

    def __str__(self):
        return f"{self.mode} --io {self.io} {self.scene.__name__} --only {self.fault}"

    def environment(self):
        env = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=1:strict_string_checks=1:verify_asan_link_order=0"}
        if self.mode == "alloc":
            env["WEIR_FAIL_ALLOC"] = str(self.fault or NEVER)
        elif self.mode == "calls":
            env["LD_PRELOAD"] = preloaded()
            env["WEIR_FAIL_CALL"] = self.fault or "count"
        return env

    def run(self, origins):
        with tempfile.TemporaryDirectory(prefix="weir-torture-") as directory:
            weir = Weir(directory, "weir", {})
            given = config(origins, free_port(), self.io)
            given["stores"]["main"]["sqlite"] = os.path.join(directory, "store.db")
            given["middleware"]["access_log"]["access_log"]["path"] = os.path.join(directory, "access.log")
            weir.given = given
            weir.write(given)
            try:
                self.play(weir)
            finally:
                if weir.process and weir.process.poll() is None:
                    weir.process.kill()
                    weir.process.wait()
                self.stderr = weir.stderr()
                if self.mode == "strace" and self.fault:
                    with open(os.path.join(directory, "trace"), encoding="utf-8", errors="replace") as f:
                        self.trace = f.read()

    def spawn(self, weir):
        if self.mode != "strace" or not self.fault:
            weir.start(ready=False, env=self.environment())
            return
        call, error, n = self.fault.split(":")
        command = ["strace", "-f", "-D", "-o", os.path.join(weir.directory, "trace"), "-e", f"trace={call}", "-e",
                   f"inject={call}:error={error}:when={n}", WEIR_BIN, "run", "-c", weir.config_file]
        Weir.spawn(weir, command)

    def play(self, weir):
        self.spawn(weir)
        if not self.serves(weir):
            self.started = False
            status = weir.wait(STOP_LIMIT)
            self.clean(weir)
            by_the_loader = status == 127 and "error while loading shared libraries" in weir.stderr()  # before main
            if not by_the_loader and (status != 1 or len(weir.stderr()) < 10):
                raise Failure(f"it did not start, and ended with {status}: {weir.stderr()!r}")
            if not self.fault:
                raise Failure(f"it does not start without a fault: {weir.stderr()}")
            return
        stage = Stage(weir, strict=not self.fault)
        self.scene(stage)
        if weir.process.poll() is None and self.scene.__name__ != "drain":
            self.still_well(weir)
            weir.term()
        status = weir.wait(STOP_LIMIT)
        self.clean(weir)
        if status != 0:
            raise Failure(f"it ended with {status}")
        if "cut off" in weir.stderr():
            raise Failure("something stayed in flight")
        self.whole = True

    def serves(self, weir):
        """False when it has ended."""
        until = time.monotonic() + START_LIMIT
        while time.monotonic() < until:
            if " serves on " in weir.stderr():
                return True
            if weir.process.poll() is not None:
                return False
            time.sleep(0.005)
            if time.monotonic() > until - START_LIMIT + 5:  # the line itself may be what failed
                try:
                    weir.connect().close()
                    return True
                except OSError:
                    pass
        raise Failure("it neither serves nor ends")

    def still_well(self, weir):
        """The fault is over, so that good requests are answered; it may be this one that meets it."""
        last = 2 * IN_A_ROW + 2
        for attempt in range(last + 1):
            try:
                stage = Stage(weir, strict=attempt == last)
                response = stage.ask("/well")
                if response and response.status == 200:
                    return
            except Wrong as e:
                if attempt == last:
                    raise Failure(f"it does not recover: {e}") from None

    @staticmethod
    def clean(weir):
        for mark in SANITIZER_MARKS:
            if mark in weir.stderr():
                raise Failure(mark)

    def injected(self):
        """Whether the fault happened."""
        if self.mode == "strace":
            return "(INJECTED)" in self.trace
        found = re.search(r"made to fail: (\d+)|faults: (\d+) injected", self.stderr)
        return bool(found and int(found[1] or found[2]))

    def counted(self):
        """By name, how often what can fail was called."""
        if self.mode == "alloc":
            return {"alloc": int(re.search(r"weir: allocations: (\d+)", self.stderr)[1])}
        line = re.search(r"faults: \d+ injected;(.*)", self.stderr)[1].split()
        return {name: int(n) for name, n in zip(line[::2], line[1::2])}


class Torture:
    def __init__(self, options):
        self.options = options
        self.origins = [Origin(answer), Origin(answer)]
        self.passed = self.failed = self.injected = self.not_started = 0
        self.lock = threading.Lock()
        self.until = time.monotonic() + (options.seconds or 1e9)

    def run(self, mode, scene, fault):
        case = Case(mode, self.options.io, scene, fault)
        if time.monotonic() > self.until or self.failed >= 20:
            return None
        why = None
        try:
            case.run(self.origins)
        except (Failure, Wrong, AssertionError) as e:
            why = str(e)
        except Exception:  # a fault of the test itself must not pass for a good case
            why = traceback.format_exc()
        with self.lock:
            self.injected += bool(fault) and case.injected()
            self.not_started += not case.started
            if why:
                self.failed += 1
                print(f"FAIL torture.py {case}\n    {why}\n    " + "\n    ".join(case.stderr.splitlines()[-25:]), flush=True)
            else:
                self.passed += 1
                if (self.passed + self.failed) % 500 == 0:
                    print(f"    {self.passed + self.failed} cases, {self.failed} failed", flush=True)
        return case

    def faults(self, mode, scene, base):
        """All faults that a scene can meet."""
        if mode == "strace":
            return [f"{call}:{error}:{LOADER.get(call, 0) + n}" for call, error in STRACE_PAIRS for n in range(1, 13)]
        case = self.run(mode, scene, None)
        if case is None or not case.whole:
            return []
        counts = case.counted()
        if mode == "alloc": # those of the start are the same in all scenes
            n = 1 if scene.__name__ == "nothing" else max(1, base.get("alloc", 0) - 60)
            return [str(n) for n in range(n, counts["alloc"] + 1)]
        out = ["buffers:0:1"]
        for call, errors in PAIRS.items():
            # the first ones are those of the start, and the same in all scenes
            have, start = counts.get(call, 0), base.get(call, 0)
            positions = range(1, min(have, POSITIONS) + 1) if scene.__name__ == "nothing" else range(
                max(1, start - 3), min(have, start + POSITIONS) + 1)
            out += [f"{call}:{getattr(errno, e)}:{n}" for e in errors.split() for n in positions]
            out += [f"{call}:{getattr(errno, e)}:{n}:{IN_A_ROW}" for e in errors.split() for n in positions[::5]]
        return out

    def cases(self):
        options = self.options
        scenes = [s for s in SCENES if not options.scenes or s.__name__ in options.scenes]
        if options.only:
            return [(scenes[0], options.only)]
        base = {}
        if options.mode != "strace":
            first = self.run(options.mode, SCENES[0], None)
            base = first.counted() if first and first.whole else {}
        if options.shallow:  # counting all scenes would take the time
            random.Random(options.seed).shuffle(scenes)
            scenes = scenes[:max(3, options.shallow // 12)]
        cases = [(s, f) for s in scenes for f in self.faults(options.mode, s, base)]
        random.Random(options.seed).shuffle(cases)
        return cases[:options.shallow] if options.shallow else cases

    def all(self):
        cases = self.cases()
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            list(pool.map(lambda c: self.run(self.options.mode, *c), cases))
        for origin in self.origins:
            origin.stop()
        print(f"torture_{self.options.mode} ({self.options.io}): {self.passed} passed, {self.failed} failed; of {len(cases)} cases, seed "
              f"{self.options.seed}; {self.injected} faults happened, {self.not_started} kept weir from starting")
        if not self.injected:
            print("FAIL no fault happened")
        return 0 if self.injected and not self.failed else 1


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("mode", choices=["alloc", "calls", "strace"])
    p.add_argument("scenes", nargs="*")
    p.add_argument("--shallow", type=int, metavar="N", help="so many cases, drawn by the seed")
    p.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    p.add_argument("--seconds", type=float, help="no case begins after that")
    p.add_argument("--only", help="this fault alone, as a failure names it")
    p.add_argument("--io", choices=["epoll", "uring"], default="epoll", help="the back end")
    p.add_argument("-j", "--jobs", type=int, default=os.cpu_count())
    options = p.parse_intermixed_args()
    if not os.access(WEIR_BIN, os.X_OK):
        sys.exit(f"there is no program {WEIR_BIN}: build it, or set WEIR_BIN")
    if options.mode == "strace" and not shutil.which("strace"):
        sys.exit("strace is not installed")
    sys.exit(Torture(options).all())


if __name__ == "__main__":
    main()
