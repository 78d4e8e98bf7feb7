#!/usr/bin/python3
"""What was acknowledged is there, whatever is killed: posts alerts to weir, notes every acknowledged one in a file of its own, kills, starts
again and looks. See --help."""
import argparse
import http.client
import json
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))

from databases import PostgresServer, Sqlite, available  # noqa: E402
from harness import WEIR_BIN, free_port  # noqa: E402
from wire import wait_until  # noqa: E402

THREADS = 8
ALERTS = 5


class Acknowledged:
    """A file with a line for each post that was answered with 200, synced before the sender goes on."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="ascii")  # noqa: SIM115
        self.path = path
        self.lock = threading.Lock()
        self.count = 0

    def note(self, key):
        with self.lock:
            self.file.write(key + "\n")
            self.file.flush()
            os.fdatasync(self.file.fileno())
            self.count += 1

    def keys(self):
        with open(self.path, encoding="ascii") as f:
            return f.read().split()


class Weir:
    def __init__(self, directory, database, preload=None, lies=False):
        self.port, self.admin = free_port(), free_port()
        self.config = os.path.join(directory, "weir.json")
        self.log = os.path.join(directory, "weir.log")
        self.env = dict(os.environ)
        if preload:
            self.env["LD_PRELOAD"] = preload
        if lies:
            self.env["POWERCUT_NO_SYNC"] = "1"
        with open(self.config, "w", encoding="ascii") as f:
            json.dump({"version": 1, "workers": 2, "listen": [{"addr": f"127.0.0.1:{self.port}"}], "admin": {"addr": f"127.0.0.1:{self.admin}"},
                       "stores": {"main": database.config()},
                       "routes": [{"match": {"path": "/hook"}, "ingest": {"format": "alertmanager"}}]}, f)

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([WEIR_BIN, "run", "-c", self.config], stdout=log, stderr=log, env=self.env)
        wait_until(self.answers, "weir is ready")

    def answers(self):
        if self.process.poll() is not None:
            sys.exit(f"weir ended by itself ({self.process.returncode}): see {self.log}")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=5)
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
            connection.close()
            return 'weir_store_up{store="main"' in text and any(
                line.startswith("weir_store_up{") and line.endswith(" 1") for line in text.splitlines())
        except OSError:
            return False

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self):
        self.process.terminate()
        if self.process.wait() != 0:
            sys.exit(f"weir did not end well: see {self.log}")


def webhook(key):
    return json.dumps({"version": "4", "groupKey": key, "receiver": "r", "externalURL": "http://a", "alerts": [
        {"status": "firing", "labels": {"alertname": "A", "key": key, "n": str(n)}, "annotations": {"summary": "x" * 100},
         "startsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://p"}
        for n in range(ALERTS)]})


def pour(weir, prefix, stop, acknowledged):
    """New alerts until told to stop, on a connection that is made again when it goes."""
    connection, n = None, 0
    while not stop.is_set():
        key = f"{prefix}-{n}"
        n += 1
        try:
            connection = connection or http.client.HTTPConnection("127.0.0.1", weir.port, timeout=30)
            connection.request("POST", "/hook", webhook(key), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                acknowledged.note(key)
            elif answer.status not in (503, 504):
                sys.exit(f"an answer that no alert gets: {answer.status}")
        except (OSError, http.client.HTTPException):
            connection = None


def stored(database):
    """How many alerts of each key are there."""
    path = "json_extract(labels, '$.key')" if database.kind == "sqlite" else "labels->>'key'"
    return {row["key"]: row["n"] for row in database.rows(f"SELECT {path} AS key, count(*) AS n FROM alerts GROUP BY 1")}


def look(database, acknowledged):
    try:
        there = stored(database)
    except sqlite3.DatabaseError as error:  # where syncs were lies, the table itself may be lost, or the file damaged
        there = {}
        print(f" ({error})", end="")
    return compare(there, acknowledged)


def compare(there, acknowledged):
    """The keys that were acknowledged and are not there whole; and those of which a part is there."""
    lost = [key for key in acknowledged.keys() if there.get(key) != ALERTS]
    torn = [key for key, n in there.items() if n != ALERTS]
    return lost, torn


def cut(path, rng):
    """Puts back what was written after a point behind the last sync: all of it, or what a disk may have lost."""
    for name in (path + "-wal", path):
        undo = name + ".undo"
        if not os.path.exists(undo):
            continue
        with open(undo, "rb") as f:
            data = f.read()
        notes, at = [], 0
        while at + 24 <= len(data):
            offset, length, size = struct.unpack_from("<qqq", data, at)
            if at + 24 + length > len(data):
                break
            notes.append((offset, size, data[at + 24:at + 24 + length]))
            at += 24 + length
        keep = rng.choice([0, rng.randrange(len(notes) + 1)])
        if os.path.exists(name):
            with open(name, "r+b") as f:
                for offset, size, old in reversed(notes[keep:]):
                    f.seek(offset)
                    f.write(old)
                    f.truncate(size)
        os.unlink(undo)
    for name in (path + "-shm",):
        if os.path.exists(name):
            os.unlink(name)


def powercut_library(directory):
    library = os.path.join(directory, "powercut.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-o", library, os.path.join(HERE, "powercut.c"), "-ldl", "-lpthread"],
                   check=True)
    return library


class Trial:
    """Cycles of one kind over one database."""

    def __init__(self, kind, directory, rng, posts):
        self.kind, self.rng, self.posts = kind, rng, posts
        self.directory = os.path.join(directory, kind)
        os.makedirs(self.directory)
        os.chmod(directory, 0o755)
        self.server = None
        if kind == "postgres":
            self.server = PostgresServer(self.directory).start()
        self.database = self.server.database() if self.server else Sqlite(self.directory)
        preload = powercut_library(self.directory) if kind in ("powercut", "control") else None
        self.weir = Weir(self.directory, self.database, preload, lies=kind == "control")
        self.acknowledged = Acknowledged(os.path.join(self.directory, "acknowledged"))

    def cycle(self, number):
        self.weir.start()
        stop, before = threading.Event(), self.acknowledged.count
        threads = [threading.Thread(target=pour, args=[self.weir, f"{number}-{i}", stop, self.acknowledged]) for i in range(THREADS)]
        [t.start() for t in threads]
        wait_until(lambda: self.acknowledged.count >= before + self.posts, f"{self.posts} posts are acknowledged")
        time.sleep(self.rng.random() * 0.3)
        of_server = self.server and number % 2
        if of_server:
            self.server.end(signal.SIGQUIT)  # pg_ctl stop -m immediate: no checkpoint, recovery from the log
        else:
            self.weir.kill()
        if of_server:
            time.sleep(self.rng.random() * 0.1)
        stop.set()
        [t.join() for t in threads]
        if of_server:
            self.weir.kill()
            self.server.start()
        if self.kind in ("powercut", "control"):
            cut(self.database.path, self.rng)
        return self.acknowledged.count - before

    def finish(self):
        """Whether weir comes up again over what is left."""
        self.weir.start()
        self.weir.end()

    def close(self):
        if self.server:
            self.server.finish()


def run(kind, cycles, directory, rng, posts):
    trial = Trial(kind, directory, rng, posts)
    began, lost, torn = time.monotonic(), [], []
    try:
        for number in range(cycles):
            trial.cycle(number)
            lost, torn = look(trial.database, trial.acknowledged)
            print(f"\r    {kind}: cycle {number + 1} of {cycles}, {trial.acknowledged.count} posts acknowledged, {len(lost)} lost", end="", flush=True)
            if lost or torn:
                break
        if kind != "control":
            trial.finish()
    finally:
        trial.close()
    print(f" ({time.monotonic() - began:.0f} s)")
    if torn:
        print(f"    {kind}: posts of which a part is there: {torn[:5]}")
    if kind == "control":
        return bool(lost)
    return not lost and not torn


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=["sqlite", "powercut", "control", "postgres"],
                        help="sqlite: kill -9 of weir; powercut: and what was not synced is lost; control: and syncs are lies, so that some must be "
                             "lost, or the others prove nothing; postgres: kill -9 of weir, and of the server (immediate), in turn")
    parser.add_argument("--cycles", type=int, default=5)
    parser.add_argument("--posts", type=int, default=200, help="acknowledged before a kill, at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave the files for a look")
    options = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="weir-crash-")
    failed, passed = [], 0
    for kind in options.kinds:
        if kind == "postgres" and not available():
            print("    postgres: left out, it is not installed")
            continue
        good = run(kind, 1 if kind == "control" else options.cycles, directory, random.Random(options.seed), options.posts)
        passed += good
        failed += [] if good else [kind]
    if options.keep or failed:
        print(f"    files: {directory}")
    else:
        shutil.rmtree(directory)
    print(f"crash: {passed} passed, {len(failed)} failed{': ' + ', '.join(failed) if failed else ''}; seed {options.seed}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
