"""Reference tables: looked up by key, refreshed in the background, and the last good copy stays whatever comes."""
import json
import threading

import pytest

from harness import run_weir
from origin import reply
from test_aggregate import as_json, hang
from wire import wait_until

pytestmark = pytest.mark.release

STATIONS = {"stations": [{"id": "HAM", "name": "Hamburg"}, {"id": 8000261, "name": "M\u00fcnchen"}, {"id": "a\"b", "name": "odd"}]}


def config(origin, json_=None, routes=(), **table):
    template = {"name": "$tables.stations[key].name"} if json_ is None else json_
    return {"workers": 2, "upstreams": {"o": {"endpoints": [origin.url], "breaker": False, "retry": {"attempts": 1}}},
            "tables": {"stations": {"from": {"upstream": "o", "path": "/stations?all=1"}, "rows": "$.stations", "key": "id", "refresh": "100ms", **table}},
            "routes": [{"match": {"path": "/name/{key}"}, "respond": {"json": template}}, *routes]}


def loaded(weir, rows):
    weir.wait_metric(rows, "weir_table_rows", table="stations")
    return weir


def name(weir, key):
    return weir.get(f"/name/{key}").json()["name"]


def refreshes(weir, result):
    return weir.metric("weir_table_refreshes_total", table="stations", result=result) or 0


def test_rows_are_found_by_key(lab):
    origin = lab.origin(lambda r, p: as_json(STATIONS))
    weir = loaded(lab.weir(config(origin)), 3)
    assert name(weir, "HAM") == "Hamburg" and name(weir, "8000261") == "M\u00fcnchen" and name(weir, "a%22b") == "odd"
    assert name(weir, "nobody") is None and name(weir, "ham") is None
    assert origin.last.target == "/stations?all=1"
    assert 0 <= weir.metric("weir_table_age_seconds", table="stations") < 60


def test_it_is_refreshed(lab):
    rows = [{"id": "a", "name": 1}]
    origin = lab.origin(lambda r, p: as_json(rows))
    weir = loaded(lab.weir(config(origin, rows="$")), 1)
    rows.append({"id": "b", "name": 2})
    loaded(weir, 2)
    assert name(weir, "b") == 2


BAD = {
    "status": (lambda r, p: reply(500), "the answer has status 500"),
    "html": (lambda r, p: reply(200, b"<html>"), "at byte 0"),
    "half": (lambda r, p: as_json(b'{"stations": ['), "at byte"),
    "no array": (lambda r, p: as_json({"stations": {}}), "`rows` is no array in it"),
    "other shape": (lambda r, p: as_json([]), "`rows` is no array in it"),
    "nothing": (lambda r, p: as_json({"stations": []}), "there is no row in it"),
    "no key": (lambda r, p: as_json({"stations": [{"id": "x"}, {"name": "y"}]}), "a row has no key"),
    "twice": (lambda r, p: as_json({"stations": [{"id": "x"}, {"id": "x"}]}), "two rows have the same key"),
    "no object": (lambda r, p: as_json({"stations": [1]}), "a row has no key"),
    "reset": (lambda r, p: p.reset(), "Upstream"),
    "large": (lambda r, p: as_json({"stations": [{"id": "x" * 5000}]}), "larger"),
    "never": (hang, "imed out"),
}


@pytest.mark.parametrize("fault", BAD)
def test_the_last_good_copy_stays(lab, fault):
    answer, said = BAD[fault]
    origin = lab.origin(lambda r, p: as_json(STATIONS))
    weir = loaded(lab.weir(config(origin, timeout="300ms", max_response="4KiB")), 3)
    origin.answer = answer
    wait_until(lambda: refreshes(weir, "failed") >= 1, "a refresh failed")
    assert name(weir, "HAM") == "Hamburg" and weir.metric("weir_table_rows", table="stations") == 3
    weir.wait_log("table stations was not refreshed: ")
    assert "the 3 rows of" in weir.stderr()
    if fault not in ("reset", "large", "never"):
        assert said in weir.stderr()
    origin.answer = lambda r, p: as_json({"stations": [{"id": "HAM", "name": "new"}]})
    loaded(weir, 1)
    assert name(weir, "HAM") == "new"


