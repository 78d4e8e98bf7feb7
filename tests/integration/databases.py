"""Databases that weir writes into and tests look into."""
import json
import os
import sqlite3


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

    @staticmethod
    def json(value):
        return json.loads(value)

    def stop(self):
        pass
