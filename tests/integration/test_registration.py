"""weir makes itself known in ZooKeeper: an ephemeral node, while it takes requests, and the first thing to go."""
import json
import signal
import socket
import time

import pytest

import zookeeper
from harness import free_port, proxy, run_weir
from test_upstream_faults import background
from wire import wait_until

pytestmark = pytest.mark.skipif(not zookeeper.available(), reason="needs zookeeper, java and python3-kazoo")
PATH = "/services/edge"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    zk = zookeeper.ZooKeeper(str(tmp_path_factory.mktemp("zookeeper")))
    zk.start()
    zk.connect()
    yield zk
    zk.stop()


@pytest.fixture
def zk(server):
    client = server.client
    if client.exists("/services"):
        client.delete("/services", recursive=True)
    return client


def registering(server, origin, port, **more):
    return {**proxy(origin), "listen": [f"127.0.0.1:{port}"],
            "register": {"zookeeper": {"hosts": [server.address], "path": PATH, "session_timeout": "1s"}, **more}}


def nodes(zk):
    return sorted(zk.get_children(PATH)) if zk.exists(PATH) else []


def test_it_is_there_while_weir_takes_requests(lab, server, zk):
    """Made with the nodes above it; gone before the listener closes; the metric and the log tell."""
    port = free_port()
    weir = lab.weir(registering(server, lab.origin(), port, weight=3))
    name = f"127.0.0.1:{port}"
    wait_until(lambda: nodes(zk) == [name], "it is registered")
    data, stat = zk.get(f"{PATH}/{name}")
    assert json.loads(data) == {"address": "127.0.0.1", "port": port, "weight": 3} and stat.ephemeralOwner
    weir.wait_metric(1, "weir_registered")
    weir.wait_log(f"registered as {PATH}/{name}")
    with weir.connect() as conn:
        assert conn.exchange().status == 200
        weir.signal(signal.SIGTERM)
        wait_until(lambda: nodes(zk) == [], "the node is gone")
    weir.wait_log("unregistered")
    weir.wait()


def test_another_weir_finds_it(lab, server, zk):
    """What one registers the other's discovery reads: two behind one, one of which leaves without a lost request."""
    origin = lab.origin()
    first, second = (lab.weir(registering(server, origin, free_port())) for _ in range(2))
    front = lab.weir({"upstreams": {"edge": {"discover": {"zookeeper": {"hosts": [server.address], "path": PATH}},
                                             "balance": "round_robin"}},
                      "routes": [{"match": {"path": "/*"}, "proxy": "edge"}]})
    front.wait_metric(2, "weir_upstream_endpoints")
    with front.connect() as conn:
        assert [conn.exchange().status for _ in range(10)] == [200] * 10
        second.signal(signal.SIGTERM)
        statuses = []
        while front.metric("weir_upstream_endpoints") != 1:
            statuses.append(conn.exchange().status)
        assert set(statuses) <= {200}
    second.wait()
    first.wait_metric(1, "weir_registered")


def test_a_server_that_is_killed_and_comes_back(lab, server, zk):
    port = free_port()
    weir = lab.weir(registering(server, lab.origin(), port))
    wait_until(lambda: nodes(zk) == [f"127.0.0.1:{port}"], "it is registered")
    server.kill()
    weir.wait_log("the connection to ZooKeeper is lost")
    assert weir.get().status == 200
    time.sleep(1.5)  # longer than the session
    server.start()
    client = server.connect()
    wait_until(lambda: nodes(client) == [f"127.0.0.1:{port}"], "it is registered again")
    weir.wait_metric(1, "weir_registered")


def test_a_node_that_somebody_deletes_is_made_again(lab, server):
    client, port = server.client, free_port()
    lab.weir(registering(server, lab.origin(), port))
    node = f"{PATH}/127.0.0.1:{port}"
    wait_until(lambda: client.exists(node), "it is registered")
    owner = client.get(node)[1].ephemeralOwner
    client.delete(node)
    wait_until(lambda: client.exists(node), "it is registered again")
    assert client.get(node)[1].ephemeralOwner == owner


def test_a_node_of_another_session_is_taken_over(lab, server):
    """What kill -9 leaves behind stands until its session ends: the next weir does not wait for that."""
    client, port, origin = server.client, free_port(), lab.origin()
    node = f"{PATH}/127.0.0.1:{port}"
    config = registering(server, origin, port)
    config["register"]["zookeeper"]["session_timeout"] = "60s"
    first = lab.weir(config)
    wait_until(lambda: client.exists(node), "it is registered")
    owner = client.get(node)[1].ephemeralOwner
    first.exit_expected = -signal.SIGKILL
    first.signal(signal.SIGKILL)
    first.wait()
    assert client.exists(node)
    lab.weir(config)
    wait_until(lambda: getattr(client.exists(node), "ephemeralOwner", owner) != owner, "it is the new one's")