def test_an_empty_one_can_be_allowed(lab):
    origin = lab.origin(lambda r, p: as_json(STATIONS))
    weir = loaded(lab.weir(config(origin, allow_empty=True)), 3)
    origin.answer = lambda r, p: as_json({"stations": []})
    loaded(weir, 0)
    assert name(weir, "HAM") is None


def test_readiness_may_require_it(lab):
    go = threading.Event()
    origin = lab.origin(lambda r, p: as_json(STATIONS) if go.is_set() else reply(503))
    weir = lab.weir(config(origin, required=True), ready=False)
    weir.wait_log("table stations was not loaded")
    answer = weir.admin("GET", "/readyz?verbose")
    assert answer.status == 503 and b"[-] tables: a table that is required has not been loaded yet" in answer.body
    assert name(weir, "HAM") is None  # it serves nevertheless
    go.set()
    wait_until(weir.ready, "it is ready")
    assert name(weir, "HAM") == "Hamburg"


def test_a_reload_changes_and_removes_it(lab):
    origin = lab.origin(lambda r, p: as_json(STATIONS))
    first = config(origin, refresh="1h")
    weir = loaded(lab.weir(first), 3)
    weir.reload(config(origin, refresh="1h", key="name"))
    wait_until(lambda: name(weir, "Hamburg") == "Hamburg", "the other key holds")
    without = config(origin, json_={"name": "none"})
    del without["tables"]
    weir.reload(without)
    assert b"weir_table_rows{" not in weir.admin("GET", "/metrics").body
    weir.reload(first)
    wait_until(lambda: weir.get("/name/HAM").json()["name"] == "Hamburg", "it is back")


def test_look_ups_while_it_is_swapped(lab):
    """Whole answers of one version each, never anything of a row that was freed."""
    version = [0]

    def answer(_request, _peer):
        version[0] += 1
        return as_json({"stations": [{"id": str(i), "name": f"v{version[0]}" * 50} for i in range(200)]})
    origin = lab.origin(answer)
    weir = loaded(lab.weir(config(origin)), 200)
    seen = set()
    wait_until(lambda: seen.add(name(weir, "77")) or len(seen) > 8, "several versions were seen")
    assert all(text and text == text[:len(text) // 50] * 50 for text in seen)


MISTAKES = {
    "unknown": ({}, {"name": "$tables.nobody[key]"}, 'there is no table "nobody"'),
    "no key": ({}, {"name": "$tables.stations"}, "say which row: $tables.stations[key]"),
    "rows": ({"rows": "stations"}, None, '"rows" begins with $'),
    "bad rows": ({"rows": "$.a["}, None, "a value is missing here"),
    "upstream": ({"from": {"upstream": "x", "path": "/"}}, None, 'there is no upstream "x"'),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(lab, tmp_path, mistake):
    table, template, said = MISTAKES[mistake]
    file = tmp_path / "weir.yaml"
    file.write_text(json.dumps({"version": 1, "listen": [":0"], **config(lab.origin(), template, **table)}, indent=1))
    done = run_weir("check", "-c", str(file))
    assert done.returncode == 1 and said in done.stdout + done.stderr


def test_each_does_not_go_through_a_row(lab, tmp_path):
    each = {"match": {"path": "/x/{k}"}, "aggregate": {"calls": {"a": {"upstream": "o", "path": "/{i}", "each": {"in": "$tables.stations[k].list", "as": "i"}}}}}
    file = tmp_path / "weir.yaml"
    file.write_text(json.dumps({"version": 1, "listen": [":0"], **config(lab.origin(), routes=[each])}, indent=1))
    done = run_weir("check", "-c", str(file))
    assert done.returncode == 1 and "does not go through a row of a table" in done.stdout + done.stderr
