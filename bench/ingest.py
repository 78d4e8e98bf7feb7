"""Webhooks of Alertmanager, five new alerts each, into SQLite and PostgreSQL; all of it (weir, the database, the load) on this machine. Only
weir: what is asked of it is in docs/benchmarks.md."""

import contextlib
import os
import pathlib
import shutil
import sys
import time

import accounts
import subjects

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "integration"))
import databases  # noqa: E402

CONFIG = """\
version: 1
log: {{level: warn}}
listen:
  - addr: "127.0.0.1:{port}"
admin: {{addr: "127.0.0.1:{admin_port}"}}
limits: {{max_connections: 20000, max_in_flight: 20000}}
stores:
  main: {store}
routes:
  - match: {{path: /hook}}
    ingest: {{format: alertmanager, max_waiting: 20000}}
"""
# label, connections, posts a second (0: as many as go)
LOADS = [("64 connections", 64, 0), ("10,000/s", 64, 10000), ("5,000/s", 64, 5000), ("one connection", 1, 0),
         ("10,000 connections", 10000, 0)]


def age(connection):
    """A server that has run for a while has files of the write-ahead log to use again; a new one makes and syncs each, 16 MiB, as it goes."""
    cursor = connection.cursor()
    for _ in range(64):  # max_wal_size: 1 GB
        cursor.execute("SELECT pg_logical_emit_message(false, 'bench', 'x')")
        cursor.execute("SELECT pg_switch_wal()")
    cursor.execute("CHECKPOINT")
    connection.close()


class Ingest:
    def __init__(self, bench, load, build):
        self.bench, self.load, self.build = bench, load, build
        self.weir = next(iter(subject for subject in bench.chosen if subject.name == "weir"), None)

    @contextlib.contextmanager
    def database(self, kind, folder):
        if kind == "sqlite":
            yield f"{{sqlite: {folder}/weir.db}}"
            return
        server = databases.PostgresServer(folder).start()
        try:
            age(server.connect("postgres"))
            yield f'{{postgres: "postgres://app@127.0.0.1:{server.port}/{server.database().name}"}}'
        finally:
            server.finish()

    @contextlib.contextmanager
    def serving(self, kind):
        """weir over a new database: (its place, its process)."""
        place = subjects.Place(os.path.join(self.build, "run", f"ingest-{kind}"), 0, 20000)
        folder = os.path.join(place.folder, "data")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        with self.database(kind, folder) as store:
            place.write("weir.yaml", CONFIG.format(port=place.port, admin_port=place.admin_port, store=store))
            with subjects.Process([self.weir.path, "run", "-c", os.path.join(place.folder, "weir.yaml")],
                                  os.path.join(self.build, "weir.log")) as process:
                subjects.wait_for(process, place.admin_port, "/livez", None)
                yield place, process
        shutil.rmtree(folder, ignore_errors=True)

    def measure(self, kind, label, connections, rate):
        with self.serving(kind) as (place, process):
            scenario = {"path": "/hook", "size": None, "connections": connections, "alerts": 5}
            with self.load(place.port, scenario, self.bench.seconds * 2, 2, rate=rate) as load:
                load.wait_for(b"ready")
                load.patience += 60
                before = accounts.process_cpu_ns(process.pid)
                load.go_on()
                load.wait_for(b"done")
                cpu = accounts.process_cpu_ns(process.pid) - before
                memory = accounts.memory_kib(process.pid)
                load.go_on()
                result = load.result()
        latency, posts = result["latency_us"], result["requests"]
        if result["errors"]:
            self.bench.problems.append(f"ingest, {kind}, {label}: {result['error_kinds']}")
        return {"subject": f"{kind}, {label}", "rps": result["rps"], "p50_us": latency["p50"], "p95_us": latency["p95"],
                "p99_us": latency["p99"], "cpu_us": cpu / 1e3 / max(1, posts), "memory_mib": memory["peak"] / 1024, "errors": result["errors"]}

    def sync_row(self):
        """What the disk itself takes: 4 KiB appended and synced, one after the other."""
        path = os.path.join(self.build, "run", "sync")
        times = []
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for _ in range(500):
            began = time.monotonic()
            os.write(fd, b"x" * 4096)
            os.fdatasync(fd)
            times.append((time.monotonic() - began) * 1e6)
        os.close(fd)
        os.unlink(path)
        times.sort()
        return {"subject": "the disk: 4 KiB and fdatasync", "rps": 1e6 / (sum(times) / len(times)), "p50_us": times[250],
                "p95_us": times[475], "p99_us": times[495]}

    def table(self, name, _scenario):
        rows = [self.sync_row()]
        for kind in ["sqlite"] + (["postgres"] if databases.available() else []):
            for label, connections, rate in LOADS:
                with self.bench.step(f"{name}: {kind}, {label}") as say:
                    rows.append(self.measure(kind, label, connections, rate))
                    row = rows[-1]
                    say(f"{row['rps']:,.0f} posts/s, p95 {row['p95_us']:,.0f} us, p99 {row['p99_us']:,.0f} us, "
                        f"{row['cpu_us']:.1f} us of CPU a post, {row['memory_mib']:.0f} MiB")
        return {"rows": rows}
