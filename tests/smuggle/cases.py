"""The cases: what a client sends, in a fixed order. A case is a number, so that one can be repeated.

The first 48,000 are a product: Transfer-Encoding (60) x Content-Length (40) x order (2) x method (5) x version (2). The
others take whole messages and change line ends, names, values, chunks, targets, methods, versions, hosts, Connection,
Expect, Upgrade, sizes, or any byte; and sequences with a bad request among good ones."""
import itertools
import random
from dataclasses import dataclass

HOST = b"Host: weir.test\r\n"
ODD_BYTES = [b"\0", b"\x01", b"\x08", b"\t", b"\n", b"\x0b", b"\x0c", b"\r", b"\x1f", b" ", b'"', b"#", b"%", b",", b"/",
             b":", b";", b"?", b"@", b"\\", b"_", b"{", b"\x7f", b"\x80", b"\x85", b"\xa0", b"\xff"]


@dataclass
class Case:
    number: int
    family: str
    name: str  # what is particular about it
    data: bytes
    rows: frozenset = None  # of the table, that its first head breaks; empty: none; None: not stated here


def te(*lines, rows=""):
    return [b"".join(line + b"\r\n" for line in lines), frozenset(rows.split())]


T = b"Transfer-Encoding: "
TRANSFER_ENCODINGS = [
    te(), te(T + b"chunked"), te(b"transfer-encoding: chunked"), te(b"TRANSFER-ENCODING: CHUNKED"),
    te(b"Transfer-Encoding:chunked"), te(b"Transfer-Encoding:   Chunked  "),
    te(b"X-Transfer-Encoding: chunked"), te(b"Transfer-Encodin: chunked"), te(b"Transfer-Encoding-: chunked"),
    te(b"TE: chunked"),
    te(T + b"xchunked", rows="S06"), te(T + b"identity", rows="S06"), te(T + b"gzip", rows="S06"),
    te(T + b"gzip, chunked", rows="S06"), te(T + b"chunked;a=b", rows="S06"), te(T + b"chunkedx", rows="S06"),
    te(T + b"chunke", rows="S06"), te(T + b"chunked;", rows="S06"), te(T + b"trailers", rows="S06"),
    te(T + b"x chunked", rows="S06"), te(T + b"\"chunked\"", rows="S06"), te(T + b"'chunked'", rows="S06"),
    te(T + b"chunked\xa0", rows="S08"), te(T + b"\xa0chunked", rows="S08"), te(T + b"\x85chunked", rows="S08"),
    te(T + b"chun\xffked", rows="S08"), te(T + b"cHun\xc3\x9fked", rows="S08"), te(T + b"{chunked}", rows="S08"),
    te(T + b"chunked, chunked", rows="S07"), te(T + b", chunked", rows="S07"), te(T + b"chunked,", rows="S07"),
    te(T + b"chunked, identity", rows="S07"), te(T + b"chunked , , chunked", rows="S07"),
    te(b"Transfer-Encoding:", rows="S07"), te(T + b",", rows="S07"),
    te(T + b"chunked", T + b"chunked", rows="S07"), te(T + b"chunked", T + b"identity", rows="S07"),
    te(T + b"identity", b"X: y", b"transfer-encoding: chunked", rows="S07"),
    te(T + b"\x0bchunked", rows="S18"), te(T + b"chunked\x0c", rows="S18"), te(T + b"\0chunked", rows="S18"),
    te(T + b"chunked\0", rows="S18"), te(T + b"chunked\x1f", rows="S18"), te(T + b"chu\x08nked", rows="S18"),
    te(b"Transfer-Encoding:\tchunked", rows="S08"), te(T + b"chunked\t", rows="S08"),
    te(b"Transfer-Encoding : chunked", rows="S16"), te(b"Transfer-Encoding\t: chunked", rows="S16"),
    te(b"Transfer-Encoding\0: chunked", rows="S16"), te(b"Transfer-Encoding\xa0: chunked", rows="S16"),
    te(b"Transfer Encoding: chunked", rows="S16"), te(b"Transfer-Encoding chunked", rows="S16"),
    te(b"Transfer_Encoding: chunked", rows="S17"), te(b"\x0bTransfer-Encoding: chunked", rows="S16"),
    te(b"X: y", b" Transfer-Encoding: chunked", rows="S10"), te(b"Transfer-Encoding:", b" chunked", rows="S10"),
    te(T + b"chunked", b"\t, identity", rows="S10"),
    te(b"X: y\nTransfer-Encoding: chunked", rows="S11"), te(b"X: y\rTransfer-Encoding: chunked", rows="S11"),
    te(T + b"chunked\r", rows="S11"),
]
C = b"Content-Length: "
CONTENT_LENGTHS = [
    te(), te(C + b"%d"), te(C + b"0"), te(C + b"5"), te(C + b"4"), te(C + b"6"), te(b"content-length:%d  "),
    te(b"CONTENT-LENGTH:  %d"), te(b"X-Content-Length: 5"), te(b"Content-Length-: 5"),
    te(C + b"4294967301", rows="limit"), te(C + b"9223372036854775807", rows="limit"),
    te(C + b"5", C + b"0", rows="S02"), te(C + b"0", b"X: y", b"content-length: %d", rows="S02 S03"),
    te(C + b"5, 0", rows="S04"), te(C + b"0,5", rows="S04"),
    te(C + b"5", C + b"5", rows="S03"), te(C + b"5, 5", rows="S04"),
    te(b"Content-Length:", rows="S04"), te(C + b"+5", rows="S04"), te(C + b"-0", rows="S04"), te(C + b"0x5", rows="S04"),
    te(C + b"1_0", rows="S04"), te(C + b"1 0", rows="S04"), te(C + b"5,", rows="S04"), te(C + b"5;", rows="S04"),
    te(C + b"5.0", rows="S04"), te(C + b"9223372036854775808", rows="S04"),
    te(C + b"18446744073709551621", rows="S04"), te(C + b"\xb2", rows="S04"),
    te(C + b"05", rows="S05"), te(C + b"00", rows="S05"),
    te(C + b"\t5", rows="S04"), te(C + b"\x0b5", rows="S18"), te(C + b"5\0", rows="S18"),
    te(b"Content-Length : 5", rows="S16"), te(b"Content_Length: 5", rows="S17"),
    te(b"Content-Length:", b" 5", rows="S10"), te(C + b"5", b" 0", rows="S10"),
    te(b"X: y\nContent-Length: 5", rows="S11"),
]
METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE"]


