"""The status over HTTP: what it shows, what it refuses, and that it disturbs nobody."""
import json
import re
import signal
import socket
import urllib.error
import urllib.request

import prometheus_client.parser
import pytest
from harness import DEADLINE, listen, pool
from prometheus_client.openmetrics import parser as openmetrics
from test_ctl import await_equal, ctl

OPENMETRICS = {"Accept": "text/html, application/openmetrics-text;version=1.0.0;q=0.5"}
PING = b"ping", b"ping"


@pytest.fixture
def watched(serve):
    """A server that serves ping-pong in main, and its status in a pool of its own."""
    def start(*sections, **keys):
        server = serve(listen("pingpong"), listen("status", pool="admin"), pool("admin"), *sections,
                       **{"workers": 2, **keys})
        ctl(server, "wait", "--ready")
        return server
    return start


def get(server, path, headers=None, method="GET"):
    """(status, headers, text)"""
    request = urllib.request.Request(f"http://127.0.0.1:{server.port('status')}{path}", headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def document(server):
    status, _, text = get(server, "/status.json")
    assert status == 200
    return json.loads(text)


def samples(families):
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in families for sample in family.samples}


def talk(server, request):
    """All that is answered until the server closes."""
    with server.connect("status") as client:
        client.send(request)
        return client.recv_to_end().decode()


# ---- what it shows ----

def test_metrics_in_both_formats(watched):
    server = watched()
    server.connect("pingpong").ask(*PING)
    server.await_open("pingpong", 1)
    _, headers, text = get(server, "/metrics", OPENMETRICS)
    assert headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    new = samples(openmetrics.text_string_to_metric_families(text))
    _, headers, text = get(server, "/metrics")
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "EOF" not in text and "UNIT" not in text
    families = list(prometheus_client.parser.text_string_to_metric_families(text))
    old = samples(families)
    assert {family.type for family in families} == {"counter", "gauge", "histogram"}
    assert all(family.documentation for family in families)
    labels = ("listener", "pingpong"), ("pool", "main"), ("service", "pingpong")
    assert new["ccserver_messages_received_total", labels] == old["ccserver_messages_received_total", labels] == 1
    assert set(old) == set(new)
    assert new["ccserver_worker_resident_memory_bytes", (("pool", "admin"), ("worker", "0"))] > 1 << 20
    assert new["ccserver_worker_cpu_seconds_total", (("pool", "admin"), ("worker", "0"))] >= 0


def test_all_reports_are_of_one_source(watched):
    """The status, ccserverctl and the file of SIGUSR1 say the same of a listener at rest."""
    server = watched()
    with server.connect("pingpong") as client:
        client.ask(*PING)
    server.await_closed("pingpong", "peer")
    shown = document(server)
    other = json.loads(ctl(server, "--json", "status"))
    assert server.pick(shown, "pingpong") == server.pick(other, "pingpong") \
        == server.listener("pingpong")
    assert shown["pools"] == other["pools"] == [{"name": "main", "wanted": 2, "ready": 2, "cannot_run": False},
                                                {"name": "admin", "wanted": 1, "ready": 1, "cannot_run": False}]
    assert [sorted(each) for each in shown["workers"]] == [sorted(each) for each in other["workers"]]
    received = 'ccserver_received_bytes_total{listener="pingpong",service="pingpong",pool="main"} 4\n'
    assert received in get(server, "/metrics")[2] and received in ctl(server, "metrics")


def test_events_and_changes(watched):
    server = watched()
    old = server.worker_pids()[0]
    server.signal(signal.SIGKILL, old)
    server.wait_replaced(0, old)
    server.touch()
    server.config.write_text(server.config.read_text() + "nonsense = 1\n")
    assert "unknown key 'nonsense'" in ctl(server, "reload", code=1)
    shown = document(server)
    texts = [event["text"] for event in shown["events"]]
    assert any(re.fullmatch(rf"worker 0 \(pid {old}\) killed by SIGKILL after .*", text) for text in texts)
    assert [event["level"] for event in shown["events"] if "SIGKILL" in event["text"]] == ["error"]
    assert shown["last_reload"]["failed"] and "nonsense" in shown["last_reload"]["text"]
    assert shown["last_upgrade"] == {"count": 0, "failed": False, "time_ms": 0, "text": ""}
    server.stats()
    texts = [event["text"] for event in document(server)["events"]]
    assert any(text.startswith("statistics written to ") for text in texts)
    assert not any("pingpong" in text and "listening" not in text for text in texts)  # its tables are an answer, no events


def test_only_the_last_events_are_kept(watched):
    server = watched()
    for _ in range(40):
        ctl(server, "reload")
    events = document(server)["events"]
    assert len(events) == 64 and [each["time_ms"] for each in events] == sorted(each["time_ms"] for each in events)
    assert events[-1]["text"] in "".join(server.lines)