def test_a_reload_moves_it(lab, server):
    client, port = server.client, free_port()
    config = registering(server, lab.origin(), port)
    weir = lab.weir(config)
    old, new = f"{PATH}/127.0.0.1:{port}", f"{PATH}/192.0.2.1:443"
    wait_until(lambda: client.exists(old), "it is registered")
    owner = client.get(old)[1].ephemeralOwner
    assert weir.reload({**config, "limits": {"max_headers": 50}}).status == 200
    time.sleep(0.5)
    assert client.get(old)[1].ephemeralOwner == owner  # it asks for the same: nothing has happened
    config["register"].update(address="192.0.2.1", port=443)
    assert weir.reload(config).status == 200
    wait_until(lambda: client.exists(new) and not client.exists(old), "it is where it is said to be")
    del config["register"]
    assert weir.reload(config).status == 200
    wait_until(lambda: not client.exists(new), "it is gone")
    wait_until(lambda: not weir.metrics().find("weir_registered"), "nothing is asked for")


def long_holds(weir, seconds=1.0):
    """How often a worker was away from its sockets for longer than that."""
    metrics = weir.metrics()
    edges = sorted({float(labels["le"]) for labels, _ in metrics.find("weir_loop_hold_seconds_bucket")})
    edge = next(e for e in edges if e >= seconds)
    within = sum(value for labels, value in metrics.find("weir_loop_hold_seconds_bucket") if float(labels["le"]) == edge)
    assert edge < 5 and metrics.sum("weir_loop_hold_seconds_count") > 0
    return metrics.sum("weir_loop_hold_seconds_count") - within


def test_U16_a_frozen_server_holds_no_loop(lab, server):
    """Sessions, watches and their end, with a server that takes bytes and answers nothing, for seconds."""
    client, port = server.client, free_port()
    config = registering(server, lab.origin(), port)
    config["upstreams"]["found"] = {"discover": {"zookeeper": {"hosts": [server.address], "path": PATH, "session_timeout": "1s"}}}
    config["routes"].append({"match": {"path": "/found"}, "proxy": "found"})
    weir = lab.weir(config)
    wait_until(lambda: client.exists(f"{PATH}/127.0.0.1:{port}"), "it is registered")
    server.freeze()
    try:
        ends = time.monotonic() + 3
        while time.monotonic() < ends:
            assert weir.get("/").status == 200
            time.sleep(0.02)
        del config["register"]
        assert weir.reload(config).status == 200  # the session is closed, as far as that goes
        assert weir.get("/").status == 200
        assert long_holds(weir) == 0
        began = time.monotonic()
        weir.signal(signal.SIGTERM)
        weir.wait()
        assert time.monotonic() - began < 15
    finally:
        server.thaw()


def test_U16_name_servers_that_say_nothing_hold_no_loop(lab):
    """Names of endpoints, and of a discovery, that are asked for in vain."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        config = {**proxy(lab.origin())}
        config["upstreams"]["found"] = {"discover": {"dns": {"name": "service.test", "port": 80,
                                                             "servers": [f"127.0.0.1:{deaf.getsockname()[1]}"]}}}
        config["routes"].append({"match": {"path": "/found"}, "proxy": "found", "deadline": "2s"})
        weir = lab.weir(config)
        waiting = [background(lambda: weir.get("/found")) for _ in range(5)]
        ends = time.monotonic() + 3
        while time.monotonic() < ends:
            assert weir.get("/").status == 200
            time.sleep(0.02)
        assert all(result().status in (502, 503, 504) for result in waiting)
        assert long_holds(weir) == 0


def test_without_a_server_weir_serves(lab):
    port = free_port()
    config = {**proxy(lab.origin()), "listen": [f"127.0.0.1:{port}"],
              "register": {"zookeeper": {"hosts": [f"127.0.0.1:{free_port()}"], "path": PATH}}}
    weir = lab.weir(config)
    assert weir.get().status == 200
    weir.wait_log("not registered as")
    assert weir.metric("weir_registered") == 0
    began = time.monotonic()
    weir.signal(signal.SIGTERM)
    weir.wait()
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("config, said", [
    ("listen: [':80']\nregister: {zookeeper: {hosts: ['127.0.0.1:2181'], path: /x}}", "give \"address\""),
    ("listen: ['unix:/tmp/x']\nregister: {address: 10.0.0.1, zookeeper: {hosts: ['127.0.0.1:2181'], path: /x}}", "give \"port\""),
    ("listen: [':80']\nregister: {address: 10.0.0.1, zookeeper: {hosts: ['127.0.0.1:2181'], path: xy}}", "begins with /"),
    ("listen: [':80']\nregister: {address: 10.0.0.1, zookeeper: {hosts: ['127.0.0.1:2181'], path: /x/}}", "does not end in /"),
    ("listen: [':80']\nregister: {address: 10.0.0.1}", "zookeeper"),
])
def test_config_errors(tmp_path, config, said):
    path = tmp_path / "weir.yaml"
    path.write_text(f"version: 1\n{config}\nroutes: [{{match: /, respond: {{status: 204}}}}]\n")
    done = run_weir("check", "-c", path)
    assert done.returncode == 1 and said in done.stdout + done.stderr, done.stdout + done.stderr
