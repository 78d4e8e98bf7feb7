"""Webhooks of Alertmanager: what is acknowledged is in the table, once, and as it last was."""
import gzip
import json
import os
import signal
import subprocess
import threading

import pytest
import yaml

from alerts import HOOK, alert, config, send, send_when_listening, stored, webhook
from databases import Sqlite
from harness import run_weir
from wire import Truncated, wait_until

pytestmark = pytest.mark.release


def write_config(directory, conf):
    path = directory / "weir.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "listen": ["127.0.0.1:0"], **conf}), encoding="utf-8")
    return path


@pytest.fixture
def weir(lab, database):
    return lab.weir(config(database))


# ---- the good way ----

def test_alerts_are_rows(weir, database):
    assert send(weir, webhook(alert(instance="a"), alert("Full", severity="page"))) == {"stored": 2, "duplicates": 0, "rejected": 0}
    first, second = stored(database)["Down"], stored(database)["Full"]
    assert len(first["fingerprint"]) == 16
    assert first["starts_at"] == "2026-11-27T06:00:00.250000Z" and first["ends_at"] is None and first["status"] == "firing"
    assert database.json(first["labels"]) == {"alertname": "Down", "instance": "a"}
    assert database.json(first["annotations"]) == {"summary": "it is down"}
    assert (first["receiver"], first["group_key"]) == ("weir", '{}:{alertname="Down"}')
    assert (first["generator_url"], first["external_url"]) == ("http://prometheus/graph", "http://alertmanager:9093")
    assert first["received_at"] == first["updated_at"] and first["received_at"].endswith("Z")
    assert database.json(second["labels"])["severity"] == "page"
    assert weir.metric("weir_ingest_rows_total", store="main", table="alerts") == 2


def test_an_unchanged_repeat_is_a_duplicate(weir, database):
    send(weir, webhook(alert()))
    assert send(weir, webhook(alert(), groupKey="another"))["duplicates"] == 1
    assert database.value("SELECT count(*) FROM alerts") == 1
    assert weir.metric("weir_ingest_duplicates_total") == 1


def test_the_same_bytes_are_acknowledged_from_memory(weir, database):
    send(weir, webhook(alert()))
    assert send(weir, webhook(alert()))["repeated"] is True
    assert weir.metric("weir_ingest_repeats_total") == 1 and weir.metric("weir_ingest_duplicates_total") == 0


def test_resolved_replaces_firing_and_never_the_other_way_round(weir, database):
    send(weir, webhook(alert()))
    send(weir, webhook(alert(status="resolved", ends="2026-11-27T07:00:00Z")))
    row, = database.rows("SELECT * FROM alerts")
    assert row["status"] == "resolved" and row["ends_at"] == "2026-11-27T07:00:00.000000Z" and row["updated_at"] > row["received_at"]
    send(weir, webhook(alert(annotations={"summary": "late"})))
    assert database.rows("SELECT * FROM alerts") == [row]
    send(weir, webhook(alert(starts="2026-11-27T08:00:00Z")))  # it fires again: another alert
    assert database.value("SELECT count(*) FROM alerts") == 2


def test_resolved_may_come_first(weir, database):
    send(weir, webhook(alert(status="resolved", ends="2026-11-27T07:00:00Z")))
    assert send(weir, webhook(alert()))["duplicates"] == 1
    assert database.value("SELECT status FROM alerts") == "resolved"


def test_a_changed_annotation_is_kept(weir, database):
    send(weir, webhook(alert()))
    assert send(weir, webhook(alert(annotations={"summary": "worse"})))["stored"] == 1
    assert database.json(database.value("SELECT annotations FROM alerts")) == {"summary": "worse"}


def test_the_same_alert_twice_in_one_post(weir, database):
    answer = send(weir, webhook(alert(), alert(), alert(status="resolved", ends="2026-11-27T07:00:00Z"), alert()))
    assert answer["stored"] + answer["duplicates"] == 4
    row, = database.rows("SELECT * FROM alerts")
    assert row["status"] == "resolved"


