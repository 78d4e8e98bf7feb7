"""The real senders: what fires, repeats and resolves there is what the table says."""
import datetime
import json
import signal

import pytest

import senders
from alerts import HOOK, config
from wire import wait_until

pytestmark = [pytest.mark.release, pytest.mark.skipif(not senders.available(), reason="needs prometheus and prometheus-alertmanager")]


@pytest.fixture
def database(sqlite):
    return sqlite


@pytest.fixture
def weir(lab, database):
    return lab.weir(config(database))


@pytest.fixture
def alertmanager(lab, weir):
    return lab.start(senders.Alertmanager(lab.directory, f"http://127.0.0.1:{weir.port}{HOOK}"))


def at(**delta):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**delta)).isoformat()


def rows(database, status):
    return database.rows("SELECT * FROM alerts WHERE status = ?", status)


def test_alerts_fire_repeat_and_resolve(weir, alertmanager, database):
    fired = [{"labels": {"alertname": "Down", "instance": name, "zone": "\u00fc"}, "annotations": {"summary": f"{name} is down"},
              "generatorURL": "http://prometheus/graph"} for name in "abc"]
    alertmanager.fire(*fired)
    wait_until(lambda: len(rows(database, "firing")) == 3, "three fire")
    theirs = {a["fingerprint"]: a for a in alertmanager.alerts()}
    for row in rows(database, "firing"):
        alert = theirs[row["fingerprint"]]
        assert json.loads(row["labels"]) == alert["labels"] and json.loads(row["annotations"]) == alert["annotations"]
        assert row["starts_at"][:23] == alert["startsAt"][:23] and row["ends_at"] is None
        assert row["receiver"] == "weir" and row["external_url"].endswith(str(alertmanager.port))
    # it repeats what goes on
    wait_until(lambda: weir.metric("weir_ingest_duplicates_total") + weir.metric("weir_ingest_repeats_total") >= 3, "they are sent again")
    assert len(rows(database, "firing")) == 3
    alertmanager.fire({**fired[0], "endsAt": at(seconds=-1)})
    wait_until(lambda: len(rows(database, "resolved")) == 1, "one is resolved")
    row, = rows(database, "resolved")
    assert json.loads(row["labels"])["instance"] == "a" and row["ends_at"] > row["starts_at"]
    assert len(rows(database, "firing")) == 2
    assert weir.metric("weir_ingest_fingerprint_mismatches_total") == 0


def test_it_waits_for_a_weir_that_is_away(lab, weir, alertmanager, database):
    """What fires while weir is down comes when it is up again."""
    weir.term()
    weir.wait()
    alertmanager.fire({"labels": {"alertname": "Meanwhile"}, "annotations": {}})
    wait_until(lambda: len(alertmanager.alerts()) == 1, "it fires there")
    weir.start()
    wait_until(lambda: len(rows(database, "firing")) == 1, "it has come")
    assert json.loads(rows(database, "firing")[0]["labels"]) == {"alertname": "Meanwhile"}


def test_a_database_that_is_locked_loses_nothing(weir, alertmanager, database):
    """503 is what makes it try again."""
    connection = database.connect()
    connection.execute("BEGIN IMMEDIATE")
    alertmanager.fire({"labels": {"alertname": "Locked"}, "annotations": {}})
    weir.wait_log("another process holds the file's lock")
    connection.execute("COMMIT")
    connection.close()
    wait_until(lambda: len(rows(database, "firing")) == 1, "it has come after all")


def test_prometheus_with_a_rule(lab, alertmanager, database):
    lab.start(senders.Prometheus(lab.directory, alertmanager, "vector(7) > 1"))
    wait_until(lambda: rows(database, "firing"), "the rule fires")
    row, = rows(database, "firing")
    assert json.loads(row["labels"]) == {"alertname": "AlwaysOn", "severity": "page"}
    assert json.loads(row["annotations"]) == {"summary": "value 7"} and "/graph" in row["generator_url"]


def test_PostgreSQL_killed_in_the_middle(lab, own_server):
    """What fires while it is away comes when it is back."""
    database = own_server.database()
    weir = lab.weir(config(database))
    alertmanager = lab.start(senders.Alertmanager(lab.directory, f"http://127.0.0.1:{weir.port}{HOOK}"))

    def fire(name):
        alertmanager.fire({"labels": {"alertname": name}, "annotations": {}})

    def names():
        return {database.json(row["labels"])["alertname"] for row in rows(database, "firing")}
    fire("Before")
    wait_until(lambda: names() == {"Before"}, "the first has come")
    own_server.end(signal.SIGQUIT)
    fire("Meanwhile")
    wait_until(lambda: weir.metric("weir_store_up", store="main") == 0, "weir has seen it")
    own_server.start()
    wait_until(lambda: names() == {"Before", "Meanwhile"}, "the second has come, too")
