"""Interim responses and what a client waits for before it sends its body: 100, 102, 103."""
import threading

import pytest

from harness import free_port, proxy
from origin import echo, reply
from test_hostile_clients import head
from test_upstream_faults import problem
from wire import LIMIT

HINTS = (b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Gone\r\nX-Gone: 1\r\n"
         b"Keep-Alive: timeout=5\r\nLink: </b.js>; rel=preload\r\n\r\n")
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def test_S27_interim_responses_are_passed_on(lab):
    """Each at once, in their order, without hop-by-hop fields; all but 100, which answers weir and not the client."""
    go = threading.Event()

    def answer(_request, peer):
        peer.send(CONTINUE + HINTS)
        peer.wait(go)
        peer.send(PROCESSING)
        return reply(body=b"done")
    weir = lab.weir(proxy(lab.origin(answer)))
    with weir.connect() as conn:
        for _ in range(2):
            go.clear()
            conn.request()
            assert conn.line("before the hints") == b"HTTP/1.1 103 Early Hints"
            assert conn.fields() == [("Link", "</a.css>; rel=preload"), ("Link", "</b.js>; rel=preload")]
            go.set()
            response = conn.response()
            assert [r.status for r in response.interim] == [102]
            assert (response.status, response.body) == (200, b"done")


@pytest.mark.parametrize("size", [1, 7, 50, 100000])
def test_S27_interim_responses_in_pieces(lab, size):
    """However they are cut, and together with the final response in one piece."""
    def answer(_request, peer):
        data = HINTS + CONTINUE + PROCESSING + HINTS + reply(body=b"z" * 30000)
        cut = 1000 if size < 1000 else 0
        for at in range(0, cut, size):
            peer.send(data[at:min(at + size, cut)])
        peer.send(data[cut:])
    weir = lab.weir(proxy(lab.origin(answer)))
    with weir.connect() as conn:
        for _ in range(2):
            response = conn.exchange()
            assert [r.status for r in response.interim] == [103, 102, 103]
            assert (response.status, response.body) == (200, b"z" * 30000)


def test_S27_no_interim_response_for_http_1_0(lab):
    weir = lab.weir(proxy(lab.origin(lambda request, peer: HINTS + PROCESSING + reply(body=b"done"))))
    assert weir.raw(b"GET / HTTP/1.0\r\nHost: weir.test\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")


def test_S27_ten_interim_responses_and_no_more(lab):
    weir = lab.weir(proxy(lab.origin(lambda request, peer: PROCESSING * int(request.target[1:]) + reply())))
    response = weir.get("/10")
    assert response.status == 200 and len(response.interim) == 10
    response = weir.get("/11")
    problem(response, 502, "upstream_bad_response")
    assert len(response.interim) == 10


def test_S27_interim_responses_while_the_body_is_sent(lab):
    """An origin that tells, piece by piece, how far it is."""
    origin = lab.origin()

    def on_head(_request, peer):
        for part in (b"one", b"two", b"three"):
            assert peer.exactly(len(part)) == part
            peer.send(PROCESSING)
        peer.send(reply(body=b"done"))
        return True
    origin.on_head = on_head
    weir = lab.weir(proxy(origin))
    with weir.connect() as conn:
        conn.send(head("Content-Length: 11", start="POST / HTTP/1.1"))
        for part in (b"one", b"two"):
            conn.send(part)
            assert conn.line("before 102") == b"HTTP/1.1 102 Processing"
            assert conn.fields() == []
        conn.send(b"three")
        response = conn.response()
        assert [r.status for r in response.interim] == [102]
        assert (response.status, response.body) == (200, b"done")


def test_S27_interim_responses_pass_the_middleware(lab):
    weir = lab.weir({**proxy(lab.origin(lambda request, peer: HINTS + reply())), "use": ["edit"],
                     "middleware": {"edit": {"headers": {"response": {"remove": ["Link"]}}}}})
    response = weir.get()
    assert [r.headers for r in response.interim] == [[]]


# ---- Expect ----

def test_S23_no_100_before_an_origin_is_there(lab):
    """A request that cannot be carried gets its final status, and the body stays where it is."""
    weir = lab.weir(proxy(f"http://127.0.0.1:{free_port()}", path="/gone"))
    for target, status in (("/gone", 502), ("/nowhere", 404)):
        with weir.connect() as conn:
            conn.send(head("Content-Length: 5", "Expect: 100-continue", start=f"PUT {target} HTTP/1.1"))
            response = conn.response()
            assert response.status == status and response.interim == []
            assert response.closes
            conn.assert_closed()


def test_S23_the_origin_answers_before_the_body_is_sent(lab):
    """The head is there before the body is asked for. What was not sent is not waited for, on either side."""
    origin = lab.origin()
    origin.on_head = lambda request, peer: peer.send(reply(401, b"who are you?"))
    weir = lab.weir(proxy(origin))
    for _ in range(3):
        with weir.connect() as conn:
            conn.send(head("Content-Length: 500000", "Expect: 100-continue", start="POST / HTTP/1.1"))
            response = conn.response()
            assert response.status == 401 and response.body == b"who are you?"
            assert [r.status for r in response.interim] in ([], [100])
            assert response.closes
            conn.assert_closed()
    assert len(origin.peers) == 3


def test_S23_a_stale_connection_is_no_reason_to_fail(lab):
    """The body is still with the client when the kept connection turns out to be closed: another one is tried."""
    origin = lab.origin()
    weir = lab.weir({**proxy(origin), "workers": 1})  # which has the connection
    assert weir.get().status == 200
    origin.answer = lambda request, peer: peer.close() if peer is origin.peers[0] else echo(request, peer)

    def on_head(_request, peer):
        if peer is origin.peers[0]:
            peer.reset()
            reset.set()
            return True
        return False
    reset = threading.Event()
    origin.on_head = on_head
    with weir.connect() as conn:
        conn.send(head("Content-Length: 5", "Expect: 100-continue", start="PUT / HTTP/1.1"))
        assert conn.line("before 100") == b"HTTP/1.1 100 Continue"
        assert conn.fields() == []
        assert reset.wait(LIMIT)
        conn.send(b"hello")
        response = conn.response()
        assert response.interim == [] and response.json()["length"] == 5


def test_S23_no_100_for_a_body_that_has_begun(lab):
    weir = lab.weir(proxy(lab.origin()))
    with weir.connect() as conn:
        conn.send(head("Content-Length: 5", "Expect: 100-continue", start="POST / HTTP/1.1") + b"he")
        conn.send(b"llo")
        response = conn.response()
        assert response.json()["length"] == 5 and response.interim == []


def test_S23_http_1_0_does_not_know_it(lab):
    weir = lab.weir(proxy(lab.origin()))
    data = weir.raw(b"POST / HTTP/1.0\r\nHost: weir.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")
    assert data.startswith(b"HTTP/1.1 200 OK\r\n") and b'"length": 5' in data