def test_readiness(watched):
    server = watched()
    assert get(server, "/livez")[::2] == (200, "ok\n") and get(server, "/readyz")[::2] == (200, "ok\n")
    assert document(server)["master"]["ready"]


def test_a_pool_without_workers_is_not_ready(watched):
    """All of its workers hang: whoever is sent here now waits."""
    server = watched(watchdog_timeout="60s")
    pids = list(server.worker_pids().values())
    for pid in pids:
        server.signal(signal.SIGSTOP, pid)
    await_equal(lambda: get(server, "/readyz")[::2], (503, "the pool main has no worker that is ready\n"))
    assert not document(server)["master"]["ready"] and "ccserver_ready 0\n" in get(server, "/metrics")[2]
    assert ctl(server, "health", code=1) == "the pool main has no worker that is ready\n"
    for pid in pids:
        server.signal(signal.SIGCONT, pid)
    await_equal(lambda: get(server, "/readyz")[0], 200)


def test_the_page(watched):
    server = watched()
    status, headers, page = get(server, "/")
    nonce = re.search(r"script-src 'nonce-([0-9a-f]{32})'", headers["Content-Security-Policy"])[1]
    assert status == 200 and headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
    assert page.count(f'nonce="{nonce}"') == 2 and "NONCE" not in page and page.endswith("</script>\n")
    assert nonce not in get(server, "/")[2]
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page)
    assert "innerHTML" not in page and "insertAdjacentHTML" not in page


# ---- what it refuses ----

