"""The PROXY protocol in front of a connection (P07): who the client is, as a load balancer tells it; nobody else is heard."""
import socket
import struct

import pytest

from harness import Process, free_port, proxy, run_weir
from origin import echo
from wire import Conn, wait_until

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 1234 80\r\n"


def v2(body, command=1, family=0x11):
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack(">H", len(body)) + body


def v4(address):
    return socket.inet_aton(address) + socket.inet_aton("198.51.100.2") + struct.pack(">HH", 1234, 80)


V2 = v2(v4("192.0.2.1"))
V2_IPV6 = v2(socket.inet_pton(socket.AF_INET6, "2001:db8::1") + socket.inet_pton(socket.AF_INET6, "2001:db8::2") +
             struct.pack(">HH", 1234, 80), family=0x21)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def with_checksum(wrong=0):
    head = v2(v4("192.0.2.1") + b"\x04\0\3\0\0\0" + b"\x03\0\4\0\0\0\0")
    return head[:-4] + struct.pack(">I", crc32c(head) ^ wrong)


def config(weir_port, origin, trusted=("127.0.0.0/8",), **more):
    return {**proxy(origin), "listen": [{"addr": f"127.0.0.1:{weir_port}", "proxy_protocol": True}],
            "trusted_proxies": list(trusted), **more}


@pytest.fixture
def behind(lab):
    """(weir, origin) with a listener that takes the protocol."""
    origin = lab.origin()
    return lab.weir(config(free_port(), origin)), origin


def forwarded(conn):
    """What the origin is told of where a request came from, which says 6.6.6.6 itself."""
    told = conn.exchange(headers={"X-Forwarded-For": "6.6.6.6"}).json()["headers"]
    return next(value for name, value in told if name.lower() == "x-forwarded-for")


