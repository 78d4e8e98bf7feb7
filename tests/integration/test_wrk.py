"""Load: the numbers in /metrics add up to what the client counted."""
import random
import re
import subprocess

import pytest

from harness import proxy

pytestmark = pytest.mark.release

CONNECTIONS = 64


def wrk(tool, url):
    """Runs it for 3 s; gives the number of answers it counted, after checking that all were good."""
    done = subprocess.run([tool("wrk"), "-t2", f"-c{CONNECTIONS}", "-d3s", "--timeout", "30s", url],
                          capture_output=True,
                          text=True, timeout=120, check=True)
    assert "Socket errors" not in done.stdout and "Non-2xx" not in done.stdout, done.stdout
    return int(re.search(r"(\d+) requests in", done.stdout)[1])


@pytest.fixture
def nginx(lab, tmp_path):
    root = tmp_path / "site"
    (root / "img").mkdir(parents=True)
    (root / "index.html").write_text("<!doctype html><img src=img/a.png>\n" * 30)
    (root / "img" / "a.png").write_bytes(random.Random(1).randbytes(20000))
    return lab.nginx(root)


@pytest.mark.parametrize("path", ["/index.html", "/img/a.png"])
def test_metrics_add_up_to_what_wrk_counted(lab, nginx, tool, path):
    weir = lab.weir(proxy(nginx))
    counted = wrk(tool, f"http://127.0.0.1:{weir.port}{path}")
    assert counted > 0
    weir.wait_metric(0, "http_server_active_requests")
    metrics = weir.metrics()
    name = "http_server_request_duration_seconds_count"
    served = metrics.sum(name)
    # each connection may have had one request on its way when wrk stopped
    assert counted <= served <= counted + CONNECTIONS
    assert counted <= metrics.sum(name, http_request_method="GET", http_response_status_code=200)
    assert counted <= metrics.sum("weir_endpoint_requests_total") <= counted + CONNECTIONS
    assert counted <= metrics.sum("http_client_request_duration_seconds_count") <= counted + CONNECTIONS
    assert metrics.sum("weir_refusals_total") - metrics.sum("weir_refusals_total", code="client_closed") == 0


def test_the_same_without_upstream(lab, tool):
    weir = lab.weir("routes: [{match: {path: /}, respond: {body: hello}}]")
    counted = wrk(tool, f"http://127.0.0.1:{weir.port}/")
    weir.wait_metric(0, "http_server_active_requests")
    assert counted <= weir.served(http_route="/") <= counted + CONNECTIONS
