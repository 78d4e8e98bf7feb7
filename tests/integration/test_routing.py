"""Which route takes a request."""
import pytest

from harness import free_port, proxy, run_weir

CONFIG = """
routes:
  - {match: {path: /}, respond: {body: root}}
  - {match: {path: /orders}, respond: {body: orders}}
  - {match: {path: "/orders/{id}"}, respond: {body: order}}
  - {match: {path: "/orders/{id}/lines"}, respond: {body: lines}}
  - {match: {path: "/orders/{id}/*"}, respond: {body: below an order}}
  - {match: {path: /orders/open}, respond: {body: open orders}}
  - {match: {path: "/files/*"}, respond: {body: files}}
  - {match: {path: "/files/images/*"}, respond: {body: images}}
  - {match: {path: /files/images/logo.png}, respond: {body: logo}}
  - {match: {path: /things, methods: [GET]}, respond: {body: get things}}
  - {match: {path: /things, methods: [POST, PUT]}, respond: {body: change things}}
  - {match: {path: /read, methods: [GET]}, respond: {body: read}}
  - {match: {path: /site, host: a.example}, respond: {body: site a}}
  - {match: {path: /site, host: b.example}, respond: {body: site b}}
  - {match: {path: /site}, respond: {body: any site}}
  - {match: {path: /only, host: a.example}, respond: {body: only a}}
"""


@pytest.fixture(scope="module")
def site(module_lab):
    return module_lab.weir(CONFIG)


@pytest.mark.parametrize("target, body", [
    ("/", "root"), ("/?q=1", "root"), ("/orders", "orders"), ("/orders?x=/y", "orders"), ("/orders/7", "order"),
    ("/orders/open", "open orders"), ("/orders/opened", "order"), ("/orders/7/lines", "lines"),
    ("/orders/7/lines/2", "below an order"), ("/orders/open/lines", "lines"), ("/orders/7/x", "below an order"),
    ("/files/a", "files"), ("/files/a/b/c", "files"), ("/files/images/a.png", "images"),
    ("/files/images/logo.png", "logo"), ("/files/imagesx", "files"), ("/files/images/logo.png/x", "images"),
])
def test_the_most_specific_route_wins(site, target, body):
    response = site.get(target)
    assert response.status == 200 and response.body.decode() == body


@pytest.mark.parametrize("target, body", [
    ("//orders", "orders"), ("/./orders", "orders"), ("/x/../orders", "orders"), ("/%6frders", "orders"),
    ("/files/../orders/%6Fpen", "open orders"), ("/files//images/./a.png", "images"), ("/orders/%37", "order"),
])
def test_P02_routes_see_the_normal_path(site, target, body):
    assert site.get(target).body.decode() == body


@pytest.mark.parametrize("target", ["/nothing", "/order", "/ordersx", "/Orders", "/orders;v=1"])
def test_no_route(site, target):
    with site.refuses("no_route"):
        response = site.get(target)
    assert response.status == 404
    assert response.header("content-type") == "application/problem+json"
    problem = response.json()
    assert (problem["status"], problem["code"], problem["type"]) == (404, "no_route", "urn:weir:error:no_route")
    assert problem["title"] and problem["detail"]


def test_methods_choose_among_routes_of_a_path(site):
    assert site.get("/things").body == b"get things"
    assert site.post("/things").body == b"change things"
    assert site.request("PUT", "/things", body=b"").body == b"change things"


@pytest.mark.parametrize("target, method, allowed", [
    ("/things", "DELETE", {"GET", "POST", "PUT"}), ("/read", "POST", {"GET"}), ("/read", "get2", {"GET"}),
])
def test_a_wrong_method_hears_the_right_ones(site, target, method, allowed):
    with site.refuses("method_not_allowed"):
        response = site.request(method, target)
    assert response.status == 405
    assert response.json()["code"] == "method_not_allowed"
    told = {m.strip() for m in response.header("allow").split(",")}
    assert allowed <= told <= allowed | {"HEAD", "OPTIONS"}


def test_head_goes_where_get_goes(site):
    response = site.request("HEAD", "/read")
    assert response.status == 200 and response.header("content-length") == "4"


def test_a_refusal_keeps_the_connection(site):
    with site.connect() as conn:
        assert conn.exchange("GET", "/nothing").status == 404
        assert conn.exchange("DELETE", "/read").status == 405
        assert conn.exchange("GET", "/orders").body == b"orders"


@pytest.mark.parametrize("host, body", [
    ("a.example", "site a"), ("b.example", "site b"), ("A.Example", "site a"), ("a.example:8080", "site a"),
    ("c.example", "any site"), ("xa.example", "any site"),
])
def test_host(site, host, body):
    assert site.get("/site", host=host).body.decode() == body


