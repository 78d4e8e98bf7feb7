"""What a proxy route changes about path, query and Host, and what can never come of it."""
import pytest

from harness import proxy, run_weir
from test_upstream_faults import problem


def route(origin, **options):
    config = proxy(origin)
    config["routes"] = [{"match": {"path": "/*"}, "proxy": {"upstream": "origin", **options}}]
    return config


def target(response):
    assert response.status == 200, response
    return response.json()["target"]


@pytest.mark.parametrize("options, asked, sent", [
    ({"add_prefix": "/v2"}, "/a?b=c", "/v2/a?b=c"),
    ({"add_prefix": "/v2/"}, "/", "/v2/"),
    ({"strip_prefix": "/api", "add_prefix": "/v2"}, "/api/x", "/v2/x"),
    ({"rewrite": {"regex": "^/dir(.*)", "to": "/$1"}}, "/dir/x/y?q", "/x/y?q"),
    ({"rewrite": {"regex": "^/dir(.*)", "to": "/$1"}}, "/other", "/other"),
    ({"rewrite": [{"regex": "^/a/", "to": "/b/"}, {"regex": "^/b/", "to": "/c/"}]}, "/a/x", "/b/x"),
    ({"rewrite": [{"regex": "^/a/", "to": "/b/"}, {"regex": "^/b/", "to": "/c/"}]}, "/b/x", "/c/x"),
    ({"rewrite": {"regex": "(\\d+)-(\\d+)", "to": "$2/$1$$"}}, "/n/1-22/z", "/n/22/1$/z"),
    ({"rewrite": {"regex": "^/users/([^/]+)$", "to": "/u/$1/profile"}}, "/users/a%20b", "/u/a%20b/profile"),
    ({"strip_prefix": "/api", "rewrite": {"regex": "^/old", "to": "/new"}, "add_prefix": "/x"}, "/api/old/1",
     "/x/new/1"),
    ({"query": {"remove": ["debug"]}}, "/?a=1&debug=1&b&debug", "/?a=1&b"),
    ({"query": {"set": {"a": "x y&z"}}}, "/?a=1&b=2&a=3", "/?b=2&a=x%20y%26z"),
    ({"query": {"add": {"a": "2"}}}, "/?a=1", "/?a=1&a=2"),
    ({"query": {"add": {"a": "2"}}}, "/", "/?a=2"),
    ({"query": {"remove": ["a"]}}, "/?a=1", "/"),
])
def test_targets(lab, options, asked, sent):
    weir = lab.weir(route(lab.origin(), **options))
    assert target(weir.get(asked)) == sent


def test_options_star_stays(lab):
    weir = lab.weir(route(lab.origin(), add_prefix="/v2", rewrite={"regex": ".", "to": "/"}))
    assert target(weir.request("OPTIONS", "*")) == "*"


def headers(response):
    return {name.lower(): value for name, value in response.json()["headers"]}


def test_host(lab):
    origin = lab.origin()
    weir = lab.weir(route(origin))
    assert headers(weir.get())["host"] == "weir.test"
    weir.reload(route(origin, host="orders.internal:81"))
    got = headers(weir.get())
    assert got["host"] == "orders.internal:81" and got["x-forwarded-host"] == "weir.test"
    weir.reload(route(origin, host="endpoint"))
    got = headers(weir.get())
    assert got["host"] == origin.url[len("http://"):] and got["x-forwarded-host"] == "weir.test"


@pytest.mark.parametrize("asked", ["/x%0d%0aInjected:%201", "/x%0aInjected", "/x%00"])
def test_S30_escapes_are_not_made_bytes(lab, asked):
    """What is captured is escaped as it came: no group can end the request line. (Control characters are refused before.)"""
    weir = lab.weir(route(lab.origin(), rewrite={"regex": "^/(.*)$", "to": "/got/$1"}))
    problem(weir.get(asked), 400, "bad_path")


@pytest.mark.parametrize("options, asked", [
    ({"rewrite": {"regex": "^/a(.*)", "to": "$1"}}, "/a"),            # no path
    ({"rewrite": {"regex": "^/a(.*)", "to": "evil.example$1"}}, "/a/b"),
    ({"rewrite": {"regex": "^/(.*)", "to": "@evil.example/$1"}}, "/a"),
])
def test_S29_what_is_no_path_is_not_sent(lab, options, asked):
    origin = lab.origin()
    weir = lab.weir(route(origin, **options))
    problem(weir.get(asked), 500, "bad_output")
    assert not origin.requests


