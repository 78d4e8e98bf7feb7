"""Reloads under load drop nothing (U10): weir's own, and those of its origin, which closes idle connections under it. The
night runs many (WEIR_NIGHT=1)."""
import os
import re
import signal
import subprocess
import threading
import time

import pytest

from harness import proxy
from test_reload import Load
from wire import wait_until

pytestmark = [pytest.mark.release, pytest.mark.night]

NIGHT = bool(os.environ.get("WEIR_NIGHT"))
OWN = 100 if NIGHT else 10
ORIGINS = 1000 if NIGHT else 30


class Wrk:
    """Load for as long as the block lasts; afterwards `answers` good ones, and `faults` in wrk's own words."""

    def __init__(self, tool, url, connections, *headers):
        # it ends on INT only between its requests, so it is left to end by its time
        self.arguments = [tool("wrk"), "-t1", f"-c{connections}", "--timeout", "30s",
                          *[part for header in headers for part in ("-H", header)], url]
        self.answers, self.faults = 0, []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.stop.is_set():
            done = subprocess.run([*self.arguments[:2], "-d3s", *self.arguments[2:]], capture_output=True, text=True,
                                  timeout=120, check=False)
            self.faults += re.findall(r"Socket errors.*|Non-2xx.*", done.stdout)
            self.answers += int(re.search(r"(\d+) requests in", done.stdout)[1])

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(60)


def site(tmp_path):
    root = tmp_path / "site"
    root.mkdir()
    (root / "a").write_text("x" * 700)
    return root


def test_U10_own_reloads(lab, tool, tmp_path):
    nginx = lab.nginx(site(tmp_path))
    config = proxy(nginx, path="/a")
    config["routes"].append({"match": {"path": "/own"}, "respond": {"body": "hi"}})
    weir = lab.weir(config)
    url = f"http://127.0.0.1:{weir.port}"
    with Wrk(tool, url + "/a", 16) as kept, Wrk(tool, url + "/own", 4, "Connection: close") as fresh, \
            Load(weir, 2) as strict:
        for i in range(OWN):
            extra = {"match": {"path": f"/x{i}"}, "respond": {"body": "x"}}
            assert weir.reload({**config, "routes": config["routes"] + [extra]}).status == 200
            assert weir.get(f"/x{i}").body == b"x"
            before = sum(strict.done)
            wait_until(lambda: sum(strict.done) > before + 5 or strict.failures, "requests go on")
    assert strict.failures == []
    assert kept.faults == [] and fresh.faults == []
    assert kept.answers > OWN and fresh.answers > OWN
    assert weir.metric("weir_config_generation") == OWN + 1
    assert weir.metric("weir_refusals_total") == weir.metric("weir_refusals_total", code="client_closed")


def workers_of(nginx):
    with open(f"/proc/{nginx.pid}/task/{nginx.pid}/children", encoding="ascii") as f:
        return f.read().split()


def test_U10_reloads_of_the_origin(lab, tool, tmp_path):
    """An nginx worker that leaves closes its idle connections, whatever is on its way to it."""
    nginx = lab.nginx(site(tmp_path))
    weir = lab.weir(proxy(nginx, path="/a"))
    with Wrk(tool, f"http://127.0.0.1:{weir.port}/a", 16) as load, Load(weir, 2) as strict:
        wait_until(lambda: sum(strict.done) > 10, "load is there")
        for _ in range(ORIGINS):
            old = workers_of(nginx)
            nginx.process.send_signal(signal.SIGHUP)
            wait_until(lambda: workers_of(nginx) and not set(old) & set(workers_of(nginx)), "the worker has changed")
            before = sum(strict.done)
            wait_until(lambda: sum(strict.done) > before or strict.failures, "requests go on")
    assert strict.failures == []
    assert load.faults == []
    assert load.answers > ORIGINS
    assert weir.metric("weir_refusals_total") == weir.metric("weir_refusals_total", code="client_closed")
    assert weir.metric("weir_upstream_retries_total") > 0 or not NIGHT, "the race that this is about took place"
