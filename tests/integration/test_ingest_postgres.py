"""Webhooks into PostgreSQL: its faults, its locks, its hosts."""
import json
import signal
import socket
import threading

import pytest

from alerts import HOOK, alert, config, pour, send, send_when_listening, stored, webhook
from databases import Postgres, Sqlite
from harness import free_port
from wire import wait_until

pytestmark = pytest.mark.release


@pytest.mark.parametrize("how", ["fast", "immediate", "kill"])
def test_U12_a_server_that_ends_and_comes_back(lab, own_server, how):
    database = own_server.database()
    weir = lab.weir(config(database))
    stop, acknowledged, refused = threading.Event(), [], []
    threads = [threading.Thread(target=pour, args=[weir, stop, acknowledged, refused, i]) for i in range(4)]
    [t.start() for t in threads]
    wait_until(lambda: len(acknowledged) >= 50, "some are stored")
    own_server.end({"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "kill": signal.SIGKILL}[how])
    wait_until(lambda: weir.metric("weir_store_up", store="main") == 0, "weir has seen it")
    assert refused
    before = len(acknowledged)
    own_server.start()
    weir.wait_metric(1, "weir_store_up", store="main")
    wait_until(lambda: len(acknowledged) >= before + 50, "more are stored")
    stop.set()
    [t.join() for t in threads]
    assert set(acknowledged) <= set(stored(database))


def test_a_server_that_is_not_there_yet(lab, own_server):
    database = own_server.database()
    own_server.end(signal.SIGINT)
    weir = lab.weir(config(database, options={"unready_after": "1s"}), ready=False)
    weir.wait_log("store main is down: ")
    assert "refused" in send_when_listening(weir)["detail"]
    wait_until(lambda: weir.admin("GET", "/readyz").status == 503, "it is not ready")
    own_server.start()
    weir.wait_metric(1, "weir_store_up", store="main")
    assert send(weir, webhook(alert()))["stored"] == 1
    assert weir.admin("GET", "/readyz").status == 200


def several_hosts(database, *before, query=""):
    hosts = ",".join(f"127.0.0.1:{port}" for port in (*before, database.server.port))
    return {"postgres": f"postgres://app@{hosts}/{database.name}{query}", "pool": {"connect_timeout": "1s"}}


def test_the_next_host_is_tried_when_one_refuses(lab, postgres):
    database = postgres.database()
    weir = lab.weir({**config(database), "stores": {"main": several_hosts(database, free_port())}})
    weir.wait_metric(1, "weir_store_up", store="main")
    assert send(weir, webhook(alert()))["stored"] == 1


def test_the_next_host_is_tried_when_one_says_nothing(lab, postgres):
    database = postgres.database()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        weir = lab.weir({**config(database), "stores": {"main": several_hosts(database, silent.getsockname()[1])}})
        weir.wait_metric(1, "weir_store_up", store="main")
        assert send(weir, webhook(alert()))["stored"] == 1


def test_the_host_that_takes_writes_is_found(lab, postgres, own_server):
    """Of a primary and a standby, as libpq's target_session_attrs has it."""
    database = postgres.database()
    standby = own_server.connect("postgres").cursor()
    standby.execute(f"CREATE DATABASE {database.name}")
    standby.execute("ALTER ROLE app SET default_transaction_read_only = on")
    weir = lab.weir({**config(database), "stores": {"main": several_hosts(database, own_server.port, query="?target_session_attrs=read-write")}})
    weir.wait_metric(1, "weir_store_up", store="main")
    assert send(weir, webhook(alert()))["stored"] == 1 and database.value("SELECT count(*) FROM alerts") == 1


def test_a_statement_ends_when_nobody_waits_for_it(lab, own_server):
    """The route's deadline, not lock_timeout, which is 10 s."""
    database = own_server.database()
    conf = config(database)
    conf["routes"][0]["deadline"] = "3s"
    weir = lab.weir(conf)
    send(weir, webhook(alert("A")))
    holder = database.connect()
    holder.autocommit = False
    holder.cursor().execute("LOCK TABLE alerts IN EXCLUSIVE MODE")
    assert "may or may not" in send(weir, webhook(alert("B")), 503)["detail"]

    def log():
        with open(own_server.output, encoding="utf-8", errors="replace") as text:
            return text.read()
    wait_until(lambda: "canceling statement due to" in log(), "the server has given up")
    assert "due to statement timeout" in log()
    holder.rollback()
    assert send(weir, webhook(alert("B")))["stored"] == 1
    assert weir.metric("weir_store_up", store="main") == 1


def test_a_connection_that_is_cut_is_made_again(lab, own_server):
    database = own_server.database()
    weir = lab.weir(config(database))
    send(weir, webhook(alert("A")))
    database.rows("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'weir'")
    wait_until(lambda: weir.post(HOOK, json.dumps(webhook(alert("B"))).encode()).status == 200, "it is stored")
    assert send(weir, webhook(alert("A"))).get("repeated") is None  # what was known is forgotten
    assert set(stored(database)) == {"A", "B"}


def test_a_database_that_takes_no_writes(lab, own_server):
    database = own_server.database()
    database.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    weir = lab.weir(config(database), ready=False)
    assert "read-only" in send_when_listening(weir)["detail"]
    Postgres(own_server, "postgres").execute(f"ALTER DATABASE {database.name} RESET default_transaction_read_only")
    weir.wait_metric(1, "weir_store_up", store="main")
    assert send(weir, webhook(alert()))["stored"] == 1


def test_deadlocks_are_tried_again(lab, own_server):
    """Another program updates the same rows, in the other order."""
    database = own_server.database()
    weir = lab.weir(config(database))
    send(weir, webhook(*[alert(n=str(i)) for i in range(50)]))
    stop = threading.Event()

    def disturb():
        import psycopg2
        connection = database.connect()
        connection.autocommit = False
        while not stop.is_set():
            cursor = connection.cursor()
            try:
                for row in ("DESC", "ASC"):
                    cursor.execute("UPDATE alerts SET group_key = group_key WHERE fingerprint = (SELECT fingerprint FROM alerts "
                                   f"ORDER BY starts_at {row}, fingerprint {row} LIMIT 1)")
                connection.commit()
            except psycopg2.Error:
                connection.rollback()
        connection.close()
    thread = threading.Thread(target=disturb)
    thread.start()
    for n in range(20):
        send(weir, webhook(*[alert(n=str(i), annotations={"summary": str(n)}) for i in range(50)]))
    stop.set()
    thread.join()
    assert {database.json(r["annotations"])["summary"] for r in stored(database).values()} == {"19"}


def test_a_wrong_of_the_table_among_bad_rows(lab, postgres):
    """Rows are tried one by one when one is refused; a right that is missing then is told, and the connection goes on."""
    database = postgres.database()
    weir = lab.weir(config(database, options={"pool": {"max_open": 1}}))
    assert send(weir, webhook(alert()))["stored"] == 1
    database.execute("CREATE FUNCTION choosy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                     "IF NEW.labels->>'n' = 'bad' THEN RAISE EXCEPTION 'a bad row'; END IF; "
                     "IF NEW.labels->>'n' = 'worse' AND (SELECT count(*) FROM alerts) > 1 THEN RAISE EXCEPTION 'no right' USING ERRCODE = '42501'; END IF; "
                     "RETURN NEW; END $$")
    database.execute("CREATE TRIGGER choosy BEFORE INSERT ON alerts FOR EACH ROW EXECUTE FUNCTION choosy()")
    database.execute("CREATE FUNCTION open_transactions() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM pg_stat_activity "
                     "WHERE datname = current_database() AND application_name = 'weir' AND state LIKE 'idle in transaction%' $$")
    answers = [send(weir, webhook(*[alert(n=n, m=str(i)) for n in ("bad", "fine", "worse")]), status=None) for i in range(4)]
    assert any("no right" in str(a) for a in answers), answers
    assert database.value("SELECT open_transactions()") == 0
    database.execute("DROP TRIGGER choosy ON alerts")
    wait_until(lambda: weir.post(HOOK, json.dumps(webhook(alert(n="later"))).encode()).status == 200, "the table is taken again")
    assert "store main is down" not in weir.stderr()


def test_the_password_is_never_shown(lab, tmp_path):
    conf = config(Sqlite(tmp_path))
    conf["stores"] = {"main": {"postgres": "postgres://app:topsecret@127.0.0.1:1/app"}}
    weir = lab.weir(conf, ready=False)
    weir.wait_log("store main is down: ")
    assert "topsecret" not in weir.stderr()


def test_a_busy_table_does_not_hold_up_another(lab, database):
    other = {"match": {"path": "/other"}, "ingest": {"format": "alertmanager", "table": "others"}}
    weir = lab.weir(config(database, routes=[other], batch={"max_rows": 1}))
    stop, acknowledged = threading.Event(), []
    threads = [threading.Thread(target=pour, args=[weir, stop, acknowledged, [], i]) for i in range(6)]
    [t.start() for t in threads]
    for n in range(20):
        assert weir.post("/other", json.dumps(webhook(alert(n=str(n)))).encode()).status == 200
    stop.set()
    [t.join() for t in threads]
    assert database.value("SELECT count(*) FROM others") == 20 and len(acknowledged) > 0
