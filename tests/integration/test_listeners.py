"""Where weir listens: IPv4, IPv6, unix sockets, inherited sockets; and what it says when it cannot."""
import os
import resource
import socket
import stat
import subprocess
import tempfile

import pytest

from harness import WEIR_BIN, environment, free_port
from wire import Conn, wait_until

HELLO = [{"match": {"path": "/"}, "respond": {"body": "hi"}}]


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 here")


@pytest.fixture
def short():
    """A directory whose name fits into the address of a unix socket."""
    with tempfile.TemporaryDirectory(prefix="weir", dir="/tmp") as path:
        yield path


def hello(address):
    with Conn(address) as conn:
        response = conn.exchange()
        assert response.status == 200 and response.body == b"hi"
        return response


def test_ipv4(lab):
    port = free_port()
    weir = lab.weir({"listen": [f"127.0.0.1:{port}"], "routes": HELLO})
    hello(("127.0.0.1", port))
    weir.wait_log(f"127.0.0.1:{port}")  # the log says where it listens; its writer may come later than the answer


@needs_ipv6
def test_ipv6(lab):
    port = free_port(socket.AF_INET6)
    lab.weir({"listen": [f"[::1]:{port}"], "routes": HELLO})
    hello(("::1", port))


def test_all_addresses(lab):
    port = free_port()
    lab.weir({"listen": [f":{port}"], "routes": HELLO})
    hello(("127.0.0.1", port))
    if has_ipv6():
        hello(("::1", port))


def test_unix(lab, short):
    path = os.path.join(short, "weir.sock")
    weir = lab.weir({"listen": [f"unix:{path}"], "routes": HELLO})
    hello(path)
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    weir.term()
    assert weir.wait() == 0
    assert not os.path.exists(path), "the socket is removed at the end"


def test_unix_socket_left_behind_by_a_crash(lab, short):
    path = os.path.join(short, "weir.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    lab.weir({"listen": [f"unix:{path}"], "routes": HELLO})
    hello(path)


def test_unix_socket_that_somebody_uses(lab, short):
    path = os.path.join(short, "weir.sock")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        fails(lab, f"unix:{path}", path, "in use")
        assert os.path.exists(path)


def test_unix_path_that_is_a_file(lab, short):
    path = os.path.join(short, "weir.sock")
    with open(path, "w", encoding="utf-8") as f:
        f.write("precious")
    fails(lab, f"unix:{path}", path)
    with open(path, encoding="utf-8") as f:
        assert f.read() == "precious"


def test_several_at_once(lab, short):
    ports = [free_port() for _ in range(3)]
    path = os.path.join(short, "weir.sock")
    lab.weir({"listen": [f"127.0.0.1:{p}" for p in ports] + [f"unix:{path}"], "routes": HELLO})
    for address in [("127.0.0.1", p) for p in ports] + [path]:
        hello(address)


def fails(lab, listener, *words):
    """The start fails with exit 1 and these words."""
    weir = lab.weir({"listen": [listener], "routes": HELLO}, ready=False)
    weir.exit_expected = 1
    assert weir.wait() == 1
    for word in words:
        assert word in weir.stderr(), weir.stderr()
    return weir


def test_a_port_in_use(lab):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        port = taken.getsockname()[1]
        fails(lab, f"127.0.0.1:{port}", f"127.0.0.1:{port}", "in use")


def test_a_port_in_use_by_another_weir(lab):
    port = free_port()
    lab.weir({"listen": [f"127.0.0.1:{port}"], "routes": HELLO})
    fails(lab, f"127.0.0.1:{port}", f"127.0.0.1:{port}", "in use")
    hello(("127.0.0.1", port))


def test_an_admin_port_in_use(lab):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        weir = lab.weir({"admin": {"addr": address}, "routes": HELLO}, ready=False)
        weir.exit_expected = 1
        assert weir.wait() == 1
        assert address in weir.stderr() and "in use" in weir.stderr()


def test_an_address_that_is_not_ours(lab):
    fails(lab, "192.0.2.1:8080", "192.0.2.1:8080")


def test_inherited_socket(lab):
    """LISTEN_FDS: weir serves on the socket that it got, and does not bind the address itself."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
        listener.listen(64)
        port = listener.getsockname()[1]
        admin = free_port()
        config = lab.path("inherited.yaml")
        with open(config, "w", encoding="utf-8") as f:
            f.write(f'version: 1\nlisten: ["127.0.0.1:{port}"]\nadmin: {{addr: "127.0.0.1:{admin}"}}\n'
                    "routes: [{match: {path: /}, respond: {body: hi}}]\n")
        script = 'fd=$1; shift; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@" 3<&"$fd"'
        with open(lab.path("inherited.stderr"), "w+", encoding="utf-8") as err:
            process = subprocess.Popen(
                ["bash", "-c", script, "bash", str(listener.fileno()), WEIR_BIN, "run", "-c", config],
                pass_fds=[listener.fileno()], stderr=err, stdin=subprocess.DEVNULL, env=environment())
            try:
                def serves():
                    assert process.poll() is None, open(lab.path("inherited.stderr"), encoding="utf-8").read()
                    try:
                        with Conn(("127.0.0.1", admin)) as conn:
                            return conn.exchange("GET", "/readyz").status == 200
                    except OSError:
                        return False
                wait_until(serves, "weir is ready")
                hello(("127.0.0.1", port))
            finally:
                process.terminate()
                status = process.wait(60)
            err.seek(0)
            text = err.read()
        assert status == 0, text
        assert "Sanitizer" not in text and "runtime error" not in text
        # it is the very socket: it outlives weir here
        with socket.create_connection(("127.0.0.1", port), timeout=20):
            pass


def test_listen_fds_of_another_process_is_not_taken(lab):
    """LISTEN_PID names somebody else: weir opens its own socket."""
    port = free_port()
    lab.weir({"listen": [f"127.0.0.1:{port}"], "routes": HELLO}, env={"LISTEN_FDS": "1", "LISTEN_PID": "1"})
    hello(("127.0.0.1", port))


def test_the_file_limit_is_raised_to_the_hard_one(lab):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    weir = lab.weir({"routes": HELLO}, preexec_fn=lower)
    assert weir.metric("process_max_fds") == hard
