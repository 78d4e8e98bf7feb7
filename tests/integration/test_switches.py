"""`allow` of a listener: each word relaxes one rule that is stricter than the RFCs, there alone, and what an origin gets
is written afresh all the same."""
import pytest

from harness import free_port, proxy
from wire import wait_until

# what each lets in, the code and the rule when it is not allowed, and the target that the origin sees
INPUTS = {
    "equal_lengths": (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\nContent-Length: 5\r\n\r\nhello",
                      "duplicate_content_length", "S03", "/x"),
    "leading_zeros": (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0005\r\n\r\nhello", "leading_zeros", "S05",
                      "/x"),
    "framing_tabs": (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\t\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                     "disguised_framing", "S08", "/x"),
    "bare_lf": (b"POST /x HTTP/1.1\nHost: a\nX: y\nA: b \nC: d\nContent-Length: 5\n\nhello", "bare_lf", "S11", "/x"),
    "underscore": (b"POST /x HTTP/1.1\r\nHost: a\r\nmy_header: x\r\nContent-Length: 5\r\n\r\nhello",
                   "underscore_in_field_name", "S17", "/x"),
    "any_method": (b"post /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "bad_method", "S20", "/x"),
    "body_on_http_1_0": (b"DELETE /x HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
                         "unexpected_body", "S21", "/x"),
    "encoded_slash": (b"POST /a%2fb HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "bad_path", "P01",
                      "/a%2Fb"),
    "any_host": (b"POST /x HTTP/1.1\r\nHost: a+b%41:\r\nContent-Length: 5\r\n\r\nhello", "bad_host", "P03", "/x"),
}


@pytest.fixture(scope="module")
def gates(module_lab):
    """One weir with a listener for each word, and a strict one."""
    origin = module_lab.origin()
    ports = {word: free_port() for word in INPUTS}
    strict = free_port()
    listeners = [f"127.0.0.1:{strict}"] + [{"addr": f"127.0.0.1:{p}", "allow": [w]} for w, p in ports.items()]
    weir = module_lab.weir({**proxy(origin), "workers": 1, "listen": listeners})
    weir.origin, weir.ports, weir.strict = origin, ports, strict
    return weir


def taken(weir, port, word):
    """The input of that word is served there, and the next request on the connection too."""
    data, _, _, target = INPUTS[word]
    weir.origin.clear()
    with weir.connect(("127.0.0.1", port)) as conn:
        for at in range(0, len(data), 7):  # in pieces
            conn.send(data[at:at + 7])
        told = conn.response().json()
        assert told["length"] == 5 and told["target"] == target
        assert conn.exchange("GET", "/after").json()["target"] == "/after"
    sent = weir.origin.bytes
    head = sent[:sent.index(b"\r\n\r\n")]
    assert b"\t" not in head and b"\n" not in head.replace(b"\r\n", b"")
    names = [line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:]]
    assert names.count(b"content-length") + names.count(b"transfer-encoding") == 1
    assert b"content-length: 5" in head.lower() or b"transfer-encoding: chunked" in head.lower()
    return told


def refused(weir, port, word):
    data, code, rule, _ = INPUTS[word]
    with weir.counts(1, "weir_refusals_total", code=code, rule=rule):
        with weir.connect(("127.0.0.1", port)) as conn:
            conn.send(data)
            response = conn.response()
            assert response.status == 400 and response.json()["code"] == code and response.closes


@pytest.mark.parametrize("word", INPUTS)
def test_strict_by_default(gates, word):
    refused(gates, gates.strict, word)


@pytest.mark.parametrize("word", INPUTS)
def test_each_word_relaxes_its_rule(gates, word):
    taken(gates, gates.ports[word], word)


@pytest.mark.parametrize("word", INPUTS)
def test_no_word_relaxes_another_rule(gates, word):
    for other in INPUTS:
        if other != word:
            refused(gates, gates.ports[other], word)


def test_S03_the_lengths_must_be_equal(gates):
    with gates.connect(("127.0.0.1", gates.ports["equal_lengths"])) as conn:
        conn.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\nhello")
        assert conn.response().json()["code"] == "conflicting_content_length"


def test_S11_never_in_chunks(gates):
    with gates.connect(("127.0.0.1", gates.ports["bare_lf"])) as conn:
        conn.send(b"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n5\nhello\r\n0\r\n\r\n")
        assert conn.response().json()["code"] == "bare_lf"


def test_S17_not_a_name_that_reads_like_a_known_one(gates):
    with gates.connect(("127.0.0.1", gates.ports["underscore"])) as conn:
        conn.send(b"GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 203.0.113.9\r\n\r\n")
        assert conn.response().json()["code"] == "underscore_in_field_name"


@pytest.mark.parametrize("path", ["/..%2fx", "/a%2f..%2fb", "/a%2f%2e%2e", "/%2e%2fa"])
def test_P01_no_dot_segment_behind_an_encoded_slash(gates, path):
    with gates.connect(("127.0.0.1", gates.ports["encoded_slash"])) as conn:
        assert conn.exchange("GET", path).json()["code"] == "bad_path"


def test_P03_an_empty_port_is_not_forwarded(gates):
    told = taken(gates, gates.ports["any_host"], "any_host")
    assert [v for n, v in told["headers"] if n.lower() == "host"] == ["a+b%41"]


def test_a_reload_switches(lab):
    origin = lab.origin()
    weir = lab.weir(proxy(origin))
    weir.origin = origin
    refused(weir, weir.port, "leading_zeros")
    allowing = {**proxy(origin), "listen": [{"addr": f"127.0.0.1:{weir.port}", "allow": ["leading_zeros"]}]}
    assert weir.reload(allowing).status == 200
    taken(weir, weir.port, "leading_zeros")
    assert weir.reload(proxy(origin)).status == 200
    refused(weir, weir.port, "leading_zeros")
    wait_until(lambda: weir.get("/x").status == 200, "it serves on")


def test_an_unknown_word_is_an_error(lab):
    weir = lab.weir(proxy(lab.origin()))
    told = weir.reload({**proxy(lab.origins[0]), "listen": [{"addr": f"127.0.0.1:{weir.port}", "allow": ["bare_cr"]}]})
    assert told.status == 422 and "bare_cr" in str(told.json()["errors"])
