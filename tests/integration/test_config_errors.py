"""Wrong configs. In the texts a » stands before the place that the message must name; it is taken out before weir sees
the file. A message is `file:line:column: message`."""
import json
import os
import re
import socket
import subprocess

import pytest
import yaml

from harness import WEIR_BIN, assert_clean, environment, free_port, run_weir
from wire import LIMIT

MARK = "»"
UPSTREAM = 'upstreams: {orders: {endpoints: ["http://127.0.0.1:9001"]}}\n'
ROUTES = "routes: [{match: {path: /}, respond: {body: hi}}]\n"
LISTEN = 'listen: [":8080"]\n'  # stands at the end of those that name none

# name: text, then for each mark the words that its message holds
CASES = {
    # unknown keys, with the nearest name
    "unknown option at the top": (LISTEN + "version: 1\n»rutes: []\n" + ROUTES, ["rutes", "routes"]),
    "unknown limit": ("version: 1\nlimits: {»max_bodi: 1MiB}\n" + ROUTES, ["max_bodi", "max_body"]),
    "unknown option of an upstream": (
        "version: 1\nupstreams:\n  orders:\n    endpoints: [\"http://127.0.0.1:1\"]\n    »time_out: 1s\n" + ROUTES,
        ["time_out", "timeout"]),
    "unknown option of a match": (
        "version: 1\nroutes:\n  - match: {path: /, »metods: [GET]}\n    respond: {}\n", ["metods", "methods"]),
    "unknown handler": (
        "version: 1\n" + UPSTREAM + "routes:\n  - match: {path: /}\n    »proxi: {upstream: orders}\n",
        ["proxi", "proxy"]),
    "unknown option of a handler": (
        "version: 1\nroutes:\n  - match: {path: /}\n    respond: {»stats: 200}\n", ["stats", "status"]),
    "unknown option far from all names": ("version: 1\n»qqqqqqqq: 1\n" + ROUTES, ["qqqqqqqq", "upstreams"]),
    "unknown middleware in use": ("version: 1\nuse: [»request_ids]\n" + ROUTES, ["request_ids", "request_id"]),
    "unknown middleware in a route": (
        "version: 1\nroutes:\n  - {match: {path: /}, use: [»acces_log], respond: {}}\n", ["acces_log", "access_log"]),
    "unknown kind of middleware": ("version: 1\nmiddleware: {mine: {»heders: {}}}\n" + ROUTES, ["heders", "headers"]),
    # duplicate keys
    "duplicate key at the top": ("version: 1\nworkers: 1\n»workers: 2\n" + ROUTES, ["workers", "twice", "line 2"]),
    "duplicate key in a map": (
        "version: 1\nlimits: {max_uri: 1KiB, »max_uri: 2KiB}\n" + ROUTES, ["max_uri", "twice"]),
    "duplicate upstream": (
        'version: 1\nupstreams:\n  a: {endpoints: ["http://127.0.0.1:1"]}\n  »a: {endpoints: ["http://127.0.0.1:2"]}\n'
        + ROUTES, ["twice", "line 3"]),
    # wrong types
    "a number where a map is due": ("version: 1\nlimits: »7\n" + ROUTES, ["limits", "map"]),
    "a map where a list is due": ("version: 1\nroutes: »{}\n", ["routes", "list"]),
    "a word where a number is due": ("version: 1\nworkers: »many\n" + ROUTES, ["workers", "many", "number"]),
    "a text where a list is due": (
        "version: 1\nroutes:\n  - {match: {path: /, methods: »GET}, respond: {}}\n", ["methods", "list"]),
    "a list where a text is due": (
        "version: 1\nroutes:\n  - {match: {path: /}, respond: {body: »[a]}}\n", ["body", "text"]),
    "a status that is none": (
        "version: 1\nroutes:\n  - {match: {path: /}, respond: {status: »fine}}\n", ["status", "fine"]),
    "a quoted number": ("version: 1\nworkers: »\"2\"\n" + ROUTES, ["workers", "quotes"]),
    "a list instead of a config": ("»- version: 1\n- listen\n", ["map", "version: 1"]),
    # units
    "a duration without unit": (
        'version: 1\nupstreams: {a: {endpoints: ["http://127.0.0.1:1"], timeout: »30}}\n' + ROUTES,
        ["timeout", "30s", "30ms"]),
    "a deadline without unit": (
        "version: 1\nroutes:\n  - {match: {path: /}, deadline: »150, respond: {}}\n", ["deadline", "150ms"]),
    "a size without unit": ("version: 1\nlimits: {max_body: »1000}\n" + ROUTES, ["max_body", "1000", "KiB"]),
    "an unknown unit": ("version: 1\nlimits: {idle_timeout: »3 min}\n" + ROUTES, ["idle_timeout", "1m30s"]),
    "a duration for a size": ("version: 1\nlimits: {max_uri: »8s}\n" + ROUTES, ["max_uri", "size"]),
    # ranges
    "below the range": ("version: 1\nlimits: {max_headers: »0}\n" + ROUTES, ["max_headers", "1"]),
    "not a status": ("version: 1\nroutes:\n  - {match: {path: /}, respond: {status: »99}}\n", ["status", "200"]),
    "a number too large to hold": (
        "version: 1\nlimits: {max_headers: »99999999999999999999}\n" + ROUTES, ["max_headers", "too large"]),
    # references
    "dangling upstream": (
        "version: 1\n" + UPSTREAM + "routes:\n  - {match: {path: /}, proxy: {upstream: »orderz}}\n",
        ["orderz", "orders"]),
    "dangling upstream without any": (
        "version: 1\nroutes:\n  - {match: {path: /}, proxy: {upstream: »orders}}\n", ["orders"]),
    "dangling listener": (
        'version: 1\nlisten: [":8080"]\nroutes:\n  - {match: {path: /, listen: »":8081"}, respond: {}}\n',
        ["8081", "8080"]),
    # routes
    "a tie": (
        "version: 1\nroutes:\n  - match: {path: /x}\n    respond: {}\n  - match: »{path: /x}\n    respond: {}\n",
        ["/x", "line 3"]),
    "a tie under other names": (
        "version: 1\nroutes:\n  - {match: {path: \"/a/{x}\"}, respond: {}}\n"
        "  - {match: »{path: \"/a/{y}\"}, respond: {}}\n", ["/a/{", "line 3"]),
    "a tie of one method": (
        "version: 1\nroutes:\n  - {match: {path: /x, methods: [GET, POST]}, respond: {}}\n"
        "  - {match: »{path: /x, methods: [POST, PUT]}, respond: {}}\n", ["/x", "line 3"]),
    "a tie on one host": (
        "version: 1\nroutes:\n  - {match: {path: /x, host: a.example}, respond: {}}\n"
        "  - {match: »{path: /x, host: A.example}, respond: {}}\n", ["/x", "line 3"]),
    "a path without its slash": ("version: 1\nroutes:\n  - {match: {path: »orders}, respond: {}}\n", ["orders", "/"]),
    "a star in the middle": ("version: 1\nroutes:\n  - {match: {path: »\"/a/*/b\"}, respond: {}}\n", ["*"]),
    "a brace that is not closed": ("version: 1\nroutes:\n  - {match: {path: »\"/a/{b\"}, respond: {}}\n", ["}"]),
    "a parameter twice": ("version: 1\nroutes:\n  - {match: {path: »\"/{a}/{a}\"}, respond: {}}\n", ["a"]),
    "unreachable: no request has such a path": (
        "version: 1\nroutes:\n  - {match: {path: »/a/../b}, respond: {}}\n", ["never"]),
    "a route without match": ("version: 1\nroutes:\n  - »{respond: {}}\n", ["match"]),
    "a route without handler": ("version: 1\nroutes:\n  - »{match: {path: /}}\n", ["handler", "proxy", "respond"]),
    "a route with two handlers": (
        "version: 1\n" + UPSTREAM +
        "routes:\n  - match: {path: /}\n    respond: {}\n    »proxy: {upstream: orders}\n", ["handler", "respond"]),
    "a proxy to nobody": (
        "version: 1\nroutes:\n  - match: {path: /}\n    »proxy: {}\n", ["upstream"]),
    "a body and a json": (
        "version: 1\nroutes:\n  - match: {path: /}\n    respond: {body: a, »json: {b: 1}}\n", ["body", "json"]),
    "a host with its port": (
        'version: 1\nroutes:\n  - {match: {path: /, host: »"a.example:80"}, respond: {}}\n', ["port"]),
    "a header name that is none": (
        'version: 1\nroutes:\n  - {match: {path: /}, respond: {headers: {»"X A": b}}}\n', ["X A"]),
    "S29 a line break in a header": (
        'version: 1\nroutes:\n  - {match: {path: /}, respond: {headers: {X-A: »"a\\r\\nb"}}}\n', ["X-A"]),
    # addresses
    "an address without port": ('version: 1\nlisten: [»"127.0.0.1"]\n' + ROUTES, ["127.0.0.1:8080"]),
    "a name to listen on": ('version: 1\nlisten: [»"localhost:8080"]\n' + ROUTES, ["localhost", "127.0.0.1"]),
    "a port out of range": ('version: 1\nlisten: [»":70000"]\n' + ROUTES, ["65535"]),
    "a listener twice": ('version: 1\nlisten: [":8080", »":8080"]\n' + ROUTES, [":8080"]),
    "an upstream without endpoints": ("version: 1\nupstreams: {a: {endpoints: »[]}}\n" + ROUTES, ["endpoints"]),
    "an upstream without anything": ("version: 1\nupstreams: {»a: {}}\n" + ROUTES, ["endpoints"]),
    "an endpoint that is no URL": ("version: 1\nupstreams: {a: {endpoints: [»orders]}}\n" + ROUTES, ["http://"]),
    "an endpoint with a path": (
        'version: 1\nupstreams: {a: {endpoints: [»"http://a:1/x"]}}\n' + ROUTES, ["path"]),
    "a network with too many bits": ("version: 1\ntrusted_proxies: [»10.0.0.0/33]\n" + ROUTES, ["32"]),
    # not built yet: said, and not "unknown"
    "tls to upstreams": (
        'version: 1\nupstreams: {a: {endpoints: [»"https://a"]}}\n' + ROUTES, ["not built yet"]),
    # environment
    "a variable that is not set": (
        'version: 1\nupstreams: {a: {endpoints: [»"http://${WEIR_TEST_NO_SUCH}:80"]}}\n' + ROUTES,
        ["WEIR_TEST_NO_SUCH", "not set", ":-"]),
    "a variable that is not closed": (
        'version: 1\nupstreams: {a: {endpoints: [»"http://${WEIR_TEST:80"]}}\n' + ROUTES, ["}"]),
    # version
    "no version": ("»" + ROUTES, ["version"]),
    "another version": ("version: »2\n" + ROUTES, ["version", "1"]),
    # YAML
    "a tab": ("version: 1\nlimits:\n»\tmax_uri: 1KiB\n" + ROUTES, ["tab"]),
    "a bracket that is not closed": (LISTEN + "version: 1\nroutes: [{match: {path: /}\n»", ["YAML"]),
    "an anchor": ("version: 1\nlimits: »&l {max_uri: 1KiB}\n" + ROUTES, ["anchor"]),
    # all in one go
    "several": (
        "version: 1\n»workrs: 1\nlimits:\n  max_body: »5\n  »max_headrs: 3\n"
        "routes:\n  - {match: {path: »x}, respond: {}}\n  - {match: {path: /y}, proxy: {upstream: »nowhere}}\n",
        ["workers"], ["max_body"], ["max_headers"], ["/"], ["nowhere"]),
    "several, of them a tie": (
        "version: 1\nlimits: {»max_headrs: 3}\n"
        "routes:\n  - {match: {path: /x}, respond: {}}\n  - {match: »{path: /x}, respond: {}}\n",
        ["max_headers"], ["line 4"]),
    "several in templates": (
        "version: 1\n" + UPSTREAM + "routes:\n  - match: /a/{id}\n    aggregate:\n      calls:\n"
        "        one: {upstream: orders, path: '/x/{»nosuch}', headers: {x: '{»bad.x}'}, body: {a: '»$also.bad', b: '»$upper()'}}\n"
        "        two: {upstream: orders, path: '/y/»{one.z'}\n"
        "      response: {a: '»$thre', b: '»$tow.x', c: {$each: '$one.items', $as: i, $do: '»$j.x'}, d: {$if: '»$k', $then: '»$l', $else: '»$m'}}\n"
        "  - match: /b\n    respond: {json: ['»$nope', '»$nada']}\n",
        ["nosuch"], ["bad"], ["also"], ["upper"], ["brace"], ["thre"], ["tow"], ["\"j\""], ["\"k\""], ["\"l\""], ["\"m\""], ["nope"], ["nada"]),
    "several ties": (
        "version: 1\nroutes:\n  - {match: {path: /x}, respond: {}}\n  - {match: »{path: /x}, respond: {}}\n"
        "  - {match: »{path: /x}, respond: {}}\n", ["line 3"], ["line 3"]),
}


