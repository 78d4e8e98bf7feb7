"""The operator's side: metrics, health, log level."""
import json
import subprocess

import pytest

from harness import free_port, proxy, run_weir
from wire import Conn, wait_until

CONFIG = """
routes:
  - {match: {path: /hello}, respond: {body: hi}}
  - {match: {path: "/orders/{id}", methods: [GET, POST]}, respond: {status: 201}}
  - {match: {path: /fails}, respond: {status: 500}}
"""


def test_promtool_accepts_the_metrics(lab, tool):
    weir = lab.weir({**proxy(lab.origin()), "use": ["request_id"]})
    for i in range(3):
        weir.get(f"/{i}")
    weir.raw(b"nonsense\r\n\r\n")
    text = weir.admin("GET", "/metrics").body
    done = subprocess.run([tool("promtool"), "check", "metrics"], input=text, capture_output=True, timeout=60,
                          check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()


def test_metrics_content_type(lab):
    response = lab.weir(CONFIG).admin("GET", "/metrics")
    assert response.header("content-type").startswith("text/plain; version=0.0.4")


def test_counts_equal_the_requests_made(lab):
    weir = lab.weir(CONFIG)
    name = "http_server_request_duration_seconds_count"
    with weir.connect() as conn:
        for _ in range(7):
            conn.exchange("GET", "/hello")
        for i in range(5):
            conn.exchange("POST", f"/orders/{i}", body=b"x")
            conn.exchange("GET", f"/orders/{i}")
        for _ in range(2):
            conn.exchange("GET", "/fails")
        conn.exchange("HEAD", "/hello")
        conn.exchange("PROPFIND", "/hello")
        conn.exchange("GET", "/nothing")
        conn.exchange("DELETE", "/orders/1")
    weir.wait_metric(7 + 10 + 2 + 4, name)
    labels = {"http_route": "/hello", "http_request_method": "GET", "http_response_status_code": 200}
    assert weir.metric(name, **labels) == 7
    assert weir.metric(name, **{**labels, "http_request_method": "HEAD"}) == 1
    assert weir.metric(name, **{**labels, "http_request_method": "_OTHER"}) == 1
    labels = {"http_route": "/orders/{id}", "http_response_status_code": 201}
    assert weir.metric(name, **labels, http_request_method="POST") == 5
    assert weir.metric(name, **labels, http_request_method="GET") == 5
    assert weir.metric(name, http_route="/fails", http_response_status_code=500) == 2
    assert weir.metric(name, http_response_status_code=404) == 1
    assert weir.metric(name, http_response_status_code=405) == 1
    weir.wait_metric(0, "http_server_active_requests")
    metrics = weir.metrics()
    assert metrics.sum("weir_refusals_total", code="no_route") == 1
    assert metrics.sum("weir_refusals_total", code="method_not_allowed") == 1
    assert metrics.sum("http_server_request_duration_seconds_sum") > 0
    assert metrics.sum("http_server_request_duration_seconds_bucket", le="+Inf") == 23


def test_upstream_metrics(lab):
    origin = lab.origin()
    weir = lab.weir({**proxy(origin), "workers": 1})
    with weir.connect() as conn:
        for _ in range(10):
            conn.exchange()
    weir.wait_metric(10, "http_client_request_duration_seconds_count", upstream="origin")
    weir.wait_metric(10, "weir_endpoint_requests_total", upstream="origin", endpoint=origin.url)
    weir.wait_metric(9, "weir_pool_reused_total", upstream="origin")
    assert weir.metrics().find("weir_pool_wait_seconds_count", upstream="origin")


def test_metrics_about_itself(lab):
    weir = lab.weir(CONFIG)
    metrics = weir.metrics()
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "weir_build_info",
                 "weir_worker_connections", "weir_log_dropped_total"):
        assert metrics.find(name), name
    assert metrics.sum("weir_build_info") == 1


def test_the_admin_is_not_counted_as_traffic(lab):
    weir = lab.weir(CONFIG)
    for _ in range(5):
        weir.metrics()
        weir.admin("GET", "/livez")
    assert weir.served() == 0


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/-/healthy", "/-/ready"])
def test_health(lab, path):
    weir = lab.weir(CONFIG)
    assert weir.admin("GET", path).status == 200
    assert weir.admin("HEAD", path).status == 200


def test_unknown_admin_path(lab):
    response = lab.weir(CONFIG).admin("GET", "/nothing")
    assert response.status == 404
    assert response.header("content-type") == "application/problem+json"


def test_wrong_admin_method(lab):
    weir = lab.weir(CONFIG)
    response = weir.admin("GET", "/-/reload")
    assert response.status == 405 and "POST" in response.header("allow")
    response = weir.admin("POST", "/metrics", body=b"")
    assert response.status == 405 and "GET" in response.header("allow")


