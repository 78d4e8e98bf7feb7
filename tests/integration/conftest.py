"""Fixtures. `lab` starts everything and stops it after the test; `site` is one for all tests of a file, for tables of
cases that share an instance."""
import os
import shutil

import pytest

from databases import PostgresServer, Sqlite, available
from faultproxy import FaultProxy
from harness import WEIR_BIN, Lab


def pytest_configure(config):
    config.addinivalue_line("markers", "release: also runs against the release binary")
    config.addinivalue_line("markers", "night: the night runs it with larger counts (WEIR_NIGHT=1)")


def pytest_sessionstart(session):
    if not os.access(WEIR_BIN, os.X_OK):
        pytest.exit(f"there is no program {WEIR_BIN}: build it, or set WEIR_BIN", returncode=2)


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def module_lab(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("lab"))
    yield made
    made.close()


@pytest.fixture
def weir(lab):
    """weir(config) -> a running instance."""
    return lab.weir


@pytest.fixture
def origin(lab):
    """origin(answer) -> a running scripted origin."""
    return lab.origin


@pytest.fixture
def faulty(lab):
    """faulty(a=origin, b=origin) -> a running fault proxy with the endpoints .a and .b."""
    def start(**origins):
        return lab.start(FaultProxy(lab.directory, f"faultproxy{len(lab.others)}", origins))
    return start


@pytest.fixture
def tool():
    """tool(name) -> its path; skips the test where it is not installed."""
    def find(name):
        path = shutil.which(name)
        if not path:
            pytest.skip(f"{name} is not installed")
        return path
    return find


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    """A server for all tests, each with a database of its own."""
    server = PostgresServer(tmp_path_factory.mktemp("postgres")).start()
    yield server
    server.finish()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.skipif(not available(), reason="needs postgresql, python3-psycopg2"))])
def database(request, tmp_path):
    """An empty one of each kind."""
    return Sqlite(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres").database()


@pytest.fixture
def sqlite(tmp_path):
    return Sqlite(tmp_path)


@pytest.fixture
def own_server(lab, tmp_path):
    """One that a test may kill."""
    if not available():
        pytest.skip("needs postgresql, python3-psycopg2")
    server = PostgresServer(tmp_path / "own").start()
    yield server
    server.finish()
