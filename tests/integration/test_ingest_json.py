"""Events of any shape into a table: templates say what goes where."""
import json

import pytest
import yaml

from databases import Sqlite
from harness import run_weir

pytestmark = pytest.mark.release

EVENT = {"id": "e1", "name": "signup", "at": "2026-11-27T06:00:00Z", "n": 7, "ratio": 0.25, "ok": True, "more": {"a": [1, "\u00fc"]}}
COLUMNS = {"id": "$item.id", "name": "$item.name", "at": "$item.at", "n": "$item.n", "ratio": "$item.ratio", "ok": "$item.ok",
           "more": "$item.more", "source": "{item.name}/{request.query.from}"}
TYPES = {"at": "time", "n": "integer", "ratio": "number", "ok": "boolean", "more": "json"}


def config(database, more=None, **ingest):
    conf = {"format": "json", "table": "events", "items": "$body.events", "columns": COLUMNS, "types": TYPES, "key": ["id"], **ingest}
    return {"workers": 2, "stores": {"main": database.config()}, **(more or {}),
            "routes": [{"match": {"path": "/events", "methods": ["POST"]}, "ingest": {k: v for k, v in conf.items() if v is not None}}]}


def send(weir, body, status=200, target="/events?from=web", kind="application/json"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = weir.post(target, data, headers=[("Content-Type", kind)])
    assert response.status == status, response
    return response.json()


def test_events_are_rows(lab, database):
    weir = lab.weir(config(database))
    assert send(weir, {"events": [EVENT, {**EVENT, "id": "e2", "n": None, "more": None}]}) == {"stored": 2, "duplicates": 0, "rejected": 0}
    assert database.value("SELECT count(*) FROM events") == 2
    row, = database.rows("SELECT * FROM events WHERE n = 7")
    assert (row["name"], row["at"], row["n"], row["ratio"], bool(row["ok"])) == ("signup", "2026-11-27T06:00:00.000000Z", 7, 0.25, True)
    assert database.json(row["more"]) == EVENT["more"] and row["source"] == "signup/web" and row["received_at"].endswith("Z")
    other, = database.rows("SELECT * FROM events WHERE n IS NULL")
    assert other["more"] is None


def test_what_has_the_key_already_is_a_duplicate(lab, database):
    weir = lab.weir(config(database))
    send(weir, {"events": [EVENT]})
    assert send(weir, {"events": [{**EVENT, "name": "other"}, {**EVENT, "id": "new"}]}) == {"stored": 1, "duplicates": 1, "rejected": 0}
    assert send(weir, {"events": [{**EVENT, "id": "twice"}, {**EVENT, "id": "twice"}]}) == {"stored": 1, "duplicates": 1, "rejected": 0}
    assert database.value("SELECT count(*) FROM events") == 3


def test_without_a_key_each_is_new(lab, database):
    weir = lab.weir(config(database, key=None))
    send(weir, {"events": [EVENT, EVENT]})
    assert database.value("SELECT count(*) FROM events") == 2


def test_a_body_that_is_one_event_or_many(lab, database):
    weir = lab.weir(config(database, items=None))
    assert send(weir, EVENT)["stored"] == 1
    assert send(weir, [{**EVENT, "id": "a"}, {**EVENT, "id": "b"}])["stored"] == 2


def test_lines(lab, database):
    weir = lab.weir(config(database))
    lines = b"".join(json.dumps({**EVENT, "id": f"l{i}"}).encode() + (b"\r\n" if i % 2 else b"\n\n") for i in range(10))
    assert send(weir, lines[:-2], kind="application/x-ndjson; charset=utf-8")["stored"] == 10
    assert database.value("SELECT count(*) FROM events") == 10
    problem = send(weir, b'{"id": "x"}\n{"id": \n', 400, kind="application/x-ndjson")
    assert problem["code"] == "bad_json" and "in line 2" in problem["detail"]
    assert database.value("SELECT count(*) FROM events") == 10  # all of a post, or none


BAD = {
    "no items": ({}, "what `items` names is no array"),
    "items of another shape": ({"events": {}}, "what `items` names is no array"),
    "none": ({"events": []}, "there is no event in it"),
    "a time that is none": ({"events": [EVENT, {**EVENT, "at": "noon"}]}, "event 1: column at: it is no time"),
    "a text for a number": ({"events": [{**EVENT, "n": "7"}]}, "event 0: column n: it is no integer"),
    "a fraction": ({"events": [{**EVENT, "n": 7.5}]}, "event 0: column n: it is no integer"),
    "too large": ({"events": [{**EVENT, "n": 2 ** 63}]}, "event 0: column n: it is no integer"),
    "no truth": ({"events": [{**EVENT, "ok": 1}]}, "event 0: column ok: it is neither true nor false"),
    "nul": ({"events": [{**EVENT, "name": "a\0b"}]}, "event 0: column name: the text has a NUL"),
    "no key": ({"events": [{**EVENT, "id": None}]}, "event 0: column id: it is missing, and belongs to the key"),
    "no object": ({"events": [7]}, "template at line"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_event_refuses_its_post_and_is_named(lab, database, name):
    body, said = BAD[name]
    weir = lab.weir(config(database))
    problem = send(weir, body, 400)
    assert problem["code"] == "bad_event" and said in problem["detail"], problem
    assert database.value("SELECT count(*) FROM events") == 0


def test_1001_events(lab, sqlite):
    weir = lab.weir(config(sqlite))
    assert send(weir, {"events": [EVENT] * 1001}, 413)["code"] == "too_many_events"


def test_columns_that_come_later_are_added(lab, database):
    """The table follows the config: on a reload and, shown before, by `weir migrate`. What was stored before is null there."""
    few = {name: COLUMNS[name] for name in ("id", "name")}
    weir = lab.weir(config(database, columns=few, types=None))
    assert send(weir, {"events": [EVENT]})["stored"] == 1
    assert weir.reload(config(database, columns={**few, "n": "$item.n"}, types={"n": "integer"})).status == 200
    assert send(weir, {"events": [{**EVENT, "id": "e2"}]}) == {"stored": 1, "duplicates": 0, "rejected": 0}
    assert [row["n"] for row in database.rows("SELECT n FROM events ORDER BY id")] == [None, 7]
    weir.write(config(database))
    for args, lacks in ((["migrate", "show"], True), (["migrate"], True), (["migrate", "show"], False)):
        done = run_weir(*args, "-c", weir.config_file)
        assert done.returncode == 0, done.stderr
        for name in ("at", "ratio", "ok", "more", "source"):
            assert (f"events: add the column {name} (" in done.stdout) == lacks, done.stdout
    assert weir.reload().status == 200
    assert send(weir, {"events": [{**EVENT, "id": "e3"}]})["stored"] == 1
    row, = database.rows("SELECT * FROM events WHERE id = 'e3'")
    assert (row["ratio"], row["source"], row["at"]) == (0.25, "signup/web", "2026-11-27T06:00:00.000000Z")


def test_a_table_of_somebody_else(lab, database):
    types = {"sqlite": ("TEXT", "TEXT", "INTEGER CHECK (n < 100)", "TEXT"),
             "postgres": ("uuid", "timestamptz", "integer CHECK (n < 100)", "jsonb")}[database.kind]
    database.execute("CREATE TABLE events (uid %s PRIMARY KEY, at %s, n %s, more %s)" % types)
    columns = {"uid": "$item.id", "at": "$item.at", "n": "$item.n", "more": {"name": "$item.name", "all": "$item.more"}}
    weir = lab.weir(config(database, create=False, columns=columns, types=None, key=["uid"]))
    good = {**EVENT, "id": "6f1c3b1e-0000-4000-8000-000000000001"}
    assert send(weir, {"events": [good]}) == {"stored": 1, "duplicates": 0, "rejected": 0}
    assert send(weir, {"events": [{**good, "n": 8}]})["duplicates"] == 1
    row, = database.rows("SELECT * FROM events")
    assert row["n"] == 7 and database.json(row["more"]) == {"name": "signup", "all": EVENT["more"]}
    problem = send(weir, {"events": [{**good, "id": "6f1c3b1e-0000-4000-8000-000000000002"}, {**good, "id": "6f1c3b1e-0000-4000-8000-000000000003", "n": 100}]}, 400)
    assert problem["code"] == "bad_event" and "event 1: " in problem["detail"], problem
    assert database.value("SELECT count(*) FROM events") == 1


WRONG = {
    "no table": ({"table": None}, "needs a `table`"),
    "no columns": ({"columns": None}, "needs `columns`"),
    "an empty map": ({"columns": {}}, "a map of templates"),
    "a column that is no name": ({"columns": {"a-b": "$item.a"}, "types": None, "key": None}, 'a column cannot be called "a-b"'),
    "a name that nobody knows": ({"columns": {"id": "$itm.a"}, "types": None}, "itm"),
    "a key that is no column": ({"key": ["ids"]}, '"ids" is none of the columns; is it "id"?'),
    "a type of no column": ({"types": {"nn": "text"}}, '"nn" is none of the columns'),
    "a type that is none": ({"types": {"n": "int"}}, "a type is one of text, json, time"),
    "the other body": ({"columns": {"id": "$request.body.id"}, "types": None}, "here the body is `$body`"),
    "keep without a time": ({"create": False, "keep": "1h"}, "`keep` goes by a column `received_at`"),
    "columns of alerts": ({"format": "alertmanager"}, '"columns" belongs to `format: json`'),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_of_the_config_are_named(tmp_path, name):
    ingest, said = WRONG[name]
    path = tmp_path / "w.yaml"
    path.write_text(yaml.dump({"version": 1, "listen": [":8080"], **config(Sqlite(tmp_path), **ingest)}))
    done = run_weir("check", "-c", str(path))
    assert done.returncode == 1 and said in done.stderr, done.stderr