@pytest.mark.parametrize("to, asked, sent", [
    ("//evil.example/$1", "/a", "/evil.example/a"),
    ("/../../$1", "/a", None),
    ("/x/../$1", "/a", "/a"),
    ("/x/$1", "/..%2fetc", None),
])
def test_A09_a_rewrite_makes_a_path_and_nothing_else(lab, to, asked, sent):
    """Neither the connection nor Host depends on what was asked for."""
    origin = lab.origin()
    weir = lab.weir(route(origin, rewrite={"regex": "^/(.*)$", "to": to}))
    response = weir.get(asked)
    if sent is None:
        assert response.status in (400, 500) and not origin.requests
    else:
        assert target(response) == sent
        assert headers(response)["host"] == "weir.test"


@pytest.mark.parametrize("asked", ["http://169.254.169.254/latest", "http://localhost:22/x", "/@evil", "/http://evil/x"])
def test_A09_targets_do_not_choose_the_upstream(lab, asked):
    origin = lab.origin()
    weir = lab.weir(route(origin))
    response = weir.get(asked)
    assert response.status == 200
    assert len(origin.requests) == 1
    assert weir.metric("weir_endpoint_requests_total", endpoint=origin.url) == 1


def test_R09_a_costly_match_ends(lab):
    """Nested repetition on a path that does not match in the end: limited, counted, and the worker goes on."""
    origin = lab.origin()
    weir = lab.weir(route(origin, rewrite={"regex": "^/(([a-z])+.)+[A-Z]([a-z])+$", "to": "/$1"}))
    with weir.refuses("rewrite_limit"):
        problem(weir.get("/" + "a" * 3000), 500, "rewrite_limit")
    assert not origin.requests
    assert target(weir.get("/x")) == "/x"


@pytest.mark.parametrize("options, said", [
    ({"rewrite": {"regex": "^/(a", "to": "/"}}, "missing closing parenthesis at character 5"),
    ({"rewrite": {"regex": "^/a", "to": "/$1"}}, '"to" holds $ without a group: the expression has 0'),
    ({"rewrite": {"regex": "^/a", "to": "/$"}}, '"to" holds $ without a group'),
    ({"rewrite": {"regex": "^/a", "to": "/x?y"}}, '"to" makes a path'),
    ({"rewrite": {"regex": "^/a"}}, 'a rewrite needs "to"'),
    ({"add_prefix": "v2"}, "add_prefix must be a path"),
    ({"add_prefix": "/a/../b"}, "add_prefix must be a path"),
    ({"host": "a b"}, "host is `endpoint`, or a name"),
])
def test_config_errors(tmp_path, options, said):
    import json
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps({"version": 1, "listen": [":0"], "upstreams": {"origin": {"endpoints": ["http://h"]}},
                                "routes": [{"match": "/*", "proxy": {"upstream": "origin", **options}}]}))
    done = run_weir("check", "-c", str(path))
    assert done.returncode == 1 and said in done.stderr, done.stderr


@pytest.mark.parametrize("deny, status", [(["127.0.0.0/8", "::1"], 502), (["192.0.2.0/24"], 200), ([], 200), (None, 200)])
def test_A09_a_name_that_leads_to_a_denied_address(lab, deny, status):
    """Looked at when it is connected to, so that a name cannot change its mind (A10)."""
    origin = lab.origin()
    options = {} if deny is None else {"deny": deny}
    weir = lab.weir(proxy(f"http://localhost:{origin.port}", **options))
    answer = weir.get()
    assert answer.status == status
    if status == 502:
        problem(answer, 502, "address_denied")
        weir.wait_log("is denied")
        assert not origin.peers
        assert weir.reload(proxy(f"http://localhost:{origin.port}", deny=[])).status == 200
        assert weir.get().status == 200


def test_A09_what_the_config_names_itself_is_not_looked_at(lab):
    assert lab.weir(proxy(lab.origin(), deny=["127.0.0.0/8"])).get().status == 200


@pytest.mark.parametrize("address", ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "0.0.0.0",
                                     "224.0.0.1", "[ff02::1]"])
def test_A09_a_discovery_cannot_lead_to_the_metadata(lab, tmp_path, address):
    (tmp_path / "endpoints").write_text(f'["http://{address}:80"]')
    weir = lab.weir({"upstreams": {"o": {"discover": {"file": {"path": str(tmp_path / "endpoints")}}}},
                     "routes": [{"match": {"path": "/*"}, "proxy": "o"}]})
    problem(weir.get(), 502, "address_denied")


def test_A09_a_discovery_that_leads_to_a_denied_network(lab, tmp_path):
    origin = lab.origin()
    (tmp_path / "endpoints").write_text(f'["{origin.url}"]')
    upstream = {"discover": {"file": {"path": str(tmp_path / "endpoints")}}}
    config = {"upstreams": {"o": {**upstream, "deny": ["127.0.0.0/8"]}}, "routes": [{"match": {"path": "/*"}, "proxy": "o"}]}
    weir = lab.weir(config)
    problem(weir.get(), 502, "address_denied")
    assert not origin.peers
    config["upstreams"]["o"] = upstream
    assert weir.reload(config).status == 200
    assert weir.get().status == 200