def test_a_route_of_a_host_is_not_there_for_others(site):
    assert site.get("/only", host="a.example").body == b"only a"
    assert site.get("/only", host="b.example").status in (404, 421)


def test_the_host_of_an_absolute_target_wins(site):
    assert site.get("http://b.example/site", host="a.example").body == b"site b"


def test_listener(lab):
    first, second = free_port(), free_port()
    weir = lab.weir(f"""
        listen: [{{addr: "127.0.0.1:{first}"}}, {{addr: "127.0.0.1:{second}"}}]
        routes:
          - {{match: {{path: /x, listen: "127.0.0.1:{first}"}}, respond: {{body: first}}}}
          - {{match: {{path: /x, listen: "127.0.0.1:{second}"}}, respond: {{body: second}}}}
          - {{match: {{path: /inner, listen: "127.0.0.1:{second}"}}, respond: {{body: inner}}}}
    """)
    for port, body, inner in ((first, b"first", 404), (second, b"second", 200)):
        with weir.connect(("127.0.0.1", port)) as conn:
            assert conn.exchange("GET", "/x").body == body
            assert conn.exchange("GET", "/inner").status == inner


def test_strip_prefix(lab):
    config = proxy(lab.origin(), path="/api/*")
    config["routes"][0]["proxy"]["strip_prefix"] = "/api"
    weir = lab.weir(config)
    assert weir.get("/api/orders/7?x=1").json()["target"] == "/orders/7?x=1"
    assert weir.get("/api/").json()["target"] == "/"
    assert weir.get("/api/api/x").json()["target"] == "/api/x"
    assert weir.get("/x//../api/%6frders").json()["target"] == "/orders"


def test_without_strip_prefix_the_path_stays(lab):
    weir = lab.weir(proxy(lab.origin(), path="/api/*"))
    assert weir.get("/api/orders?x").json()["target"] == "/api/orders?x"


@pytest.mark.parametrize("target, normal", [
    ("/a/%2e%2e/b", "/b"), ("/a/./b//c", "/a/b/c"), ("/a%7Eb", "/a~b"), ("/%252e%252e/x", "/%252e%252e/x"),
    ("/a;b=c/d", "/a;b=c/d"), ("/caf%c3%a9", "/caf%C3%A9"), ("/a/b/..", "/a/"),
])
def test_P01_the_origin_gets_the_normal_path(lab, target, normal):
    assert lab.weir(proxy(lab.origin())).get(target).json()["target"] == normal


def explain(*arguments):
    return run_weir("explain", *arguments)


def test_explain_names_the_route(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text("""
version: 1
listen: [":8080"]
use: [request_id]
upstreams: {orders: {endpoints: ["http://127.0.0.1:9001"]}}
routes:
  - {match: {path: "/api/*", methods: [GET]}, deadline: 7s, proxy: {upstream: orders, strip_prefix: /api}}
  - {match: {path: /hello}, respond: {body: hi}}
""")
    done = explain("-c", file, "GET", "http://weir.test/api/x")
    assert done.returncode == 0, done.stderr
    for word in ("/api/*", "proxy", "orders", "request_id", "7s"):
        assert word in done.stdout, done.stdout
    assert "respond" not in done.stdout
    done = explain("-c", file, "GET", "/hello")
    assert done.returncode == 0 and "/hello" in done.stdout and "respond" in done.stdout


def test_explain_says_when_nothing_matches(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text("version: 1\nlisten: [\":8080\"]\n"
                    "routes: [{match: {path: /hello, methods: [GET]}, respond: {body: hi}}]\n")
    assert "404" in explain("-c", file, "GET", "/nothing").stdout
    done = explain("-c", file, "POST", "/hello")
    assert "405" in done.stdout and "GET" in done.stdout


def test_explain_knows_what_a_listener_lets_in(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text("version: 1\nlisten: [\":8080\", {addr: \":8081\", allow: [encoded_slash]}]\n"
                    "routes: [{match: {path: \"/p/{name}\", host: a.example}, respond: {body: hi}}]\n")
    done = explain("-c", file, "http://a.example:8081/p/x%2fy")
    assert done.returncode == 0 and "name = x%2Fy" in done.stdout, done.stdout
    done = explain("-c", file, "http://a.example:8080/p/x%2fy")
    assert done.returncode != 0 and "encoded slash" in done.stderr
    assert "421 misdirected" in explain("-c", file, "http://b.example:8080/p/x").stdout
    assert "404 no_route" in explain("-c", file, "http://a.example:8080/q").stdout
