"""jq in place of a template: the whole language, off the event loop."""
import ctypes.util
import json

import pytest
import yaml

from harness import run_weir
from origin import reply
from test_aggregate import aggregate, as_json, ask, site

pytestmark = [pytest.mark.release, pytest.mark.skipif(not ctypes.util.find_library("jq"), reason="needs libjq1")]


def test_an_aggregate_by_jq(lab):
    origin = lab.origin(site(**{"a": {"items": [{"n": 1, "ok": True}, {"n": 2, "ok": False}, {"n": 3, "ok": True}]}, "b": {"name": "x"}}))
    weir = aggregate_of(lab, origin, ".b.name as $name | .a.items | map(select(.ok)) | {total: (map(.n) | add), $name}")
    assert ask(weir)[1] == {"total": 4, "name": "x"}


def aggregate_of(lab, origin, program, **more):
    return lab.weir(aggregate(origin, {"a": {"path": "/a"}, "b": {"path": "/b", "need": "weak"}}, response={"jq": program}, **more))


def test_it_sees_all_names(lab):
    origin = lab.origin(site(**{"a": {"x": 1}, "b": {"y": 2}}))
    weir = aggregate_of(lab, origin, "{a, b, id, q: .request.query, m: .request.method, missing}")
    assert ask(weir, "/orders/7?z=1")[1] == {"a": {"x": 1}, "b": {"y": 2}, "id": "7", "q": "z=1", "m": "GET", "missing": []}


def test_a_weak_call_that_is_missing(lab):
    origin = lab.origin(lambda r, p: as_json({"x": 1}) if r.target == "/a" else reply(500))
    weir = aggregate_of(lab, origin, "{missing, b}")
    assert ask(weir)[1] == {"missing": ["b"], "b": None}


FAULTS = {".a.x.y": "Cannot index number", "empty": "it made nothing", 'error("no")': "no", ".a[0]": "Cannot index object"}


@pytest.mark.parametrize("program", FAULTS)
def test_a_program_that_fails_is_502(lab, program):
    origin = lab.origin(site(**{"a": {"x": 1}, "b": {}}))
    weir = aggregate_of(lab, origin, program)
    for _ in range(2):
        problem = ask(weir, status=502)[1]
        assert problem["code"] == "template_failed" and FAULTS[program] in problem["detail"], problem


def test_the_first_output_is_taken(lab):
    origin = lab.origin(site(**{"a": [1, 2, 3], "b": {}}))
    assert ask(aggregate_of(lab, origin, ".a[]"))[1] == 1


def test_bodies_of_requests_and_answers(lab):
    origin = lab.origin(lambda r, p: as_json({"got": json.loads(r.body)}))
    weir = lab.weir({"upstreams": {"o": {"endpoints": [origin.url]}}, "routes": [
        {"match": {"path": "/x", "methods": ["POST"]}, "proxy": {"upstream": "o", "transform": {
            "request": {"jq": ".request.body | to_entries"}, "response": {"jq": "{s: .status, first: .response.got[0]}"}}}},
        {"match": {"path": "/own/{name}"}, "respond": {"json": {"jq": '"hello " + (.name | ascii_upcase)'}}}]})
    assert weir.post("/x", b'{"a": 1}').json() == {"s": 200, "first": {"key": "a", "value": 1}}
    assert weir.get("/own/ada").json() == "hello ADA"


def test_many_at_once(lab):
    import threading
    weir = lab.weir({"workers": 2, "routes": [{"match": {"path": "/{n}"}, "respond": {"json": {"jq": "[range(2000)] | add + (.[0] // 0)"}}}]})
    got = []
    threads = [threading.Thread(target=lambda: got.append(weir.get("/1").status)) for _ in range(20)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(got) == 20


@pytest.mark.parametrize("program, said", {".a |": "jq does not understand the program", "nothing(1)": "nothing/1 is not defined"}.items())
def test_a_wrong_program_is_an_error_of_the_config(tmp_path, program, said):
    path = tmp_path / "w.yaml"
    path.write_text(yaml.dump({"version": 1, "listen": [":8080"], "routes": [{"match": "/x", "respond": {"json": {"jq": program}}}]}))
    done = run_weir("check", "-c", str(path))
    assert done.returncode == 1 and said in done.stderr, done.stderr
