"""`weir run --demo`: what a new user sees first. It has fixed ports, as users type them."""
import json
import socket

import pytest

from harness import WEIR_BIN, Metrics, Process, assert_clean, environment, run_weir
from wire import Conn, wait_until

pytestmark = pytest.mark.release


def taken(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("0.0.0.0", port))
            return False
        except OSError:
            return True


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    if taken(8080) or taken(9901):
        pytest.skip("port 8080 or 9901 is taken")
    process = Process(str(tmp_path_factory.mktemp("demo")), "demo")
    process.spawn([WEIR_BIN, "run", "--demo"], env=environment(), cwd=process.directory)

    def ready():
        assert process.process.poll() is None, process.stderr()
        try:
            return ask("/readyz", 9901).status == 200
        except OSError:
            return False
    wait_until(ready, "the demo is ready")
    yield process
    process.process.terminate()
    assert process.wait() == 0, process.stderr()
    assert_clean(process.stderr())


def ask(target, port=8080, method="GET"):
    with Conn(("127.0.0.1", port)) as conn:
        return conn.exchange(method, target, host=f"127.0.0.1:{port}")


def metrics():
    return Metrics(ask("/metrics", 9901).body.decode())


def proxied_target():
    """A path of the demo that goes to an upstream, as the metrics see it."""
    for target in ("/", "/orders", "/orders/1", "/api/", "/api/orders", "/users", "/hello"):
        before = metrics().sum("weir_endpoint_requests_total")
        if ask(target).status == 200 and metrics().sum("weir_endpoint_requests_total") > before:
            return target
    raise AssertionError("no path of the demo is proxied")


def test_something_answers(demo):
    assert ask("/").status in (200, 404)
    assert ask("/livez", 9901).status == 200


def test_it_balances_over_its_origins(demo):
    target = proxied_target()
    for _ in range(12):
        assert ask(target).status == 200
    used = metrics().find("weir_endpoint_requests_total")
    assert len([value for _, value in used if value > 0]) >= 2, used


def test_a_refusal_is_explained(demo):
    response = ask("/no/such/path")
    assert response.status == 404
    assert json.loads(response.body)["code"] == "no_route"


def test_a_second_demo_says_why_it_cannot_start(demo):
    done = run_weir("run", "--demo")
    assert done.returncode == 1
    assert "in use" in done.stderr
