"""tests/services/http.c: HTTP/1.1 with curl, Python's http.client, wrk and raw bytes."""
import http.client
import re
import subprocess

import pytest
from harness import listen, random_bytes

PAGE = b"<!doctype html><title>ccserver</title><p>It serves.\n"
MIB = 1 << 20


def get(path="/", fields="", method="GET", body=b""):
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode() + body


def answer(status="200 OK", body=b"", fields="", ends=False, size=None):
    return (f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if size is None else size}\r\n{fields}"
            f"Connection: {'close' if ends else 'keep-alive'}\r\n\r\n").encode() + body


IS_PAGE = answer(body=PAGE, fields="Content-Type: text/html\r\n")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def chunked(*pieces, trailer=b""):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailer + b"\r\n"


@pytest.fixture
def web(example, tmp_path):
    (tmp_path / "file").write_bytes(random_bytes(3 * MIB))
    return example(listen("http", file=tmp_path / "file"), workers=1)


def curl(server, *args, **options):
    return subprocess.run(["curl", "-sS", "--max-time", "10", *args], capture_output=True, check=True, **options).stdout


def test_curl(web, tmp_path):
    url = f"http://127.0.0.1:{web.port('http')}"
    assert curl(web, f"{url}/", f"{url}/?query") == PAGE * 2
    assert curl(web, f"{url}/file") == (tmp_path / "file").read_bytes()
    body = random_bytes(MIB)  # curl asks before it sends that much
    assert curl(web, "--data-binary", "@-", f"{url}/echo", input=body) == body
    assert curl(web, "-H", "Transfer-Encoding: chunked", "--data-binary", "@-", f"{url}/echo", input=body) == body
    head = curl(web, "-I", f"{url}/file").decode()
    assert "200 OK" in head and f"Content-Length: {3 * MIB}" in head
    codes = curl(web, "-o", "/dev/null", "-w", "%{http_code} ", f"{url}/none", "-o", "/dev/null", "-X", "DELETE",
                 f"{url}/none").decode()
    assert codes == "404 404 "
    assert web.listener("http")["protocol_errors"] == 0


def test_http_client(web):
    client = http.client.HTTPConnection("127.0.0.1", web.port("http"), timeout=10)
    for _ in range(3):  # one connection
        client.request("GET", "/")
        assert client.getresponse().read() == PAGE
        client.request("POST", "/echo", body=(b"piece %d " % i for i in range(100)), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})
        assert client.getresponse().read() == b"".join(b"piece %d " % i for i in range(100))
        client.request("POST", "/", body=b"x" * 100_000)  # skipped
        response = client.getresponse()
        assert (response.status, response.getheader("Allow"), response.read()) == (405, "GET, HEAD", b"")
        client.request("HEAD", "/")
        response = client.getresponse()
        assert (response.getheader("Content-Length"), response.read()) == (str(len(PAGE)), b"")
    client.close()
    assert web.listener("http")["accepted"] == 1


def test_wrk(web):
    done = subprocess.run(["wrk", "-t1", "-c20", "-d1s", f"http://127.0.0.1:{web.port('http')}/"], capture_output=True,
                          text=True, check=True, timeout=20)
    assert "Non-2xx" not in done.stdout and "Socket errors" not in done.stdout, done.stdout
    assert int(re.search(r"(\d+) requests in", done.stdout)[1]) > 100


def test_pipelining(web, tmp_path):
    """Answers come in the order of the requests: constants, files, bodies, errors."""
    file = (tmp_path / "file").read_bytes()
    body = b"\r\n0\r\n\r\nany bytes\0"
    requests = (get() + get("/file") + get("/echo", f"Content-Length: {len(body)}\r\n", "POST", body) +
                get("/echo", "Transfer-Encoding: chunked\r\n", "POST", chunked(b"a", body, b"c" * 5000)) +
                get("/none") + get("/", "Content-Length: 9\r\n", "PUT", b"unwanted!") + get(method="HEAD"))
    answers = (IS_PAGE + answer(body=file) + answer(body=body) + answer(body=b"a" + body + b"c" * 5000) +
               answer("404 Not Found") + answer("405 Method Not Allowed", fields="Allow: GET, HEAD\r\n") +
               answer(size=len(PAGE), fields="Content-Type: text/html\r\n"))
    client = web.connect("http")
    assert client.exchange(requests * 3, len(answers) * 3) == answers * 3