HOST = "Host: localhost\r\n"
REFUSED = {
    "no method": (f" / HTTP/1.1\r\n{HOST}\r\n", 400),
    "another method": (f"DELETE / HTTP/1.1\r\n{HOST}\r\n", 405),
    "a body": (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 3\r\n\r\nabc", 405),
    "a body of GET": (f"GET / HTTP/1.1\r\n{HOST}Content-Length: 3\r\n\r\nabc", 413),
    "two lengths": (f"GET / HTTP/1.1\r\n{HOST}Content-Length: 0\r\nContent-Length: 0\r\n\r\n", 400),
    "a signed length": (f"GET / HTTP/1.1\r\n{HOST}Content-Length: +0\r\n\r\n", 400),
    "chunks": (f"GET / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a folded field": (f"GET / HTTP/1.1\r\n{HOST}X: a\r\n b\r\n\r\n", 400),
    "a blank before the colon": (f"GET / HTTP/1.1\r\n{HOST}Content-Length : 3\r\n\r\n", 400),
    "a field without a name": (f"GET / HTTP/1.1\r\n{HOST}: 3\r\n\r\n", 400),
    "a field without a colon": (f"GET / HTTP/1.1\r\n{HOST}X\r\n\r\n", 400),
    "a NUL": (f"GET / HTTP/1.1\r\n{HOST}X: a\0b\r\n\r\n", 400),
    "a CR": (f"GET / HTTP/1.1\r\n{HOST}X: a\rContent-Length: 3\r\n\r\n", 400),
    "two hosts": (f"GET / HTTP/1.1\r\n{HOST}{HOST}\r\n", 400),
    "no host": ("GET / HTTP/1.1\r\n\r\n", 400),
    "another protocol": ("GET / RTSP/1.0\r\n\r\n", 400),
    "another version": (f"GET / HTTP/2.0\r\n{HOST}\r\n", 505),
    "no version": ("GET /\r\n\r\n", 400),
    "a path without a slash": (f"GET metrics HTTP/1.1\r\n{HOST}\r\n", 400),
    "a long path": (f"GET /{'a' * 200} HTTP/1.1\r\n{HOST}\r\n", 414),
    "a long line": (f"GET / HTTP/1.1\r\n{HOST}X: {'a' * 5000}\r\n\r\n", 431),
    "a long head": (f"GET / HTTP/1.1\r\n{HOST}" + f"X: {'a' * 1000}\r\n" * 10 + "\r\n", 431),
    "many fields": (f"GET / HTTP/1.1\r\n{HOST}" + "X: a\r\n" * 100 + "\r\n", 431),
    "an expectation": (f"GET / HTTP/1.1\r\n{HOST}Expect: 100-continue\r\n\r\n", 417),
    "HEAD of another version": (f"HEAD / HTTP/2.0\r\n{HOST}\r\n", 505),
    "TLS": ("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\n", 400),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_and_closed(watched, name):
    """What comes behind it is no second request, whoever has sent it."""
    server = watched()
    request, status = REFUSED[name]
    smuggled = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = talk(server, (request + smuggled).encode("latin-1"))
    assert answer.startswith(f"HTTP/1.1 {status} ") and answer.count("HTTP/1.1 ") == 1
    assert "\r\nConnection: close\r\n" in answer
    assert get(server, "/livez")[0] == 200


def test_close_is_not_taken_back(watched):
    server = watched()
    for fields in "Connection: close\r\nConnection: keep-alive", "Connection: keep-alive, close", "Connection: CLOSE":
        answer = talk(server, f"GET /livez HTTP/1.1\r\n{HOST}{fields}\r\n\r\n".encode())
        assert answer.startswith("HTTP/1.1 200 ") and "\r\nConnection: close\r\n" in answer


def test_requests_of_one_connection(watched):
    """Pipelined, HEAD among them; HTTP/1.0 and Connection: close end it."""
    server = watched()
    answer = talk(server, b"GET /livez HTTP/1.1\r\nHost: a.localhost:1\r\n\r\n\r\nHEAD /livez HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"
                          b"GET /livez?x HTTP/1.1\r\nhost: 10.0.0.1\r\nConnection: x, Close\r\n\r\nGET /livez HTTP/1.1\r\n\r\n")
    first, second, third = answer.split("HTTP/1.1 ")[1:]
    assert first.startswith("421 ")
    assert second.startswith("200 ") and second.endswith("\r\n\r\n") and "Content-Length: 3\r\n" in second
    assert third.startswith("200 ") and third.endswith("\r\n\r\nok\n")
    assert talk(server, b"GET /livez HTTP/1.0\r\n\r\n").endswith("\r\n\r\nok\n")
    assert get(server, "/nothing")[0] == 404 and get(server, "/metrics/")[0] == 404


def test_names_that_browsers_may_use(serve):
    server = serve(listen("status", status_hosts="status.example, b"), workers=1)
    for host, status in [("status.example:80", 200), ("STATUS.example", 200), ("b", 200), ("example", 421), ("b.evil", 421),
                         ("127.0.0.1", 200), ("127.0.0.1.evil", 421), ("127.0.0.1:evil", 421), ("[::1]evil", 421), ("[::1", 200), ("localhost:1", 200), ("", 421), (":80", 421)]:
        assert get(server, "/livez", {"Host": host})[0] == status, host


# ---- whom it disturbs ----

def test_clients_that_never_come_to_an_end_keep_nobody_waiting(watched):
    server = watched()
    crowd = [socket.create_connection(("127.0.0.1", server.port("status"))) for _ in range(100)]
    for number, each in enumerate(crowd):
        each.sendall(b"GET /status.json HTTP/1.1\r\nHost: localhost\r\n" + b"\r\n" * (number % 2))
    assert document(server)["master"]["ready"]
    server.connect("pingpong").ask(*PING)
    for each in crowd:
        each.close()


def test_who_asks_a_thousand_times_at_once_waits_for_the_others(watched):
    """And reads nothing: the worker goes on serving, and beats."""
    server = watched(watchdog_timeout="1s", adopt_after="500ms")
    crowd = [server.connect("status") for _ in range(50)]
    for each in crowd:
        each.socket.setblocking(False)
        try:
            each.socket.send(b"GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
        except BlockingIOError:
            pass
    for _ in range(20):
        assert get(server, "/livez")[0] == 200
    assert all(each["longest_turn_us"] < 500_000 for each in document(server)["workers"])
    assert document(server)["master"]["respawns"]["hang"] == 0


def test_pipelined_documents_all_come(watched):
    server = watched()
    answers = talk(server, b"GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50 +
                   b"GET /metrics HTTP/1.0\r\n\r\n").split("HTTP/1.1 200 OK\r\n")[1:]
    assert len(answers) == 51
    assert all(json.loads(each.split("\r\n\r\n", 1)[1])["layout"] == 1 for each in answers[:50])


def test_a_dead_or_stopped_admin_process(watched):
    """Nobody else notices, and ccserverctl answers all the same."""
    server = watched(watchdog_timeout="60s", adopt_after="30s")
    old = server.worker_pids("admin")[0]
    client = server.connect("pingpong")
    server.signal(signal.SIGSTOP, old)
    client.ask(*PING)
    assert "serving" in ctl(server, "status")
    server.signal(signal.SIGKILL, old)
    server.wait_log(rf"admin worker 0 \(pid (?!{old}\b)\d+\) ready")
    assert get(server, "/livez")[0] == 200
    assert document(server)["master"]["respawns"]["signal"] == 1
    client.ask(*PING)


def test_an_upgrade(watched):
    server = watched()
    server.connect("pingpong").ask(*PING)
    server.await_open("pingpong", 1)
    old = server.pid
    server.upgrade()
    await_equal(lambda: document(server)["master"]["pid"], server.pid)
    shown = document(server)
    assert server.pid != old and shown["master"]["upgrades"] == 1 and shown["last_upgrade"]["count"] == 1
    assert server.pick(shown, "pingpong")["messages_in"] == 1
