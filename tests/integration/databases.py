"""Databases that weir writes into and tests look into: an SQLite file, and a PostgreSQL server of Debian's packages on a free port."""
import glob
import json
import os
import pwd
import re
import signal
import sqlite3
import subprocess

from harness import Process, free_port
from wire import wait_until


class Sqlite:
    """A file of the test; read while weir runs, as anybody may."""
    kind = "sqlite"

    def __init__(self, directory, name="weir.db"):
        self.path = os.path.join(str(directory), name)

    def config(self, **more):
        return {"sqlite": self.path, **more}

    def connect(self):
        connection = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        connection.row_factory = sqlite3.Row
        return connection

    def rows(self, sql, *parameters):
        connection = self.connect()
        try:
            return [dict(row) for row in connection.execute(sql, parameters)]
        finally:
            connection.close()

    def value(self, sql, *parameters):
        return next(iter(self.rows(sql, *parameters)[0].values()))

    def execute(self, sql):
        connection = self.connect()
        connection.execute(sql)
        connection.close()

    @staticmethod
    def json(value):
        return json.loads(value)

    def lock(self):
        """Nobody else writes until it is undone."""
        connection = self.connect()
        connection.execute("BEGIN IMMEDIATE")

        def unlock():
            connection.execute("COMMIT")
            connection.close()
        return unlock


def program(name):
    return next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None)


def available():
    try:
        import psycopg2  # noqa: F401
    except ImportError:
        return False
    return bool(program("postgres"))


class PostgresServer(Process):
    """A cluster of its own. It refuses to run as root: then the user `postgres` of Debian's package runs it."""

    def __init__(self, directory):
        super().__init__(str(directory), "postgres")
        self.port = free_port()
        self.data = os.path.join(str(directory), "pgdata")
        self.user = "postgres" if os.geteuid() == 0 else None
        self.count = 0

    def command(self, *arguments, **options):
        return {"args": list(arguments), "user": self.user, "cwd": "/", **options}

    def prepare(self):
        os.makedirs(self.data)
        if self.user:
            owner = pwd.getpwnam(self.user)
            os.chown(self.data, owner.pw_uid, owner.pw_gid)
            path = os.path.dirname(self.data)
            while path != "/":  # pytest's directories are for their user alone
                os.chmod(path, os.stat(path).st_mode | 0o111)
                path = os.path.dirname(path)
        done = subprocess.run(**self.command(program("initdb"), "-D", self.data, "-A", "trust", "-U", "app", "-E", "UTF8", "--locale=C",
                                             "--no-sync", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        assert done.returncode == 0, done.stdout

    def start(self):
        if not os.path.exists(self.data):
            self.prepare()
        with open(self.output, "ab") as out:
            self.process = subprocess.Popen(
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                **self.command(program("postgres"), "-D", self.data, "-p", str(self.port), "-k", "", "-c", "listen_addresses=127.0.0.1",
                               "-c", "max_connections=40", "-c", "timezone=UTC", "-c", "deadlock_timeout=50ms"))
        wait_until(self.answers, "PostgreSQL answers")
        return self

    def answers(self):
        import psycopg2
        try:
            self.connect("postgres").close()
            return True
        except psycopg2.OperationalError:
            return False

    def connect(self, database):
        import psycopg2
        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user="app", dbname=database)
        connection.autocommit = True
        return connection

    def end(self, how):
        """SIGINT: fast; SIGQUIT: immediate, as after a crash."""
        self.process.send_signal(how)
        self.process.wait()

    def finish(self):
        if self.process and self.process.poll() is None:
            self.end(signal.SIGQUIT)

    def database(self):
        self.count += 1
        connection = self.connect("postgres")
        connection.cursor().execute(f"CREATE DATABASE test{self.count}")
        connection.close()
        return Postgres(self, f"test{self.count}")


class Postgres:
    """A database of such a server. Times come as SQLite has them."""
    kind = "postgres"

    def __init__(self, server, name):
        self.server, self.name = server, name

    def config(self, **more):
        return {"postgres": f"postgres://app@127.0.0.1:{self.server.port}/{self.name}", **more}

    def connect(self):
        return self.server.connect(self.name)

    def rows(self, sql, *parameters):
        connection = self.connect()
        try:
            cursor = connection.cursor()
            cursor.execute(f"SELECT row_to_json(q)::text FROM ({sql.replace('?', '%s')}) q", parameters or None)
            return [{k: self.time(v) for k, v in json.loads(row[0]).items()} for row in cursor]
        finally:
            connection.close()

    @staticmethod
    def time(value):
        match = isinstance(value, str) and re.fullmatch(r"(\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?\+00:00", value)
        return f"{match[1]}.{(match[2] or '').ljust(6, '0')}Z" if match else value

    def value(self, sql, *parameters):
        return next(iter(self.rows(sql, *parameters)[0].values()))

    def execute(self, sql):
        connection = self.connect()
        connection.cursor().execute(sql)
        connection.close()

    @staticmethod
    def json(value):
        return json.loads(value) if isinstance(value, str) else value

    def lock(self):
        connection = self.connect()
        connection.autocommit = False
        connection.cursor().execute("LOCK TABLE alerts IN EXCLUSIVE MODE")

        def unlock():
            connection.rollback()
            connection.close()
        return unlock