def inner(number):
    """A request that hides in a body."""
    return b"GET /smuggled/%d HTTP/1.1\r\nHost: weir.test\r\n\r\n" % number


def payload(number, kind):
    hidden = inner(number)
    return [
        b"0\r\n\r\n" + hidden,
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(hidden), hidden),
        hidden,
        b"5\r\nhello\r\n0\r\n\r\n" + hidden,
        b"hello",
        b"",
        b"0\r\nX: " + hidden + b"\r\n",
        b"5;a=b\r\nhello\r\n00\r\nX-T: y\r\n\r\n",
    ][kind]


def matrix():
    """The product. What it does not span is varied with the number."""
    product = itertools.product(range(60), range(40), range(2), METHODS, (1, 0))
    for number, (t, c, order, method, minor) in enumerate(product):
        rng = random.Random(number)
        body = payload(number, rng.randrange(8))
        length = CONTENT_LENGTHS[c][0].replace(b"%d", b"%d" % len(body))
        framing = [TRANSFER_ENCODINGS[t][0], length]
        if order:
            framing.reverse()
        lines = [HOST, b"X-Test: %d\r\n" % number] if rng.random() < 0.8 else [HOST]
        if minor == 0 and rng.random() < 0.5:
            lines.append(b"Connection: keep-alive\r\n")
        if framing[0] and framing[1] and rng.random() < 0.3:
            framing.insert(1, b"X-Between: y\r\n")
        lines.insert(rng.randrange(len(lines) + 1), b"".join(framing))
        if lines[0][:1] in (b" ", b"\t"):
            lines.reverse()
        head = b"%b /c/%d HTTP/1.%d\r\n%b\r\n" % (method, number, minor, b"".join(lines))
        rows = TRANSFER_ENCODINGS[t][1] | CONTENT_LENGTHS[c][1]
        if 1 <= t <= 5:
            rows |= {"S09"} if minor == 0 else frozenset()
            rows |= {"S01"} if 1 <= c <= 7 else frozenset()
        elif minor == 0 and method in (b"GET", b"HEAD", b"DELETE"):
            taken = {1: len(body), 6: len(body), 7: len(body), 3: 5, 4: 4, 5: 6}.get(c, 0)
            rows |= {"S21"} if taken else frozenset()
        name = f"TE {TRANSFER_ENCODINGS[t][0]!r}, CL {length!r}, {method.decode()}, 1.{minor}"
        yield name, head + body, rows


# ---- changes to whole messages ----

def message(start=b"POST /c HTTP/1.1", *fields, body=b"", host=HOST):
    return start + b"\r\n" + host + b"".join(f + b"\r\n" for f in fields) + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked"