def test_bytes_one_at_a_time(web):
    client = web.connect("http")
    question = get("/echo", "Transfer-Encoding: chunked\r\n", "POST",
                   chunked(b"ab\r\n", b"c", trailer=b"Trailer: x\r\n")) + get()
    for byte in question:
        client.send(bytes([byte]))
    client.expect(answer(body=b"ab\r\nc") + IS_PAGE)


def test_expect(web):
    client = web.connect("http")
    client.ask(get("/echo", "Content-Length: 4\r\nExpect: 100-continue\r\n", "POST"), CONTINUE)
    client.ask(b"body", answer(body=b"body"))
    client.ask(get("/echo", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", "POST"), CONTINUE)
    client.ask(chunked(b"body"), answer(body=b"body"))
    client.send(get("/echo", f"Content-Length: {MIB + 1}\r\nExpect: 100-continue\r\n", "POST"))
    client.expect_end(answer("413 Content Too Large", ends=True))
    client = web.connect("http")  # nobody wants that body, and nobody knows whether it comes
    client.send(get("/none", "Content-Length: 4\r\nExpect: 100-continue\r\n", "POST"))
    client.expect_end(answer("404 Not Found", ends=True))


def post(fields, body=b""):
    return get("/echo", fields + "\r\n", "POST", body)


BAD, LARGE, LONG = "400 Bad Request", "413 Content Too Large", "431 Request Header Fields Too Large"
WRONG = {
    "no-version": (b"GET /\r\n\r\n", BAD),
    "version-2": (b"GET / HTTP/2.0\r\n\r\n", BAD),
    "no-host": (b"GET / HTTP/1.1\r\n\r\n", BAD),
    "nul": (b"G\0T / HTTP/1.1\r\n\r\n", BAD),
    "no-field": (get(fields="Nonsense\r\n"), BAD),
    "space-before-colon": (post("Content-Length : 5"), BAD),
    "negative": (post("Content-Length: -5"), BAD),
    "no-length": (post("Content-Length: "), BAD),
    "two-lengths": (post("Content-Length: 5\r\nContent-Length: 5"), BAD),
    "length-and-chunks": (post("Content-Length: 5\r\nTransfer-Encoding: chunked"), BAD),
    "chunks-and-length": (post("Transfer-Encoding: chunked\r\nContent-Length: 5"), BAD),
    "gzip": (post("Transfer-Encoding: gzip"), BAD),
    "chunk-size": (post("Transfer-Encoding: chunked", b"x\r\n"), BAD),
    "chunk-end": (post("Transfer-Encoding: chunked", b"2\r\nabcd"), BAD),
    "chunk-too-large": (post("Transfer-Encoding: chunked", b"ffffffffffffffffffff\r\n"), LARGE),
    "chunks-too-large": (post("Transfer-Encoding: chunked", chunked(b"x" * MIB, b"x")), LARGE),
    "too-large": (post("Content-Length: 99999999999999999999999"), LARGE),
    "long-field": (get(fields=f"Long: {'x' * 20000}\r\n"), LONG),
    "many-fields": (get(fields="Short: x\r\n" * 2000), LONG),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(web, name):
    request, status = WRONG[name]
    client = web.connect("http")
    client.send(get() + request)
    client.expect_end(IS_PAGE + answer(status, ends=True))


def test_who_closes(web):
    client = web.connect("http")
    client.send(get() + get(fields="Connection: close\r\n") + get())
    client.expect_end(IS_PAGE + answer(body=PAGE, fields="Content-Type: text/html\r\n", ends=True))
    client = web.connect("http")
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    client.expect_end(answer(body=PAGE, fields="Content-Type: text/html\r\n", ends=True))
    client = web.connect("http")
    client.send(get("/file") * 2)
    client.half_close()
    assert len(client.recv_to_end()) > 6 * MIB


def test_a_file_that_is_not_there(example, tmp_path):
    server = example(listen("http", "none", file=tmp_path / "none"), listen("http", "folder", file=tmp_path), workers=1)
    for name in "none", "folder":
        server.connect(name).ask(get("/file") + get(), answer("404 Not Found") + IS_PAGE)