def test_traffic_routes_are_not_on_the_admin_address(lab):
    weir = lab.weir(CONFIG)
    assert weir.admin("GET", "/hello").status == 404
    assert weir.get("/metrics").status == 404


def set_level(weir, level):
    return weir.admin("PUT", "/api/v1/log", headers={"Content-Type": "application/json"},
                      body=json.dumps({"level": level}).encode())


def test_log_level_at_run_time(lab):
    """A reload is told at level info: unseen at error, seen once the level is changed."""
    weir = lab.weir({**proxy(lab.origin()), "log": {"level": "error", "format": "json"}})
    assert json.loads(weir.admin("GET", "/api/v1/log").body) == {"level": "error"}
    assert weir.reload().status == 200
    assert weir.log() == []
    assert set_level(weir, "info").status in (200, 204)
    assert json.loads(weir.admin("GET", "/api/v1/log").body) == {"level": "info"}
    assert weir.reload().status == 200
    wait_until(lambda: [line for line in weir.log() if line["level"] == "info"], "there are lines of that level")


def test_log_level_that_is_none(lab):
    response = set_level(lab.weir(CONFIG), "loud")
    assert response.status == 400
    assert "loud" in response.body.decode() or "debug" in response.body.decode()


def test_log_is_json_lines(lab):
    weir = lab.weir(CONFIG)
    weir.term()
    weir.wait()
    lines = weir.log()
    assert lines and len(lines) == len(weir.stderr().splitlines())
    for line in lines:
        assert {"ts", "level", "component", "msg"} <= set(line)


def test_log_as_text(lab):
    weir = lab.weir({"log": {"level": "info", "format": "text"}, "routes": [{"match": {"path": "/"}, "respond": {}}]})
    wait_until(lambda: " info " in weir.stderr(), "there are lines of text")
    assert weir.log() == []


TOKEN = "0123456789abcdef0123456789abcdef"


def test_token_where_others_can_reach_it(lab):
    """Health and metrics are open, everything else wants the token."""
    with open(lab.path("token"), "w", encoding="utf-8") as f:
        f.write(TOKEN + "\n")
    port = free_port()
    weir = lab.weir({"admin": {"addr": f":{port}", "token_file": lab.path("token")},
                     "routes": [{"match": {"path": "/"}, "respond": {}}]}, ready=False)
    weir.admin_port = port
    weir.wait_ready()
    for path in ("/metrics", "/livez", "/readyz"):
        assert weir.admin("GET", path).status == 200
    for headers in ({}, {"Authorization": f"Bearer {TOKEN[:-1]}"}, {"Authorization": f"Basic {TOKEN}"},
                    {"Authorization": f"Bearer {TOKEN}x"}):
        for method, path in (("GET", "/api/v1/log"), ("POST", "/-/reload"), ("POST", "/-/drain")):
            response = weir.admin(method, path, headers=headers)
            assert response.status == 401 and response.header("www-authenticate"), response
    assert weir.admin("GET", "/api/v1/log", headers={"Authorization": f"Bearer {TOKEN}"}).status == 200
    assert weir.admin("POST", "/-/reload", headers={"Authorization": f"Bearer {TOKEN}"}).status == 200
    assert TOKEN not in weir.stderr()


def test_no_admin_for_others_without_a_token(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text('version: 1\nlisten: [":8080"]\nadmin: {addr: ":9901"}\nroutes: [{match: /, respond: {}}]\n')
    done = run_weir("check", "-c", file)
    assert done.returncode == 1
    assert f"{file}:3:15: " in done.stderr and "token_file" in done.stderr


@pytest.mark.parametrize("headers, host", [({"Origin": "http://evil.example"}, None), ({"Origin": "null"}, None),
                                           ({}, "evil.example")], ids=["origin", "no origin", "rebound name"])
def test_a_web_page_cannot_use_the_admin_address(lab, headers, host):
    weir = lab.weir(CONFIG)
    for method, path in (("POST", "/-/reload"), ("POST", "/-/drain"), ("PUT", "/api/v1/log")):
        with weir.connect(("127.0.0.1", weir.admin_port)) as conn:
            response = conn.exchange(method, path, headers=headers, host=host or f"127.0.0.1:{weir.admin_port}",
                                     body=b"{}")
            assert response.status == 403, response
    assert weir.ready()


def test_hostile_bytes_on_the_admin_address(lab):
    weir = lab.weir(CONFIG)
    with Conn(("127.0.0.1", weir.admin_port)) as conn:
        conn.send(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert conn.response().status == 400
        conn.assert_closed()
    assert weir.ready()