LENGTH_OF_INNER = b"Content-Length: %d" % len(inner(0))
TEMPLATES = [
    message(b"GET /c/a?b=c HTTP/1.1", b"X-Test: one"),
    message(b"POST /c HTTP/1.1", b"X-Test: one", b"Content-Length: 5", body=b"hello"),
    message(b"POST /c HTTP/1.1", CHUNKED, body=b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
    message(b"PUT /c HTTP/1.1", CHUNKED, b"X-Test: one",
            body=b"5;name=value;q=\"x y\"\r\nhello\r\n00;last\r\nX-Sum: 1\r\nExpires: 0\r\n\r\n"),
    message(b"GET http://weir.test/c HTTP/1.1", b"Connection: keep-alive, X-Gone", b"X-Gone: 1"),
    message(b"POST /c HTTP/1.0", b"Connection: keep-alive", b"Content-Length: 5", body=b"hello"),
    message(b"OPTIONS * HTTP/1.1", b"Accept: */*", b"Cookie: a=b; c=d"),
    message(b"POST /c HTTP/1.1", b"Expect: 100-continue", LENGTH_OF_INNER, body=inner(0)),
]
LINE_ENDS = [b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n ", b"\r\n\t", b"\x0b", b"\x85", b"\r\n\r\n", b"", b"\0\r\n",
             b" \r\n", b"\t\r\n", b"\r\n\n", b"\r\n\r", b"\x0c\r\n", b"\xe2\x80\xa8", b"\\r\\n", b"\r\0\n", b"\n\n"]


def line_ends():
    for t, template in enumerate(TEMPLATES):
        at = template.find(b"\r\n")
        while at >= 0:
            for end in LINE_ENDS:
                yield f"line end {end!r} at {at} of message {t}", template[:at] + end + template[at + 2:]
            at = template.find(b"\r\n", at + 1)
        for ends in (b"\n", b"\r", b"\r\r\n", b"\n\r"):
            yield f"all line ends {ends!r} in message {t}", template.replace(b"\r\n", ends)
    for before in (b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\r\n ", b"\0", b"\r\n\r\n\r\n", b"\t\r\n", b"\xef\xbb\xbf"):
        for t, template in enumerate(TEMPLATES):
            yield f"{before!r} before message {t}", before + template


def names_and_values():
    for byte in range(256):
        b = bytes([byte])
        for i, name in enumerate((b + b"X-Test", b"X-T" + b + b"est", b"X-Test" + b)):
            yield f"byte {byte:#x} in a name, place {i}", message(b"GET /c HTTP/1.1", b"X-A: 1", name + b": v")
        for i, value in enumerate((b + b"value", b"val" + b + b"ue", b"value" + b)):
            yield f"byte {byte:#x} in a value, place {i}", message(b"GET /c HTTP/1.1", b"X-Test: " + value)
    for name in (b"", b"\xe2\x80\x8bX-T", b"Content-Length\0", b"content_length", b"X-T_a", b"_", b"Host ", b"X T",
                 b"[X-T]", b"X-T=", b"GET / HTTP/1.1\r\nX-T", b"(x)"):
        yield f"the name {name!r}", message(b"GET /c HTTP/1.1", name + b": 5", b"X-A: 1")
        yield f"the name {name!r}, first", message(b"GET /c HTTP/1.1", name + b": 5", host=b"").replace(
            b"\r\n\r\n", b"\r\n" + HOST + b"\r\n")
    for field in (b"X-T", b"X-T;", b":", b"", b": x", b" X-T: y", b"\tX-T: y", b"X-T:", b"X-T:y", b"X-T::y", b"X-T: \t y \t "):
        yield f"the line {field!r}", message(b"GET /c HTTP/1.1", field, b"X-A: 1")
    for field in (b"Authorization: a", b"Content-Type: a/b", b"Host: weir.test", b"X-Twice: a"):
        yield f"{field!r} twice", message(b"GET /c HTTP/1.1", field, b"X-A: 1", field)


SIZES = [b"5", b"05", b"0000000000000005", b"00000000000000005", b"", b" 5", b"5 ", b"\t5", b"5\t", b"+5", b"-5", b"0x5",
         b"5h", b"5_0", b"5.", b"5,5", b"\x0b5", b"5\0", b"5\xa0", b"G", b"fffffffffffffffff", b"ffffffffffffffff",
         b"8000000000000000", b"7fffffffffffffff", b"100000005", b"10000000000000005", b"-0", b"\"5\"", b"5\r", b"5\n", b"4",
         b"6", b"0", b"00", b"5 5", b"5\r\n", b"\xef\xbc\x95", b"a", b"A", b"20000"]
EXTENSIONS = [b"", b";a", b";a=b", b";a=\"b c\"", b";a=\"\\\"\"", b";a;b=c;d=\"\"", b";", b";;", b";=", b";a=", b";a b",
              b";a=b c", b"; a=b", b" ;a", b";a =b", b";a= b", b";a\0", b";a=\"b", b";a=\"b\nc\"", b";a=\"\r\n\"", b";\xe4",
              b";a=\"\xe4\"", b";a\r", b";a\n", b";a=\"\\\xff\"", b";a=\x7f", b";a=\"\\\r\n\"", b";(a)", b";a,b", b",a",
              b";" + b"a" * 200, b";" + b"a" * 300, b";a=\"" + b"b" * 300 + b"\"", b";a=\"0\r\n\r\n"]
AFTER_DATA = [b"\r\n", b"", b"\n", b"\r", b"\r\r\n", b" \r\n", b"x\r\n", b"\n\r", b"\r\n\r\n", b"\0\r\n", b"\r\n\n"]
TRAILERS = [b"\r\n", b"X-T: y\r\n\r\n", b"X-T: y\n\r\n", b"X-T: y\r\n\n", b"X-T: y\r\r\n\r\n", b"\n", b"\r", b"\r\r\n",
            b" X: y\r\n\r\n", b"X-T: y\r\n z\r\n\r\n", b"X-T\r\n\r\n", b": y\r\n\r\n", b"X T: y\r\n\r\n", b"X-T : y\r\n\r\n",
            b"X-T: \0\r\n\r\n", b"X-T: \x7f\r\n\r\n", b"X_T: y\r\n\r\n", b"Content-Length: 5\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n", b"Host: evil\r\n\r\n", b"Authorization: a\r\n\r\n", b"Cookie: a=b\r\n\r\n",
            b"X-Forwarded-For: 1.2.3.4\r\n\r\n", b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", b"\xe4: y\r\n\r\n",
            b"X-T: \xe4\r\n\r\n", b"GET /smuggled HTTP/1.1\r\nHost: weir.test\r\n\r\n", b"X-T:\r\n\r\n", b"X\r: y\r\n\r\n",
            b"X-T: y\r\nX-T: z\r\n\r\n", b"X-Long: " + b"y" * 20000 + b"\r\n\r\n", b"X-T: y\x0b\r\n\r\n", b"0\r\n\r\n",
            b"", b"\r\n\r\n"]


def chunks():
    for size, extension in itertools.product(SIZES, EXTENSIONS):
        for first in (b"", b"3\r\nabc\r\n"):
            body = first + size + extension + b"\r\nhello\r\n0\r\n\r\n"
            yield f"chunk {size + extension!r}{' second' if first else ''}", message(b"POST /c HTTP/1.1", CHUNKED, body=body)
    for size, after in itertools.product(SIZES[:8] + SIZES[-10:], AFTER_DATA):
        yield f"chunk {size!r}, {after!r} behind", message(
            b"POST /c HTTP/1.1", CHUNKED, body=size + b"\r\nhello" + after + b"0\r\n\r\n" + inner(0))
    for last, trailer, method in itertools.product((b"0", b"000", b"0;a=b", b"0;", b"00000000000000000", b"-0", b"0 "), TRAILERS,
                                                   (b"POST", b"GET")):
        yield f"last chunk {last!r}, trailers {trailer!r}, {method.decode()}", message(
            method + b" /c HTTP/1.1", b"Trailer: X-T", CHUNKED, body=b"5\r\nhello\r\n" + last + b"\r\n" + trailer)
    for count, each in ((60, 200), (90, 200), (300, 60), (200, 60), (1000, 1)):
        yield f"{count} chunks with {each} bytes of extension", message(
            b"POST /c HTTP/1.1", CHUNKED, body=b"1;%b\r\nx\r\n" % (b"a" * each) * count + b"0\r\n\r\n")


TARGETS = [b"/c/../d", b"/c/..", b"/..", b"/c/../..", b"/./c", b"/c/.", b"//c", b"/c//d", b"//weir.test/c", b"///", b"/",
           b"/c/%2e%2e/d", b"/%2e%2e", b"/c%2fd", b"/c%2Fd", b"/c%5cd", b"/c\\d", b"/c%00", b"/c%", b"/c%2", b"/c%zz",
           b"/c%252e%252e/d", b"/c%252fd", b"/c;a=b/d", b"/c;/../d", b"/..;/c", b"/c/..;/d", b"/%c0%af", b"/%c0%ae%c0%ae/",
           b"/%ff", b"/%e2%82%ac", b"/%e2%82", b"/%ed%a0%80", b"/%f4%90%80%80", b"/%C3%A4", b"/%41%7e%2d", b"/c?", b"/c??",
           b"/c?a=b&c=d", b"/c?a=%0d%0aX:%20y", b"/c?/../..", b"/c?a#b", b"/c#", b"/c#/../d", b"#", b"", b"c", b"c/d", b"*",
           b"**", b"/*", b"?a", b"/c?a=b?c", b"/c%20d", b"/c%23d", b"/c%3fd", b"/c%3Fd", b"/c+d", b"/c|d", b"/c^d", b"/c`d",
           b"/c{d}", b"/c<d>", b"/c\"d", b"/c[d]", b"/c'd", b"/c%0a", b"/c%0d%0aX:%20y", b"/c%7f", b"/c%09", b"/c d",
           b"/c HTTP/1.1\r\nX: y", b"/c?a b", b"/%2e", b"/%2E%2E%2F", b"/c/%2e/d", b"/c/.%2e/d", b"/c/%2e./../..",
           b"/%u002e", b"/\xe4", b"/c\x7f", b"/c:80", b"/@", b"/:c", b"http:", b"http:/", b"http://", b"http:///c",
           b"http://weir.test", b"http://weir.test/", b"http://weir.test?a", b"http://weir.test/c/../d", b"HTTP://weir.test/c",
           b"hTTp://other.test:81/c?d", b"http://a@weir.test/c", b"http://a:b@weir.test/c", b"http://@weir.test/",
           b"http://weir.test@/", b"http://weir.test:/c", b"http://weir.test:99999/c", b"http://weir.test:x/c",
           b"http://weir.test:80:80/", b"http://[::1]/c", b"http://[::1/c", b"http://::1/c", b"http://weir.test\\@evil/",
           b"http://weir.test#@evil/", b"http://weir.test%00/", b"http://weir.test,evil/", b"http://weir_test/c",
           b"http://weir.test/http://evil/", b"http://weir.test//evil/", b"https://weir.test/c", b"ftp://weir.test/c",
           b"file:///etc/passwd", b"javascript:x", b"//evil.test/c/../..", b"weir.test:80", b"weir.test", b"http:weir.test/c",
           b"/c" + b"d" * 8189, b"/c" + b"d" * 8190, b"/c" + b"d" * 8191, b"/c?" + b"d" * 9000, b"/" + b"a/" * 4000,
           b"/" + b"../" * 2000, b"/" + b"a/../" * 1600, b"/%2e" * 2000]


def targets():
    for target, method, minor in itertools.product(TARGETS, (b"GET", b"OPTIONS", b"POST"), (1, 0)):
        fields = [b"Content-Length: 0"] if method == b"POST" else []
        yield f"{method.decode()} {target[:60]!r} 1.{minor}", message(method + b" " + target + b" HTTP/1.%d" % minor, *fields)
    for byte in range(256):
        b = bytes([byte])
        for target in (b"/c" + b + b"d", b"/c/d" + b, b"/c?a" + b + b"d", b"/c?" + b, b"/c/%%%02x" % byte,
                       b"/c/%%%02Xd" % byte, b"/c?%%%02x" % byte, b"http://we" + b + b"ir/"):
            yield f"GET {target!r}", message(b"GET " + target + b" HTTP/1.1")


def methods_and_versions():
    for byte in range(256):
        b = bytes([byte])
        for method in (b + b"GET", b"G" + b + b"ET", b"GET" + b):
            yield f"method {method!r}", message(method + b" /c HTTP/1.1")
    for method in (b"get", b"Get", b"gET", b"post", b"pOST", b"head", b"connect", b"PROPFIND", b"M-SEARCH", b"PURGE", b"FOO",
                   b"GETT", b"GE", b"G", b"A" * 32, b"A" * 33, b"A" * 5000, b"", b"PRI", b"TRACE", b"TRACK", b"PATCH",
                   b"CONNECT", b"Options", b"OPTIONS", b"SEARCH", b"HTTP/1.1", b"GET\t", b"*", b"X_Y", b"GET GET"):
        for target in (b"/c", b"*", b"weir.test:443", b"http://weir.test/c"):
            for minor in (1, 0):
                yield f"{method[:40]!r} {target!r} 1.{minor}", message(b"%b %b HTTP/1.%d" % (method, target, minor))
        yield f"{method[:40]!r} with a body", message(method + b" /c HTTP/1.1", LENGTH_OF_INNER, body=inner(0))
    for version in (b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/0.9", b"HTTP/0.0", b"HTTP/2.0", b"HTTP/3.0",
                    b"HTTP/9.9", b"HTTP/1.10", b"HTTP/1.01", b"HTTP/01.1", b"HTTP/1.32", b"HTTP/11.1", b"HTTP/1", b"HTTP/2",
                    b"HTTP/", b"HTTP", b"HTTP/1.", b"HTTP/.1", b"HTTP/1,1", b"HTTP/1 1", b"HTTP/ 1.1", b"HTTP /1.1",
                    b"http/1.1", b"Http/1.1", b"hTTP/1.1", b"HTTPS/1.1", b"HTP/1.1", b"HTTP/a.b", b"HTTP/1.1x", b"HTTP/1.1 ",
                    b"HTTP/1.1\t", b" HTTP/1.1", b"\tHTTP/1.1", b"HTTP/1.1\0", b"\0HTTP/1.1", b"HTTP\\1.1", b"HTTP//1.1",
                    b"HTTP/-1.1", b"HTTP/+1.1", b"HTTP/1.-1", b"HTTP/\xb9.1", b"HTTP/1.1 HTTP/1.1", b"HTTP/1.1;", b"ICY/1.1",
                    b"RTSP/1.0", b"", b"\"HTTP/1.1\"", b"HTTP/1.1.1", b"HTTP/1.1\r", b"HTTP/1.1\x0b", b"HTTP/0x1.1"):
        for method in METHODS:
            body = (b"Content-Length: 5",) if method in (b"POST", b"PUT") else ()
            yield f"{method.decode()} with version {version!r}", message(method + b" /c " + version, *body,
                                                                         body=b"hello" if body else b"")
    for line in (b"GET /c", b"GET", b"", b"GET  /c HTTP/1.1", b"GET /c  HTTP/1.1", b" GET /c HTTP/1.1", b"GET\t/c HTTP/1.1",
                 b"GET /c\tHTTP/1.1", b"GET /c HTTP/1.1 x", b"GET /c x HTTP/1.1", b"GET\x0b/c HTTP/1.1", b"GET\xa0/c HTTP/1.1",
                 b"GET\0/c HTTP/1.1", b"GET/c HTTP/1.1", b"GET /cHTTP/1.1", b"GET HTTP/1.1", b"HTTP/1.1 200 OK",
                 b"GET /c HTTP/1.1\r GET /d HTTP/1.1", b"X-T: y", b"GET  HTTP/1.1", b": / HTTP/1.1"):
        yield f"request line {line!r}", message(line)
        yield f"request line {line!r} alone", line + b"\r\n"


HOSTS = [b"weir.test", b"weir.test:80", b"WEIR.test", b"weir.test.", b"127.0.0.1", b"[::1]", b"[::1]:80", b"", b"weir.test:",
         b"weir.test:0", b"weir.test:65535", b"weir.test:65536", b"weir.test:99999999999", b"weir.test:x", b"weir.test:-1",
         b"weir.test: 80", b"weir.test :80", b"a b", b"a,b", b"a/b", b"a@b", b"a:b@c", b"a?b", b"a#b", b"a\\b", b"a\xe4",
         b"a_b", b"a%41", b"a%00", b"a'b", b"a;b", b"a\0b", b"a\tb", b"\tweir.test", b"weir.test\t", b"[::1", b"::1", b"[]",
         b"[zz]", b"[::1]x", b"[v1.a]", b"-a", b"a..b", b".", b"-", b"*", b"http://weir.test", b"a\x7f", b"a|b", b"a<b",
         b"weir.test\r", b"a" * 255, b"a" * 300, b"weir.test, weir.test", b"(weir)", b"a\"b"]


def hosts():
    for host, minor, target in itertools.product(HOSTS, (1, 0), (b"/c", b"http://other.test/c")):
        yield f"Host {host[:60]!r} 1.{minor} {target.decode()}", message(
            b"GET %b HTTP/1.%d" % (target, minor), host=b"Host: " + host + b"\r\n")
    for lines in (b"", b"Host: a\r\nHost: b\r\n", b"Host: a\r\nHost: a\r\n", b"Host: a\r\nX: y\r\nhost: b\r\n", b"Host : a\r\n",
                  b" Host: a\r\n", b"Host: a\r\n b\r\n", b"Host:\r\n a\r\n", b"Host\r\n", b"X-Host: a\r\n", b"Host_: a\r\n",
                  b"Host: a\nHost: b\r\n", b"Host: a\rHost: b\r\n", b"hOsT: a\r\n", b"Host: a\r\nX-Forwarded-Host: b\r\n"):
        for minor, target in itertools.product((1, 0), (b"/c", b"http://other.test/c", b"*")):
            method = b"OPTIONS" if target == b"*" else b"GET"
            yield f"Host lines {lines!r} 1.{minor} {target.decode()}", message(
                b"%b %b HTTP/1.%d" % (method, target, minor), host=lines)


def connections():
    """Connection, Expect, Upgrade."""
    options = [b"close", b"keep-alive", b"Close", b"close, keep-alive", b"keep-alive, close", b"content-length",
               b"Transfer-Encoding", b"host", b"X-Test", b"X-Test, close", b"upgrade", b"x-forwarded-for, authorization", b"",
               b",", b"close,", b",close", b"a b", b"clo\0se", b"\"close\"", b"close;a=b", b"cl ose", b"expect", b"te, trailer",
               b"keep-alive, content-length, transfer-encoding, host", b"connection", b"close\t", b"\tclose"]
    bodies = [((), b""), ((LENGTH_OF_INNER,), inner(0)), ((CHUNKED,), b"5\r\nhello\r\n0\r\n\r\n")]
    for option, (fields, body), minor, method in itertools.product(options, bodies, (1, 0), (b"GET", b"POST")):
        yield f"Connection {option!r}, {fields}, {method.decode()} 1.{minor}", message(
            b"%b /c HTTP/1.%d" % (method, minor), b"X-Test: 1", b"Connection: " + option, *fields, body=body)
    for a, b in itertools.product((b"close", b"keep-alive", b"x"), repeat=2):
        yield f"Connection {a!r} and {b!r}", message(b"GET /c HTTP/1.1", b"Connection: " + a, b"X: y", b"Connection: " + b)
    expects = [b"100-continue", b"100-Continue", b" 100-continue ", b"100-continues", b"100-continue, x", b"", b"200-ok",
               b"100-continue;a=b", b"100 continue", b"100-continue,", b"x, 100-continue", b"\"100-continue\"",
               b"100-continue, 100-continue", b"100-continue\0", b"\t100-continue"]
    for expect, (fields, body), minor, method in itertools.product(expects, bodies, (1, 0), METHODS):
        yield f"S23 Expect {expect!r}, {fields}, {method.decode()} 1.{minor}", message(
            b"%b /c HTTP/1.%d" % (method, minor), b"Expect: " + expect, *fields, body=body)
    for value, method, target in itertools.product((b"0", b"1", b"10", b"-1", b"", b"x", b"00", b"99999999999999999999", b"0, 1"),
                                                   (b"OPTIONS", b"TRACE", b"GET"), (b"/c", b"*", b"http://weir.test")):
        if target != b"*" or method == b"OPTIONS":
            yield f"Max-Forwards {value!r}, {method.decode()} {target.decode()}", message(
                b"%b %b HTTP/1.1" % (method, target), b"Max-Forwards: " + value)
    yield "S23 Expect twice", message(b"POST /c HTTP/1.1", *[b"Expect: 100-continue"] * 2, b"Content-Length: 5", body=b"hello")
    upgrades = [b"websocket", b"h2c", b"TLS/1.0", b"HTTP/2.0", b"", b"websocket, h2c", b"Websocket", b"a b", b"a\0", b"foo/1",
                b"foo, websocket", b"websocket/13", b"websocket,", b"\"websocket\"", b"websocket\twebsocket"]
    options = (b"Upgrade", b"upgrade, HTTP2-Settings", b"close", b"close, upgrade", b"upgrades", None)
    for target, upgrade, asked, (fields, body), minor in itertools.product((b"/c", b"/ws/c"), upgrades, options, bodies, (1, 0)):
        yield f"S24 {target.decode()} Upgrade {upgrade!r}, Connection {asked!r}, {fields}, 1.{minor}", message(
            b"GET %b HTTP/1.%d" % (target, minor), b"Upgrade: " + upgrade, *([b"Connection: " + asked] if asked is not None else []),
            b"HTTP2-Settings: AAMAAABkAAQAAP__", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: AAAA", *fields,
            body=body) + inner(0)


def sizes():
    for n in (90, 97, 98, 99, 100, 101, 200, 1000):
        yield f"{n} fields", message(b"GET /c HTTP/1.1", *[b"X-F%d: y" % i for i in range(n)])
    for n in (100, 8000, 15000, 16000, 16200, 16300, 16310, 16320, 16330, 16340, 16350, 16384, 17000, 40000, 70000):
        yield f"a field of {n} bytes", message(b"GET /c HTTP/1.1", b"X-Test: " + b"y" * n)
    for n in (0, 1, 1000, 16384, 65535, 65536, 65537, 70000, 200000):
        yield f"a body of {n}", message(b"POST /c HTTP/1.1", b"Content-Length: %d" % n, body=b"z" * n)
        yield f"one chunk of {n}", message(b"POST /c HTTP/1.1", CHUNKED, body=(
            b"%x\r\n%b\r\n" % (n, b"z" * n) if n else b"") + b"0\r\n\r\n")
    for step in (1, 3, 100, 1000):
        yield f"chunks of {step}", message(b"POST /c HTTP/1.1", CHUNKED, body=b"".join(
            b"%x\r\n%b\r\n" % (step, b"z" * step) for _ in range(2000 // step)) + b"0\r\n\r\n")


def pipelines():
    """S26: good requests, and one that is not."""
    bad = [message(b"GET /bad HTTP/1.1", b"X Bad: y"), message(b"POST /bad HTTP/1.1", b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"),
           message(b"POST /bad HTTP/1.1", b"Content-Length: +5", body=b"hello"), b"\r\n\r\n\r\n", b"\n", b"\0", b"GET /bad\r\n",
           message(b"POST /bad HTTP/1.1", CHUNKED, body=b"5\r\nhello0\r\n\r\n"), message(b"POST /bad HTTP/1.1", CHUNKED, body=b"x\r\n"),
           message(b"GET /bad HTTP/1.1", b"Connection: close"), message(b"GET /bad HTTP/1.0"), message(b"CONNECT weir.test:1 HTTP/1.1"),
           message(b"GET /bad HTTP/1.1", b"Expect: x"), message(b"GET /bad HTTP/1.1", host=b""), message(b"GET /bad HTTP/1.1", b" folded"),
           message(b"POST /bad HTTP/1.1", b"Content-Length: 99999999"), message(b"get /bad HTTP/1.1"), message(b"GET /bad HTTP/2.0"),
           b"", b"0\r\n\r\n", b"X"]
    good = TEMPLATES + [message(b"HEAD /c HTTP/1.1"), message(b"DELETE /c HTTP/1.1", LENGTH_OF_INNER, body=inner(0)),
                        message(b"OPTIONS /c HTTP/1.1", CHUNKED, body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner(0)), inner(0)))]
    for i, (one, before, after) in enumerate(itertools.product(range(len(bad)), range(0, 8), range(0, 3))):
        rng = random.Random(i)
        parts = [rng.choice(good) for _ in range(before)] + [bad[one]] + [rng.choice(good) for _ in range(after)]
        yield f"S26 {before} good, {bad[one][:40]!r}, {after} good", b"".join(parts)
    for count in (20, 100):
        for at in (0, 1, count // 2, count - 1):
            parts = [message(b"GET /%d HTTP/1.1" % i) for i in range(count)]
            parts[at] = bad[0]
            yield f"S26 {count} requests, the bad one at {at}", b"".join(parts)


def odd_but_right():
    """Requests that are right and unusual: what other readers make of them is the question."""
    rng = random.Random(7)
    tchar = b"!#$%&'*+-.^`|~09azAZ"
    visible = bytes(b for b in range(0x21, 0x7f) if b not in b"#\\%\"<>^`{|}[]?")
    for i in range(2500):
        method = rng.choice((b"GET", b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"PROPFIND", b"REPORT"))
        path = b"/" + bytes(rng.choice(visible) for _ in range(rng.randrange(12)))
        if b"/." in path or b"//" in path:
            path = b"/c"
        query = b"?" + bytes(rng.choice(visible + b"?/%25") for _ in range(rng.randrange(8))) if rng.random() < 0.5 else b""
        fields = []
        for _ in range(rng.randrange(4)):
            name = b"X-T" + bytes(rng.choice(tchar) for _ in range(rng.randrange(6)))
            value = bytes(rng.choice(b"\t !\"#,:;=@\\{}~az\x80\xa0\xe4\xff") for _ in range(rng.randrange(10)))
            fields.append(name + rng.choice((b":", b": ", b":   ")) + value)
        body = bytes(rng.choice(b"\r\n0 GETaz:\0\xff") for _ in range(rng.choice((0, 1, 5, 30))))
        kind = rng.randrange(3)
        if kind == 1 or (kind == 0 and method in (b"POST", b"PUT", b"PATCH")):
            fields.insert(rng.randrange(len(fields) + 1), b"Content-Length: %d" % len(body))
        elif kind == 2:
            fields.insert(rng.randrange(len(fields) + 1), CHUNKED)
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
        else:
            body = b""
        yield f"odd but right {i}", message(b"%b %b HTTP/1.1" % (method, path + query), *fields, body=body)


def any_byte():
    """One to three bytes of a message changed, left out, or added."""
    for i in range(8000):
        rng = random.Random(100000 + i)
        data = bytearray(TEMPLATES[i % len(TEMPLATES)])
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            at = rng.randrange(len(data))
            odd = rng.choice(ODD_BYTES)
            kind = rng.randrange(4)
            if kind == 0:
                data[at:at + 1] = odd
            elif kind == 1:
                data[at:at] = odd
            elif kind == 2:
                del data[at]
            else:
                other = rng.randrange(len(data))
                data[at], data[other] = data[other], data[at]
        yield f"bytes of message {i % len(TEMPLATES)} changed, {i}", bytes(data)


FAMILIES = [line_ends, names_and_values, chunks, targets, methods_and_versions, hosts, connections, sizes, pipelines,
            odd_but_right, any_byte]


def all_cases():
    number = 0
    for name, data, rows in matrix():
        yield Case(number, "matrix", name, data, rows)
        number += 1
    for family in FAMILIES:
        for name, data in family():
            yield Case(number, family.__name__, name, data)
            number += 1
