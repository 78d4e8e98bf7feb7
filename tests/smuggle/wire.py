"""One connection as a client that reads strictly and waits: for answers.py and peers.py, which play few cases at once."""
import re
import socket
import threading
from dataclasses import dataclass

HEAD = re.compile(rb"HTTP/1\.[01] (\d\d\d) ([\t\x20-\x7e\x80-\xff]*)\r\n((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*)\r\n")
CHUNK = re.compile(rb"([0-9a-fA-F]+)(?:;[^\r\n]*)?\r\n")
LIMIT = 30  # seconds to wait for anything


class Malformed(Exception):
    pass


@dataclass
class Answer:
    status: int
    fields: list  # (lower name, value)
    body: bytes = b""
    whole: bool = True
    until_close: bool = False
    interim: int = 0

    def values(self, name):
        return [value for have, value in self.fields if have == name]

    @property
    def closes(self):
        return self.until_close or any(b"close" in v.lower() for v in self.values(b"connection"))


class Wire:
    def __init__(self, port, source=None):
        self.sock = socket.socket()
        if source:
            self.sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
            self.sock.bind((source, 0))
        self.sock.settimeout(LIMIT)
        self.sock.connect(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.data = b""
        self.ended = False
        self.reset = False

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            pass  # what came before is read all the same

    def more(self):
        """False at the end. A timeout is raised."""
        if self.ended:
            return False
        try:
            data = self.sock.recv(262144)
        except socket.timeout:
            raise Malformed(f"nothing came for {LIMIT} s") from None
        except OSError:
            data = b""
            self.reset = True
        self.ended = not data
        self.data += data
        return bool(data)

    def take(self, count):
        data, self.data = self.data[:count], self.data[count:]
        return data

    def answer(self, method=b"GET"):
        """The next final response; None when the connection ends before one begins."""
        interim = 0
        while True:
            while b"\r\n\r\n" not in self.data:
                if not self.more():
                    if self.data:
                        raise Malformed(f"half a head: {self.data[:200]!r}")
                    return None
            match = HEAD.match(self.data)
            if not match:
                raise Malformed(f"no response head: {self.data[:200]!r}")
            self.take(match.end())
            if int(match[1]) >= 200:
                break
            interim += 1
        fields = [(name.lower(), value.strip(b" \t")) for name, _, value in
                  (line.partition(b":") for line in match[3].split(b"\r\n")[:-1])]
        answer = Answer(int(match[1]), fields, interim=interim)
        self.body(answer, method)
        return answer

    def body(self, answer, method):
        lengths, codings = answer.values(b"content-length"), answer.values(b"transfer-encoding")
        if len(lengths) + len(codings) > 1:
            raise Malformed(f"framed more than once: {answer.fields}")
        if method == b"HEAD" or answer.status in (204, 304):
            return
        if codings:
            if codings != [b"chunked"]:
                raise Malformed(f"Transfer-Encoding {codings}")
            self.chunks(answer)
        elif lengths:
            if not re.fullmatch(rb"\d+", lengths[0]):
                raise Malformed(f"Content-Length {lengths}")
            size = int(lengths[0])
            while len(self.data) < size and self.more():
                pass
            answer.whole = len(self.data) >= size
            answer.body = self.take(size)
        else:
            answer.until_close = True
            while self.more():
                pass
            answer.body = self.take(len(self.data))
            answer.whole = not self.reset

    def chunks(self, answer):
        while True:
            while b"\r\n" not in self.data:
                if not self.more():
                    answer.whole = False
                    return
            match = CHUNK.match(self.data)
            if not match:
                raise Malformed(f"chunk {self.data[:60]!r}")
            self.take(match.end())
            size = int(match[1], 16)
            while len(self.data) < size + 2 and self.more():
                pass
            if size == 0:
                while True:  # trailers
                    while b"\r\n" not in self.data:
                        if not self.more():
                            answer.whole = False
                            return
                    line = self.take(self.data.index(b"\r\n") + 2)
                    if line == b"\r\n":
                        return
            answer.body += self.data[:size]
            if len(self.data) < size + 2:
                answer.whole = False
                return
            if self.data[size:size + 2] != b"\r\n":
                raise Malformed("no line end behind a chunk")
            self.take(size + 2)

    def end(self):
        """Whether the connection ends here without another byte."""
        return not self.data and not self.more()

    def close(self):
        self.sock.close()


def in_threads(items, work, width=16):
    """work(next) in each of `width` threads, where next() gives the next item or None."""
    items = iter(items)
    lock = threading.Lock()
    errors = []

    def following():
        with lock:
            return next(items, None)

    def main():
        try:
            work(following)
        except Exception as e:  # told by the caller's thread
            errors.append(e)
    threads = [threading.Thread(target=main) for _ in range(width)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
