"""No descriptors, no ports: weir says so, goes on with what it has, and recovers by itself (R15, R16)."""
import os
import resource
import subprocess
import threading
import time

import pytest

from harness import proxy
from origin import echo
from test_upstream_faults import problem
from wire import wait_until

HELLO = [{"match": {"path": "/*"}, "respond": {"body": "hi"}}]


def at_most(n):
    """Sets the limit on descriptors of the child."""
    return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n // 2, n))}


def open_files(weir):
    return len(os.listdir(f"/proc/{weir.pid}/fd"))


def ticks(weir):
    with open(f"/proc/{weir.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.release
def test_R15_more_clients_than_descriptors(lab):
    """Those that are in are served, the others wait, the admin answers, nothing spins; when some leave, others come in."""
    weir = lab.weir({"limits": {"max_connections": 5000, "idle_timeout": "300s", "header_timeout": "300s"},
                     "routes": HELLO}, **at_most(300))
    assert "limits.max_connections is 5000" in weir.wait_log("limit on open files")["msg"]
    assert weir.metric("process_max_fds") == 300, "the soft limit is raised to the hard one"
    conns = [weir.connect() for _ in range(400)]
    wait_until(lambda: open_files(weir) >= 230, "the descriptors are taken")
    assert conns[0].exchange().status == 200
    turns, cpu, began = weir.metric("weir_loop_turns_total"), ticks(weir), time.monotonic()
    time.sleep(2)
    assert open_files(weir) <= 300 - 64 + 8, "the last ones are left alone"
    assert (ticks(weir) - cpu) / os.sysconf("SC_CLK_TCK") < 0.1 * (time.monotonic() - began), "it spins"
    assert weir.metric("weir_loop_turns_total") - turns < 2000, "it spins"
    assert weir.admin("GET", "/livez").status == 200
    conns[-1].request()
    for conn in conns[:200]:
        conn.close()
    assert conns[-1].response().status == 200
    assert weir.get().status == 200


@pytest.mark.release
def test_R15_idle_clients_leave_descriptors_for_upstreams(lab):
    origin = lab.origin()
    weir = lab.weir({**proxy(origin), "limits": {"max_connections": 5000, "header_timeout": "300s"}}, **at_most(300))
    conns = [weir.connect() for _ in range(400)]
    wait_until(lambda: open_files(weir) >= 230, "the descriptors are taken")
    assert conns[0].exchange("GET", "/x").json()["target"] == "/x"


@pytest.mark.release
def test_R15_upstreams_leave_descriptors_for_the_admin(lab):
    """Each client in flight takes another one; whose upstream gets none is told, and may come again."""
    release = threading.Event()
    origin = lab.origin(lambda request, peer: peer.wait(release) and echo(request, peer))
    weir = lab.weir({**proxy(origin, pool={"max_connections": 500}), "workers": 1,
                     "limits": {"max_connections": 5000}}, **at_most(300))
    conns = [weir.connect() for _ in range(200)]
    wait_until(lambda: weir.metric("weir_worker_connections") >= 200, "all are in")
    for conn in conns:
        conn.request()
    wait_until(lambda: weir.metric("weir_refusals_total", code="out_of_files") > 50, "some find no descriptor")
    assert weir.admin("GET", "/livez").status == 200
    release.set()
    statuses = []
    for conn in conns:
        response = conn.response()
        statuses.append(response.status)
        if response.status != 200:
            problem(response, 503, "out_of_files")
            assert int(response.header("retry-after")) >= 0
        conn.close()
    assert statuses.count(200) >= 40
    wait_until(lambda: weir.get().status == 200, "it has recovered")


def test_R15_the_default_leaves_one_for_each_upstream(lab):
    weir = lab.weir({"limits": {"header_timeout": "300s"}, "routes": HELLO}, **at_most(264))
    conns = [weir.connect() for _ in range(150)]
    wait_until(lambda: weir.metric("weir_worker_connections") >= 100, "as many as may be are in")
    for _ in range(10):
        assert weir.metric("weir_worker_connections") <= 101  # and that of this question
        time.sleep(0.05)
    conns[0].close()


SHIM = r"""
#include <errno.h>
#include <sys/socket.h>
int connect(int fd, const struct sockaddr *to, socklen_t len) {
    (void)fd, (void)to, (void)len;
    errno = EADDRNOTAVAIL;
    return -1;
}
"""


def shim(lab, source):
    """The environment under which these functions replace the C library's."""
    path = lab.path("shim.so")
    with open(lab.path("shim.c"), "w", encoding="utf-8") as f:
        f.write(source)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", path, lab.path("shim.c"), "-ldl"], check=True)
    options = os.environ.get("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=1:strict_string_checks=1")
    return {"LD_PRELOAD": path, "ASAN_OPTIONS": options + ":verify_asan_link_order=0"}


def test_R16_no_port_is_left(lab):
    origin = lab.origin()
    weir = lab.weir({**proxy(origin)}, env=shim(lab, SHIM))
    with weir.refuses("out_of_ports", 5), weir.connect() as conn:
        for _ in range(5):
            response = conn.exchange()
            problem(response, 503, "out_of_ports")
            assert int(response.header("retry-after")) >= 0
    assert weir.metric("weir_upstream_retries_total") == 0, "another try would find none either"
    assert origin.peers == []
