"""A client that sends and does not read: it is left waiting, at no cost to the others."""
import pytest
from bank import WITHDRAW
from harness import MIB, SANITIZED, first_difference, listen, random_bytes, resident_peak

LINE = random_bytes(997).hex().encode()[:997]
SERVICES = {  # a request, and its reply
    "pingpong": (random_bytes(4093), random_bytes(4093)),
    "echo": (LINE + b"\n", b"ccserver echo:" + LINE + b"\r\n"),
    "bank": (WITHDRAW, WITHDRAW),
}
SIZE = 48 * MIB  # the kernel may take 32 of them


@pytest.fixture(params=SERVICES)
def case(request, serve):
    """(server, request * n, reply * n, n); n is more than all the buffers on the way can hold."""
    question, answer = SERVICES[request.param]
    times = SIZE // len(question)
    server = serve(listen(request.param, "it", high_water="64k", low_water="16k"), workers=1)
    return server, question * times, answer * times, times


def test_memory_stays_bounded_and_the_others_are_served(case):
    server, questions, answers, times = case
    (worker,) = server.worker_pids().values()
    other = server.connect("it")
    memory = resident_peak(worker)
    clients = [server.connect("it", small_buffers=True) for _ in range(3)]
    for client in clients:
        assert client.send_until_stuck(questions) < len(questions), "it takes whatever is sent"
    assert resident_peak(worker) - memory < (24 if SANITIZED else 4) * MIB
    for _ in range(20):
        other.ask(questions[:len(questions) // times], answers[:len(answers) // times])


def test_a_stuck_client_costs_no_cpu(case):
    server, questions, *_ = case
    bystander, client = server.connect("it"), server.connect("it", small_buffers=True)
    client.send_until_stuck(questions)
    turns = server.turns()
    bystander.expect_silence(0.4)
    assert server.turns() - turns < 30, "it spins"


def test_every_byte_comes_when_it_reads_again(case):
    server, questions, answers, _ = case
    client = server.connect("it", small_buffers=True)
    sent = client.send_until_stuck(questions)
    got = client.exchange(questions[sent:], len(answers))
    assert got == answers, first_difference(got, answers)
    client.half_close()
    client.expect_end()


@pytest.mark.parametrize("name", SERVICES)
def test_a_stuck_client_is_closed_at_idle_timeout(serve, name):
    server = serve(listen(name, idle_timeout="500ms", high_water="64k", low_water="16k"))
    client = server.connect(name, small_buffers=True)
    question, _ = SERVICES[name]
    try:
        client.send_until_stuck(question * (SIZE // len(question)))
    except ConnectionError:
        pass
    client.expect_gone()
    server.await_closed(name, "idle")


def test_a_slow_but_steady_reader_is_not_idle(serve, tmp_path):
    """Bytes moved either way renew the timeout. A unix socket, for there the kernel buffers little."""
    marks = {"high_water": "64k", "low_water": "16k"}
    server = serve(listen("pingpong", bind=f"unix:{tmp_path}/s", idle_timeout="1500ms", **marks))
    data = random_bytes(8 * MIB)  # before the client is there, whose time is short
    client = server.connect("pingpong", small_buffers=True)
    sent = client.send_until_stuck(data, 0.1)
    for at in range(0, 20 * 250_000, 250_000):
        client.expect(data[at:at + 250_000])
        sent += client.send_until_stuck(data[sent:], 0.1)
    client.abort()


def test_more_output_than_max_output(serve):
    """Only a reply larger than what is left above high_water can come to this."""
    server = serve(listen("echo", high_water="4k", low_water="4k", max_output="4k"))
    client = server.connect("echo", small_buffers=True)
    try:
        client.send_until_stuck((b"x" * 60_000 + b"\n") * 400)
    except ConnectionError:
        pass
    client.expect_gone()
    server.await_closed("echo", "overflow")


def test_half_closed_and_never_read(serve):
    """Whatever it sent is answered, also when it reads long after its own end."""
    server = serve(listen("pingpong", high_water="64k", low_water="16k"))
    client, data = server.connect("pingpong", small_buffers=True), random_bytes(2 * MIB)
    sent = client.send_until_stuck(data)
    client.half_close()
    client.expect_end(data[:sent])
