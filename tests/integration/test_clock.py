"""The wall clock jumps by a day (U15): nothing that weir waits for ends earlier or later, and Date follows."""
import email.utils
import mmap
import struct
import threading

import pytest

from harness import proxy
from origin import echo
from test_exhaustion import shim
from test_upstream_faults import background, problem
from wire import wait_until

DAY = 86400

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *shift; /* seconds, which the test writes */
static int (*real)(clockid_t, struct timespec *);

static void find(void) {
    int fd = open(getenv("WALL_CLOCK_SHIFT"), O_RDONLY);
    real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (fd >= 0) {
        void *at = mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
        shift = at == MAP_FAILED ? NULL : at;
        close(fd);
    }
}

int clock_gettime(clockid_t id, struct timespec *t) {
    if (!real)
        find();
    int rc = real(id, t);
    if (rc == 0 && id == CLOCK_REALTIME && shift)
        t->tv_sec += *shift;
    return rc;
}
"""


class WallClock:
    def __init__(self, path):
        with open(path, "wb") as f:
            f.write(bytes(4096))
        with open(path, "r+b") as f:
            self.memory = mmap.mmap(f.fileno(), 4096)

    def jump(self, seconds):
        self.memory[:8] = struct.pack("q", seconds)


def date_of(response):
    return email.utils.parsedate_to_datetime(response.header("date")).timestamp()


@pytest.mark.parametrize("days", [1, -1])
def test_U15_the_wall_clock_jumps(lab, days):
    clock = WallClock(lab.path("shift"))
    release = threading.Event()
    origin = lab.origin(lambda request, peer: peer.wait(release) and echo(request, peer))
    config = proxy(origin, path="/held", deadline="300s")
    config["routes"] += [{"match": {"path": "/hello"}, "respond": {"body": "hi"}},
                         {"match": {"path": "/hurry"}, "deadline": "2s", "respond": {"body": "x", "delay": "100s"}}]
    weir = lab.weir({**config, "limits": {"header_timeout": "2s", "idle_timeout": "300s"}},
                    env={**shim(lab, SOURCE), "WALL_CLOCK_SHIFT": lab.path("shift")})
    kept, half = weir.connect(), weir.connect()
    before = date_of(kept.exchange("GET", "/hello"))
    held, hurry = background(lambda: weir.get("/held")), background(lambda: weir.get("/hurry"))
    half.send(b"GET / HTTP/1.1\r\nHo")
    wait_until(lambda: origin.requests and weir.metric("weir_in_flight_requests") == 2, "the requests are under way")
    clock.jump(days * DAY)
    wait_until(lambda: abs(date_of(weir.get("/hello")) - before - days * DAY) < 3600, "Date has followed")
    assert kept.exchange("GET", "/hello").status == 200, "the idle connection is kept"
    problem(half.response(), 408, "header_timeout")
    problem(hurry(), 504, "deadline_exceeded")
    weir.wait_metric(1, "weir_in_flight_requests")  # the held request is still under way
    release.set()
    assert held().status == 200