def places(marked):
    """The text without marks, and the (line, column) of each."""
    found = []
    while MARK in marked:
        before, marked = marked.split(MARK, 1)
        found.append((before.count("\n") + 1, len(before) - before.rfind("\n")))
        marked = before + marked
    return marked, found


@pytest.mark.parametrize("name", CASES)
def test_error(name, tmp_path):
    marked, *words = CASES[name]
    text, wanted = places(marked)
    text += "" if "listen" in text else LISTEN
    file = tmp_path / "weir.yaml"
    file.write_text(text, encoding="utf-8")
    done = run_weir("check", "-c", file)
    assert done.returncode == 1, done
    lines = [line for line in done.stderr.splitlines() if line.startswith(f"{file}:")]
    told = [re.match(r"(\d+):(\d+): (.+)", line[len(f"{file}:"):]) for line in lines]
    assert all(told), done.stderr
    assert [(int(m[1]), int(m[2])) for m in told] == wanted, done.stderr
    for match, expected in zip(told, words):
        for word in expected:
            assert word in match[3], f'"{word}" is not in: {match[3]}'


def test_a_good_config_is_good(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text("version: 1\n" + LISTEN + UPSTREAM + "routes: [{match: {path: /}, proxy: {upstream: orders}}]\n")
    done = run_weir("check", "-c", file)
    assert done.returncode == 0, done.stderr
    assert ": error" not in done.stderr and f"{file}:" not in done.stderr


def test_the_environment_is_put_in(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text("version: 1\n" + LISTEN + "routes: [{match: {path: \"${WEIR_TEST_PATH}\"}, "
                    "deadline: \"${WEIR_TEST_D:-7s}\", respond: {}}]\n")
    done = run_weir("explain", "-c", file, "GET", "/from-env", env={"WEIR_TEST_PATH": "/from-env"})
    assert done.returncode == 0 and "/from-env" in done.stdout and "7s" in done.stdout


def test_a_wrong_value_from_the_environment_names_the_variable(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text("version: 1\nlimits: {max_uri: \"${WEIR_TEST_MAX}\"}\n" + LISTEN + ROUTES)
    done = run_weir("check", "-c", file, env={"WEIR_TEST_MAX": "hunter2"})
    assert done.returncode == 1
    assert f"{file}:2:19: " in done.stderr and "WEIR_TEST_MAX" in done.stderr
    assert "hunter2" not in done.stderr  # it may be a secret


def test_a_directory_is_one_config(tmp_path):
    (tmp_path / "10-main.yaml").write_text("version: 1\n" + LISTEN + UPSTREAM)
    (tmp_path / "20-routes.yaml").write_text("routes:\n  - {match: {path: /}, proxy: {upstream: orders}}\n")
    assert run_weir("check", "-c", tmp_path).returncode == 0
    (tmp_path / "20-routes.yaml").write_text("routes:\n  - {match: {path: /}, proxy: {upstream: orderz}}\n")
    done = run_weir("check", "-c", tmp_path)
    assert done.returncode == 1
    assert "20-routes.yaml:2:42: " in done.stderr


def test_the_default_file_is_weir_yaml(tmp_path):
    (tmp_path / "weir.yaml").write_text("version: 1\n" + LISTEN + ROUTES)
    assert run_weir("check", cwd=tmp_path).returncode == 0
    (tmp_path / "weir.yaml").write_text("version: 1\nworkers: x\n" + LISTEN + ROUTES)
    done = run_weir("check", cwd=tmp_path)
    assert done.returncode == 1 and "weir.yaml:2:10: " in done.stderr


@pytest.mark.parametrize("verb", ["check", "run"])
def test_a_file_that_is_not_there(tmp_path, verb):
    done = run_weir(verb, "-c", tmp_path / "none.yaml")
    assert done.returncode == 1 and "none.yaml" in done.stderr


def test_a_file_that_is_huge(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text("version: 1\n" + "# filler\n" * 600000)
    done = run_weir("check", "-c", file)
    assert done.returncode == 1 and "4 MiB" in done.stderr


def test_a_file_of_random_bytes(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_bytes(bytes(range(256)) * 10)
    done = run_weir("check", "-c", file)
    assert done.returncode == 1 and f"{file}:1:1: " in done.stderr


# ---- nothing is bound ----

def bad_config(tmp_path, listener):
    file = tmp_path / "weir.yaml"
    file.write_text(f'version: 1\nlisten: ["{listener}"]\nadmin: {{addr: "127.0.0.1:{free_port()}"}}\n'
                    "routes:\n  - {match: {path: /}, respond: {status: ok}}\n")
    return file


def test_run_with_a_bad_config_ends_with_1_and_the_same_words(tmp_path):
    file = bad_config(tmp_path, f"127.0.0.1:{free_port()}")
    checked, ran = run_weir("check", "-c", file), run_weir("run", "-c", file)
    assert ran.returncode == 1
    errors = [line for line in checked.stderr.splitlines() if line.startswith(str(file))]
    assert errors and all(line in ran.stderr for line in errors)


def test_run_with_a_bad_config_binds_nothing(tmp_path_factory):
    """A unix socket stays behind when it is bound, and is seen."""
    short = tmp_path_factory.mktemp("s")
    path = short / "weir.sock"
    assert run_weir("run", "-c", bad_config(short, f"unix:{path}")).returncode == 1
    assert not os.path.exists(path)


@pytest.mark.parametrize("verb", ["check", "run"])
def test_a_bad_config_is_told_although_the_port_is_taken(tmp_path, verb):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run_weir(verb, "-c", bad_config(tmp_path, f"127.0.0.1:{taken.getsockname()[1]}"))
    assert done.returncode == 1 and "status" in done.stderr and "in use" not in done.stderr


def test_check_binds_nothing(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        file = tmp_path / "weir.yaml"
        file.write_text(f'version: 1\nlisten: ["127.0.0.1:{taken.getsockname()[1]}"]\n' + ROUTES)
        assert run_weir("check", "-c", file).returncode == 0


# ---- the command line ----

@pytest.mark.parametrize("arguments", [
    ["runn"], ["run", "--no-such-option"], ["check", "-c"], ["run", "surplus"], ["explain"],
])
def test_bad_usage_ends_with_2(arguments):
    done = run_weir(*arguments)
    assert done.returncode == 2, done
    assert done.stderr.startswith("weir: ") and done.stdout == ""


def test_version():
    done = run_weir("version")
    assert done.returncode == 0 and re.search(r"weir \d+\.\d+\.\d+", done.stdout)


def conforms(value, schema, root):
    """The part of JSON Schema that `weir schema` uses."""
    if "$ref" in schema and not conforms(value, root["$defs"][schema["$ref"].split("/")[-1]], root):
        return False
    if not all(conforms(value, s, root) for s in schema.get("allOf", [])):
        return False
    if "anyOf" in schema and not any(conforms(value, s, root) for s in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(conforms(value, s, root) for s in schema["oneOf"]) != 1:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "type" in schema:
        names = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool,
                 "null": type(None)}
        wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(isinstance(value, names[n]) and (not isinstance(value, bool) or n == "boolean") for n in wanted):
            return False
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        return False
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return False
    if isinstance(value, list):
        return (schema.get("minItems", 0) <= len(value) and
                all(conforms(item, schema.get("items", {}), root) for item in value))
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        return all(name in value for name in schema.get("required", [])) and all(
            known.get(name, others) is not False and conforms(item, known.get(name, others), root)
            for name, item in value.items())
    return True


@pytest.fixture(scope="module")
def schema():
    done = run_weir("schema")
    assert done.returncode == 0
    return json.loads(done.stdout)


def test_schema_takes_good_configs(schema):
    assert "json-schema.org" in schema["$schema"]
    examples = os.path.join(os.path.dirname(__file__), "..", "..", "examples")
    for name in os.listdir(examples):
        if name.endswith(".yaml"):
            with open(os.path.join(examples, name), encoding="utf-8") as f:
                assert conforms(yaml.safe_load(f), schema, schema), name


@pytest.mark.parametrize("name", [
    "unknown limit", "unknown handler", "unknown option of a handler", "a number where a map is due",
    "a text where a list is due", "a list where a text is due", "a duration without unit", "a size without unit",
    "a duration for a size", "below the range", "a route without handler",
                                  "another version",
    "no version", "an endpoint that is no URL", "an address without port",
])
def test_schema_refuses_bad_ones(schema, name):
    text, _ = places(CASES[name][0])
    text += "" if "listen" in text else LISTEN
    assert not conforms(yaml.safe_load(text), schema, schema)


def test_output_into_a_closed_pipe_is_no_crash():
    done = subprocess.run(f"'{WEIR_BIN}' schema | head -c 10; exit ${{PIPESTATUS[0]}}", shell=True,
                          executable="/bin/bash", capture_output=True, text=True, timeout=LIMIT, env=environment(),
                          check=False)
    assert_clean(done.stderr)
    assert done.returncode in (0, 1, 141)