@pytest.mark.parametrize("header, client", [
    (V1, "192.0.2.1"), (b"PROXY TCP6 2001:db8::1 2001:db8::2 1234 80\r\n", "2001:db8::1"), (V2, "192.0.2.1"),
    (V2_IPV6, "2001:db8::1"), (with_checksum(), "192.0.2.1"), (v2(v4("192.0.2.1") + b"\x01\0\2h2"), "192.0.2.1"),
    (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1"),
], ids=["v1", "v1 IPv6", "v2", "v2 IPv6", "checksum", "TLV", "mapped"])
def test_P07_the_header_says_who_the_client_is(behind, header, client):
    """To upstreams, and to what counts by address. What the client itself claims is not believed: it is no trusted proxy."""
    weir, _ = behind
    with weir.connect() as conn:
        conn.send(header)
        for _ in range(3):
            assert forwarded(conn) == client


@pytest.mark.parametrize("header", [v2(b"", command=0, family=0), v2(v4("192.0.2.9"), command=0), v2(b"x", family=0),
                                    b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN a b c\r\n"])
def test_P07_a_header_that_names_nobody_leaves_the_peer(behind, header):
    weir, _ = behind
    with weir.connect() as conn:
        conn.send(header)
        assert forwarded(conn) == "6.6.6.6, 127.0.0.1"  # the peer itself is a trusted proxy


@pytest.mark.parametrize("header", [V1, V2, with_checksum()])
def test_P07_in_pieces(behind, header):
    weir, _ = behind
    with weir.connect() as conn:
        for at in range(len(header)):
            conn.send(header[at:at + 1])
            if at % 10 == 0:
                weir.metric("weir_refusals_total")  # time passes
        assert forwarded(conn) == "192.0.2.1"


@pytest.mark.parametrize("cut", [0, 1, 12, 28, 40])
def test_P07_requests_behind_it_in_the_same_packet(behind, cut):
    weir, origin = behind
    requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(3))
    with weir.connect() as conn:
        everything = V2 + requests
        conn.send(everything[:cut])
        weir.metric("weir_refusals_total")
        conn.send(everything[cut:])
        for n in range(3):
            assert conn.response("GET").status == 200
    assert [r.target for r in origin.requests] == ["/0", "/1", "/2"]


@pytest.mark.parametrize("header", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PROXY TCP4 192.0.2.1 198.51.100.2 01 80\r\n", b"PROXY TCP4 " + b"1" * 120,
    v2(v4("192.0.2.1"), family=0x12), v2(v4("192.0.2.1"), family=0x21), v2(v4("192.0.2.1"), command=2),
    v2(v4("192.0.2.1") + b"\x04\xff\xff"), v2(v4("192.0.2.1") + b"\x04\x10\0" + bytes(4096)), with_checksum(wrong=1),
    SIGNATURE + b"\x21\x11\xff\xff", b"\x16\x03\x01\x02\0\x01\0\x01\xfc", b"\0", b"\r\n\r\nGET",
], ids=repr)
def test_P07_what_is_no_header_closes_the_connection(behind, header):
    weir, origin = behind
    with weir.refuses("bad_proxy_header"), weir.connect() as conn:
        conn.send(header)
        assert conn.rest() == b""
    assert not origin.requests


def test_P07_a_second_header_is_no_request(behind):
    weir, origin = behind
    with weir.connect() as conn:
        conn.send(V1 + V1 + b"\r\n")
        assert conn.response("GET").status == 400
    assert not origin.requests


def test_P07_strangers_are_turned_away(lab):
    origin = lab.origin()
    weir = lab.weir(config(free_port(), origin, trusted=["192.0.2.0/24"]))
    with weir.refuses("bad_proxy_header", 2):
        for header in (V1, b""):
            with weir.connect() as conn:
                conn.send(header + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert conn.rest() == b""
    assert not origin.requests
    weir.wait_log("is not in trusted_proxies")


@pytest.mark.parametrize("part", [b"", b"PROXY TCP4 192", V2[:20]])
def test_P07_a_slow_header_is_closed_in_silence(lab, part):
    weir = lab.weir(config(free_port(), lab.origin(), limits={"header_timeout": "300ms"}))
    with weir.refuses("bad_proxy_header"), weir.connect() as conn:
        conn.send(part)
        assert conn.rest() == b""


def test_P07_the_time_of_the_header_counts_for_the_first_request(lab):
    weir = lab.weir(config(free_port(), lab.origin(), limits={"header_timeout": "400ms"}))
    with weir.connect() as conn:
        conn.send(V1)
        assert conn.rest() == b""  # no part of a request has come: nothing to answer
    with weir.connect() as conn:
        conn.send(V1 + b"GET / HTT")
        assert conn.response("GET").status == 408


def test_P07_other_listeners_take_no_header(lab):
    port = free_port()
    weir = lab.weir({**proxy(lab.origin()), "trusted_proxies": ["127.0.0.0/8"],
                     "listen": [f"127.0.0.1:{port}", {"addr": f"127.0.0.1:{free_port()}", "proxy_protocol": True}]})
    with Conn(("127.0.0.1", port)) as conn:
        conn.send(V1 + b"\r\n")
        assert conn.response("GET").status == 400


def test_P07_a_reload_switches_it(lab):
    port, origin = free_port(), lab.origin()
    given = config(port, origin)
    weir = lab.weir(given)
    with weir.connect() as kept:
        kept.send(V1)
        assert forwarded(kept) == "192.0.2.1"
        assert weir.reload({**given, "listen": [f"127.0.0.1:{port}"]}).status == 200
        assert weir.get("/").status == 200
        assert forwarded(kept) == "192.0.2.1"
        assert weir.reload(given).status == 200
    with weir.connect() as conn:
        conn.send(V2)
        assert forwarded(conn) == "192.0.2.1"


def test_a_unix_socket_needs_no_trust(lab, tmp_path):
    path = f"{tmp_path}/w.sock"
    weir = lab.weir({**proxy(lab.origin()), "listen": [{"addr": f"127.0.0.1:{free_port()}"},
                                                      {"addr": f"unix:{path}", "proxy_protocol": True}]})
    with weir.connect(path) as conn:
        conn.send(V1)
        assert forwarded(conn) == "192.0.2.1"


def test_nobody_to_trust_is_an_error(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text("version: 1\nlisten: [{addr: '127.0.0.1:80', proxy_protocol: true}]\nroutes: [{match: /, respond: {status: 204}}]\n")
    done = run_weir("check", "-c", path)
    assert done.returncode == 1 and "trusted_proxies" in done.stdout + done.stderr


HAPROXY = """
global
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen f
    bind 127.0.0.1:{port}
    server weir 127.0.0.1:{weir} {how} check inter 100ms
"""


@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
def test_P07_a_real_haproxy(behind, lab, tool, tmp_path, how):
    """Its connections, and its health checks (LOCAL)."""
    weir, _ = behind
    program, port = tool("haproxy"), free_port()
    (tmp_path / "haproxy.cfg").write_text(HAPROXY.format(port=port, weir=weir.port, how=how))

    class Haproxy(Process):
        def finish(self):
            self.process.terminate()
            self.process.wait(20)

    haproxy = Haproxy(str(tmp_path), "haproxy")
    lab.others.append(haproxy)
    haproxy.spawn([program, "-f", str(tmp_path / "haproxy.cfg")])

    def answer():
        try:
            with Conn(("127.0.0.1", port), source="127.0.0.3") as conn:
                return forwarded(conn)
        except (OSError, EOFError, AssertionError):
            return None
    wait_until(lambda: answer() == "6.6.6.6, 127.0.0.3", "haproxy passes requests on, with the client's address")
    assert weir.metric("weir_refusals_total", code="bad_proxy_header") == 0