def test_two_workers_with_the_same_key_at_once(weir, database):
    start = threading.Barrier(8)
    answers = []

    def post(i):
        start.wait()
        for n in range(20):
            answers.append(send(weir, webhook(alert(instance=str(n)), groupKey=f"{i}")))
    threads = [threading.Thread(target=post, args=[i]) for i in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(answers) == 160 and sum(a["stored"] for a in answers) == 20 and sum(a["duplicates"] for a in answers) == 140
    assert database.value("SELECT count(*) FROM alerts") == 20


def test_fields_that_nobody_knows_are_ignored(weir, database):
    later = alert()
    later["severityText"] = {"deep": [1, {"x": None}]}
    assert send(weir, webhook(later, notificationReason="test"))["stored"] == 1


def test_fingerprints_are_ours(weir, database):
    """Those of Prometheus, whatever the sender says; computed here from its source's words."""
    def fingerprint(labels):
        value = 14695981039346656037
        for name in sorted(labels):
            for byte in name.encode() + b"\xff" + labels[name].encode() + b"\xff":
                value = (value ^ byte) * 1099511628211 % 2 ** 64
        return f"{value:016x}"
    alerts = [alert(instance="b", zone="\u00fc\U0001f600", a1="x", a="y", A="z", empty=""), alert("\u0442\u0435\u0441\u0442"), alert('q"\\\n')]
    alerts[0]["fingerprint"] = fingerprint(alerts[0]["labels"])
    alerts[1]["fingerprint"] = "0000000000000000"
    del alerts[2]["fingerprint"]
    send(weir, webhook(*alerts))
    assert {r["fingerprint"] for r in database.rows("SELECT fingerprint FROM alerts")} == {fingerprint(a["labels"]) for a in alerts}
    assert weir.metric("weir_ingest_fingerprint_mismatches_total") == 2


def test_truncated_alerts_are_counted_and_logged(weir):
    send(weir, webhook(alert(), truncatedAlerts=7))
    assert weir.metric("weir_ingest_truncated_alerts_total") == 7
    weir.wait_log("Alertmanager left 7 alerts out")


def test_times_of_all_years(weir, database):
    times = {"9999-12-31T23:59:59Z": "9999-12-31T23:59:59.000000Z", "0000-01-01T00:00:00Z": "0000-01-01T00:00:00.000000Z",
             "1969-12-31T23:59:59.5-01:00": "1970-01-01T00:59:59.500000Z"}
    for time in times:
        send(weir, webhook(alert(starts=time, n=time)))
    got = {time: row["starts_at"] for time, row in stored(database).items()}
    if database.kind == "postgres":
        assert got.pop("0000-01-01T00:00:00Z").endswith(" BC") and times.pop("0000-01-01T00:00:00Z")
    assert got == times


# ---- bad input ----

def without(item, key):
    return {k: v for k, v in item.items() if k != key}


MALFORMED = {
    "no json": (b"<html>", 400, "bad_json", "at byte 0"),
    "half": (json.dumps(webhook(alert())).encode()[:-9], 400, "bad_json", "at byte"),
    "nothing": (b"", 400, "bad_json", "at byte 0"),
    "R12 bad UTF-8": (json.dumps(webhook(alert())).encode().replace(b"it is down", b"\xff\xfe"), 400, "bad_json", "UTF-8"),
    "R10 depth": (b"[" * 100000, 400, "bad_json", "inside one another"),
    "no object": (b"[]", 400, "bad_event", "no object"),
    "no version": (without(webhook(alert()), "version"), 400, "bad_event", "`version` is missing"),
    "wrong version": (webhook(alert(), version="3"), 400, "bad_event", '`version` is "3"'),
    "a number as version": (webhook(alert(), version=4), 400, "bad_event", "`version` is 4"),
    "no alerts": (webhook(), 400, "bad_event", "`alerts` is empty"),
    "alerts missing": (without(webhook(), "alerts"), 400, "bad_event", "`alerts` is no array"),
    "1001 alerts": (webhook(*[alert(n=str(i)) for i in range(1001)]), 413, "too_many_events", "more than 1000"),
    "an alert that is a text": (webhook("x"), 400, "bad_event", "alert 0: it is no object"),
    "a name that is none": (webhook(alert(**{"not-a-name": "x"})), 400, "bad_event", '"not-a-name" is no name'),
    "an empty name": (webhook(alert(**{"": "x"})), 400, "bad_event", '"" is no name'),
    "a label that is a number": (webhook(alert(instance=7)), 400, "bad_event", '"instance" in `labels` is no text'),
    "labels twice": (json.dumps(webhook(alert(x="1"))).encode().replace(b'"x": "1"', b'"x": "1", "x": "2"'), 400, "bad_event", '"x" is there twice'),
    "no labels": (webhook(without(alert(), "labels")), 400, "bad_event", "`labels` is no object"),
    "300 labels": (webhook(alert(**{f"l{i}": "x" for i in range(300)})), 400, "bad_event", "more than 256"),
    "no start": (webhook(without(alert(), "startsAt")), 400, "bad_event", "`startsAt` is no text"),
    "a start that is none": (webhook(alert(starts="yesterday")), 400, "bad_event", "`startsAt` is no time"),
    "month 13": (webhook(alert(starts="2026-13-01T00:00:00Z")), 400, "bad_event", "`startsAt` is no time"),
    "another status": (webhook(alert(status="pending")), 400, "bad_event", "`status` is neither"),
    "a receiver that is a list": (webhook(alert(), receiver=[]), 400, "bad_event", "`receiver` is no text"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_webhook_is_refused(weir, database, name):
    body, status, code, said = MALFORMED[name]
    with weir.refuses(code):
        problem = send(weir, body, status)
    assert problem["code"] == code and said in problem["detail"], problem
    assert send(weir, webhook(alert("After")))["stored"] == 1  # and nothing else is lost
    assert database.value("SELECT count(*) FROM alerts") == 1


def test_a_body_of_more_than_10_MiB(weir, database):
    with weir.connect() as conn:
        conn.send(f"POST {HOOK} HTTP/1.1\r\nHost: a\r\nContent-Length: {10 * 1024 * 1024 + 1}\r\n\r\n".encode())
        assert conn.response().json()["code"] == "body_too_large"
    big = webhook(alert(annotations={"summary": "x" * (10 * 1024 * 1024 - 2000)}))
    assert send(weir, big)["stored"] == 1


def test_R11_a_long_number_costs_nothing(weir):
    body = json.dumps(webhook(alert(), truncatedAlerts=0)).encode().replace(b'"truncatedAlerts": 0', b'"truncatedAlerts": ' + b"9" * 100000)
    send(weir, body)


POISON = {"nul": {"summary": "a\0b"}, "nul in a name": {"a\0b": "x"}}


@pytest.mark.parametrize("name", POISON)
def test_poison_is_kept_apart_and_good_alerts_are_stored(weir, database, name):
    bad = alert("Bad", annotations=POISON[name])
    assert send(weir, webhook(alert("A"), bad, alert("B"))) == {"stored": 2, "duplicates": 0, "rejected": 1}
    row, = database.rows("SELECT * FROM alerts_rejected")
    assert json.loads(row["item"]) == bad and "NUL" in row["reason"] and row["received_at"].endswith("Z")
    assert weir.metric("weir_ingest_rejected_total") == 1
    assert send(weir, webhook(bad))["rejected"] == 1  # alone as well


def test_a_malformed_alert_does_not_take_good_ones_with_it(weir, database):
    assert send(weir, webhook(alert("A"), alert("B", starts="never"))) == {"stored": 1, "duplicates": 0, "rejected": 1}
    assert "startsAt" in database.value("SELECT reason FROM alerts_rejected")


def test_any_name_of_a_label_where_it_is_allowed(lab, database):
    weir = lab.weir(config(database, label_names="utf8"))
    assert send(weir, webhook(alert(**{"http.status_code": "500"})))["stored"] == 1


TRIGGERS = {
    "sqlite": "CREATE TRIGGER no_night BEFORE INSERT ON alerts WHEN json_extract(NEW.labels, '$.shift') = 'night' "
              "BEGIN SELECT RAISE(ABORT, 'closed at night'); END",
    "postgres": "CREATE FUNCTION no_night() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.labels->>'shift' = 'night' THEN "
                "RAISE EXCEPTION 'closed at night'; END IF; RETURN NEW; END $$;"
                "CREATE TRIGGER no_night BEFORE INSERT ON alerts FOR EACH ROW EXECUTE FUNCTION no_night()",
}


def test_a_row_that_the_database_refuses(lab, database):
    """What it does not take goes to the other table, the rest of the batch is stored."""
    weir = lab.weir(config(database))
    database.execute(TRIGGERS[database.kind])
    assert send(weir, webhook(alert("A"), alert("B", shift="night"), alert("C"))) == {"stored": 2, "duplicates": 0, "rejected": 1}
    assert database.value("SELECT reason FROM alerts_rejected") == "closed at night"
    assert database.json(database.value("SELECT item FROM alerts_rejected"))["labels"]["alertname"] == "B"
    assert set(stored(database)) == {"A", "C"}


def test_a_bad_row_costs_no_other_post_of_its_batch(lab, database):
    weir = lab.weir(config(database, batch={"max_wait": "300ms"}))
    database.execute(TRIGGERS[database.kind])
    answers = {}

    def post(i):
        answers[i] = send(weir, webhook(alert(n=f"{i}"), alert(n=f"night {i}", shift="night" if i == 3 else "day")))
    threads = [threading.Thread(target=post, args=[i]) for i in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert answers.pop(3) == {"stored": 1, "duplicates": 0, "rejected": 1}
    assert all(a == {"stored": 2, "duplicates": 0, "rejected": 0} for a in answers.values())
    assert len(stored(database)) == 15 and database.value("SELECT count(*) FROM alerts_rejected") == 1


# ---- limits and faults ----

def test_other_methods_are_not_taken(weir):
    assert weir.get(HOOK).status == 405


def test_U14_a_locked_database_is_waited_for(weir, database):
    unlock = database.lock()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(send(weir, webhook(alert("Waits")))))
    thread.start()
    wait_until(lambda: weir.metric("weir_ingest_queue_depth") == 1, "the post waits")
    unlock()
    thread.join()
    assert answers[0]["stored"] == 1


def test_U14_a_database_that_stays_locked_is_down(lab, sqlite):
    weir = lab.weir(config(sqlite))
    unlock = sqlite.lock()
    response = weir.post(HOOK, json.dumps(webhook(alert("Lost"))).encode())
    assert response.status == 503 and response.json()["code"] == "store_unavailable" and response.header("retry-after")
    assert "lock" in response.json()["detail"]
    assert weir.metric("weir_store_up", store="main") == 0
    unlock()
    weir.wait_metric(1, "weir_store_up", store="main")
    send(weir, webhook(alert("After")))
    assert set(stored(sqlite)) == {"After"}


def test_a_full_queue_is_503(lab, sqlite):
    weir = lab.weir(config(sqlite, max_waiting=1, more={"workers": 1}))
    unlock = sqlite.lock()
    waiting = weir.connect()
    body = json.dumps(webhook(alert("First"))).encode()
    waiting.send(f"POST {HOOK} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    wait_until(lambda: weir.metric("weir_ingest_queue_depth") == 1, "the post waits")
    with weir.refuses("queue_full"):
        response = weir.post(HOOK, json.dumps(webhook(alert("Second"))).encode())
    assert response.status == 503 and response.header("retry-after")
    unlock()
    assert waiting.response().status == 200


def test_a_deadline_in_the_queue_is_not_stored(lab, sqlite):
    conf = config(sqlite, more={"workers": 1})
    conf["routes"][0]["deadline"] = "300ms"
    weir = lab.weir(conf)
    unlock = sqlite.lock()
    hook = webhook(alert("First"))
    in_hand, queued = [], []
    first = threading.Thread(target=lambda: in_hand.append(send(weir, hook, 503)))
    first.start()
    wait_until(lambda: weir.metric("weir_ingest_queue_depth") == 1, "the first is in a batch")
    queued.append(send(weir, webhook(alert("Second")), 504))
    first.join()
    assert "may or may not" in in_hand[0]["detail"] and queued[0]["code"] == "deadline_exceeded"
    unlock()
    wait_until(lambda: weir.metric("weir_ingest_queue_depth") == 0, "the batch ends")
    send(weir, webhook(alert("Third")))
    assert "Second" not in stored(sqlite)


def test_a_store_that_is_not_there_comes_up_later(lab, tmp_path):
    database = Sqlite(tmp_path / "later")
    weir = lab.weir(config(database, options={"unready_after": "1s"}), ready=False)
    weir.wait_log("store main is down: it cannot be opened")
    assert send_when_listening(weir)["code"] == "store_unavailable"
    wait_until(lambda: weir.admin("GET", "/readyz").status == 503, "it is not ready")
    assert b"stores" in weir.admin("GET", "/readyz?verbose").body
    os.mkdir(tmp_path / "later")
    weir.wait_metric(1, "weir_store_up", store="main")
    assert weir.admin("GET", "/readyz").status == 200
    assert send(weir, webhook(alert()))["stored"] == 1


def test_a_damaged_file_is_not_written_to(lab, tmp_path):
    database = Sqlite(tmp_path)
    with open(database.path, "wb") as f:
        f.write(b"this is no database, it is a text" * 100)
    weir = lab.weir(config(database), ready=False)
    weir.wait_log("file is not a database")
    assert send_when_listening(weir)["code"] == "store_unavailable"
    assert open(database.path, "rb").read() == b"this is no database, it is a text" * 100


def test_a_table_of_another_kind_is_one_routes_trouble(lab, database):
    """What is wrong with one table is not with the other."""
    database.execute("CREATE TABLE other (id INTEGER)")
    other = {"match": {"path": "/other"}, "ingest": {"format": "alertmanager", "table": "other", "create": False}}
    weir = lab.weir(config(database, routes=[other]))
    weir.wait_log("table other cannot be used")
    assert send(weir, webhook(alert()))["stored"] == 1
    response = weir.post("/other", json.dumps(webhook(alert())).encode())
    assert response.status == 503 and "other" in response.json()["detail"]


def test_U12_TERM_commits_what_was_accepted(lab, database):
    weir = lab.weir(config(database))
    unlock = database.lock()
    answers = []
    threads = [threading.Thread(target=lambda i=i: answers.append(send(weir, webhook(alert(n=str(i)))))) for i in range(5)]
    [t.start() for t in threads]
    wait_until(lambda: weir.metric("weir_ingest_queue_depth") == 5, "they wait")
    weir.term()
    unlock()
    [t.join() for t in threads]
    weir.wait()
    assert [a["stored"] for a in answers] == [1] * 5
    assert database.value("SELECT count(*) FROM alerts") == 5


def test_U12_what_was_acknowledged_survives_kill_9(lab, database):
    weir = lab.weir(config(database))
    acknowledged = []

    def post(i):
        for n in range(1000):
            try:
                send(weir, webhook(alert(n=f"{i}-{n}")))
            except (OSError, AssertionError, Truncated):
                return
            acknowledged.append(f"{i}-{n}")
    threads = [threading.Thread(target=post, args=[i]) for i in range(4)]
    [t.start() for t in threads]
    wait_until(lambda: len(acknowledged) >= 50, "some are acknowledged")
    weir.exit_expected = -signal.SIGKILL
    weir.signal(signal.SIGKILL)
    [t.join() for t in threads]
    weir.wait()
    weir.start()
    weir.exit_expected = 0
    assert set(acknowledged) <= set(stored(database))
    assert send(weir, webhook(alert(n="after")))["stored"] == 1


# ---- the disk ----

@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(place)], capture_output=True)
    if done.returncode:
        pytest.skip("needs the right to mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_U13_a_full_disk(lab, small_disk):
    database = Sqlite(small_disk)
    weir = lab.weir(config(database, more={"workers": 1}))
    n = 0
    while True:
        response = weir.post(HOOK, json.dumps(webhook(alert(n=str(n), annotations={"summary": "x" * 100000}))).encode())
        if response.status != 200:
            break
        n += 1
    assert response.status == 503 and "full" in response.json()["detail"], response
    assert n > 5
    assert weir.metric("weir_store_up", store="main") == 0
    assert len(stored(database)) == n  # it can be read
    (small_disk / "weir.db-wal").stat()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    weir.wait_metric(1, "weir_store_up", store="main")
    send(weir, webhook(alert(n="after")))
    assert len(stored(database)) == n + 1


class Injected:
    """strace makes system calls of a running weir fail until the end of the block."""

    def __init__(self, weir, *expressions):
        self.command = ["strace", "-f", "-p", str(weir.pid), "-o", "/dev/null"] + [w for e in expressions for w in ("-e", e)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        if "attached" not in line:
            pytest.skip(f"strace cannot attach: {line}")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()


def test_U13_a_failed_fsync_is_never_tried_again_on_its_handle(lab, sqlite, tool):
    tool("strace")
    weir = lab.weir(config(sqlite, more={"workers": 1}))
    send(weir, webhook(alert("Before")))
    with Injected(weir, "trace=fdatasync", "inject=fdatasync:error=EIO"):
        problem = send(weir, webhook(alert("Doubtful")), 503)
        assert "may or may not" in problem["detail"] and "I/O error" in problem["detail"], problem
        weir.wait_log("store main is down: ")
        assert "nothing was stored" in send(weir, webhook(alert("Meanwhile")), 503)["detail"]
    weir.wait_metric(1, "weir_store_up", store="main")
    assert send(weir, webhook(alert("Doubtful")))["stored"] + send(weir, webhook(alert("Before")))["duplicates"] >= 1
    assert {"Before", "Doubtful"} == set(stored(sqlite))
    assert sqlite.value("PRAGMA integrity_check") == "ok"


def test_U14_a_slow_disk_makes_larger_batches(lab, sqlite, tool):
    tool("strace")
    weir = lab.weir(config(sqlite))
    with Injected(weir, "trace=fdatasync", "inject=fdatasync:delay_enter=300000"):
        answers = []
        threads = [threading.Thread(target=lambda i=i: answers.append(send(weir, webhook(alert(n=str(i)))))) for i in range(40)]
        [t.start() for t in threads]
        [t.join() for t in threads]
    assert [a["stored"] for a in answers] == [1] * 40
    assert weir.metric("weir_ingest_batch_rows_count") <= 10


def test_a_commit_that_hangs_does_not_keep_weir(lab, sqlite, tool):
    """TERM ends it all the same, later; the sender is told that its alert is there only if it is."""
    tool("strace")
    weir = lab.weir(config(sqlite))
    send(weir, webhook(alert("Before")))
    with Injected(weir, "trace=fdatasync", "inject=fdatasync:delay_enter=120000000"):
        answers = []

        def post():
            try:
                answers.append(weir.post(HOOK, json.dumps(webhook(alert("Hangs"))).encode()).status)
            except (OSError, Truncated):
                answers.append(None)
        thread = threading.Thread(target=post)
        thread.start()
        weir.wait_metric(1, "weir_ingest_queue_depth")
        weir.term()
        weir.wait_log("draining")
        weir.term()
        weir.wait_log("weir ends without its stores")  # strace holds its thread for as long as it runs
    assert weir.wait() == 1
    thread.join()
    assert "a write to it hangs" in weir.stderr()
    weir.start()
    assert set(stored(sqlite)) >= ({"Before", "Hangs"} if answers == [200] else {"Before"}), answers


def test_a_read_only_file(lab, sqlite, small_disk):
    database = Sqlite(small_disk)
    weir = lab.weir(config(database))
    send(weir, webhook(alert("A")))
    weir.term()
    weir.wait()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    weir.start(ready=False)
    assert "nothing was stored" in send_when_listening(weir)["detail"]
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    weir.wait_metric(1, "weir_store_up", store="main")
    assert send(weir, webhook(alert("B")))["stored"] == 1


def test_the_memory_of_sqlite_is_counted(lab, sqlite):
    weir = lab.weir(config(sqlite))
    send(weir, webhook(*[alert(n=str(i), annotations={"summary": "x" * 10000}) for i in range(100)]))
    assert weir.metric("weir_memory_bytes", subsystem="store") > 1000000  # the pages that it keeps


# ---- reloads, schema, pruning ----

def test_a_reload_keeps_the_store(lab, database):
    weir = lab.weir(config(database))
    send(weir, webhook(alert("A")))
    assert weir.reload(config(database, max_items=5)).status == 200
    assert send(weir, webhook(alert("A")))["repeated"] is True  # the same connection still
    send(weir, webhook(*[alert(n=str(i)) for i in range(6)]), 413)
    other = Sqlite(lab.directory, "other.db")
    assert weir.reload(config(other)).status == 200
    send(weir, webhook(alert("B")))
    assert other.value("SELECT count(*) FROM alerts") == 1 and database.value("SELECT count(*) FROM alerts") == 1


def test_a_schema_of_a_newer_weir_is_left_alone(lab, database):
    lab.weir(config(database)).term()
    lab.weirs[0].wait()
    database.execute("UPDATE weir_schema SET version = 99 WHERE table_name = 'alerts'")
    weir = lab.weir(config(database))
    assert "newer weir" in send(weir, webhook(alert()), 503)["detail"]


def test_migrate_shows_and_applies(tmp_path, database):
    """Without a weir that runs. What it shows is what it would do, and looking makes nothing."""
    path = write_config(tmp_path, config(database))
    for args, answer in ((["migrate", "show"], "version 1"), (["migrate", "show"], "version 1"), (["migrate"], "version 1"),
                         (["migrate"], "up to date"), (["migrate", "show"], "up to date")):
        done = run_weir(*args, "-c", path)
        assert done.returncode == 0 and answer in done.stdout, (args, done.stdout, done.stderr)
    assert database.value("SELECT count(*) FROM alerts") == 0


def test_migrate_says_why_it_cannot(tmp_path):
    for name, target, why in (("postgres", "postgres://app@127.0.0.1:1/app", "refused"), ("sqlite", "/no/such/folder/a.db", "No such file")):
        conf = {**config(Sqlite(tmp_path)), "stores": {"main": {name: target}}}
        done = run_weir("migrate", "-c", write_config(tmp_path, conf))
        assert done.returncode == 1 and "store main: " in done.stderr and why in done.stderr, done


def test_a_compressed_body_is_refused_by_name(lab, sqlite):
    weir = lab.weir(config(sqlite))
    body = gzip.compress(json.dumps(webhook(alert())).encode())
    response = weir.post(HOOK, body, headers=[("Content-Encoding", "gzip")])
    assert response.status == 415 and response.json()["code"] == "unsupported_content_coding" and "gzip" in response.json()["detail"]
    assert weir.post(HOOK, json.dumps(webhook(alert())).encode(), headers=[("Content-Encoding", "identity")]).status == 200


def test_old_rows_are_taken_away(lab, database):
    lab.weir(config(database)).term()
    lab.weirs[0].wait()
    database.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) "
                     "INSERT INTO alerts (fingerprint, starts_at, status, labels, annotations, received_at, updated_at) "
                     "SELECT CAST(i AS TEXT), '2020-01-01T00:00:00.000000Z', 'firing', '{}', '{}', "
                     "'2020-01-01T00:00:00.000000Z', '2020-01-01T00:00:00.000000Z' FROM n")
    weir = lab.weir(config(database, keep="720h"))
    send(weir, webhook(alert("New")))
    wait_until(lambda: database.value("SELECT count(*) FROM alerts") == 1, "the old ones are gone")
    assert database.json(database.value("SELECT labels FROM alerts"))["alertname"] == "New"


@pytest.mark.parametrize("reload", [False, True], ids=["from the start", "since a reload"])
def test_old_rejects_are_taken_away(lab, database, reload):
    lab.weir(config(database)).term()
    lab.weirs[0].wait()
    for day in ("2020-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"):
        database.execute(f"INSERT INTO alerts_rejected (received_at, reason, item) VALUES ('{day}', 'bad', '{{}}')")
    weir = lab.weir(config(database, **({} if reload else {"keep": "30d"})))
    if reload:
        assert weir.reload(config(database, keep="30d")).status == 200
    wait_until(lambda: database.value("SELECT count(*) FROM alerts_rejected") == 1, "the old one is gone")
    assert str(database.value("SELECT received_at FROM alerts_rejected")).startswith("2999")


# ---- the config ----

WRONG = {
    "no store": ({"stores": {}}, {}, "there are no stores"),
    "another store": ({}, {"store": "mian"}, 'there is no store "mian"; did you mean "main"?'),
    "a table that is no name": ({}, {"table": "a b"}, "\"table\" cannot be \"a b\""),
    "both": ({"stores": {"main": {"sqlite": "a.db", "postgres": "postgres://x"}}}, {}, "one of `sqlite: FILE` and `postgres: URL`"),
    "memory": ({"stores": {"main": {"sqlite": ":memory:"}}}, {}, "must be on disk"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_of_the_config_are_named(tmp_path, name):
    more, ingest, said = WRONG[name]
    done = run_weir("check", "-c", write_config(tmp_path, {**config(Sqlite(tmp_path), **ingest), **more}))
    assert done.returncode == 1 and said in done.stderr, done.stderr
