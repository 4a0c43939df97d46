"""tests/services/delay.c: answers that come later, in the order of the questions."""
import signal
import subprocess
import time

from harness import TICK, listen


def test_each_answer_has_its_time(example):
    client = example(listen("delay"), workers=1).connect("delay")
    for ms in 0, 1, 50, 200:
        begun = time.monotonic()
        client.ask(f"delay {ms} after {ms}\n".encode(), f"after {ms}\n".encode())
        assert time.monotonic() - begun >= ms / 1000 - TICK


def test_a_hundred_outstanding_come_in_the_order_of_the_questions(example):
    """Whichever is due first."""
    client = example(listen("delay"), workers=1).connect("delay")
    delays = [(i * 37) % 200 for i in range(100)]
    begun = time.monotonic()
    client.send(b"".join(b"delay %d answer %d\n" % (ms, i) for i, ms in enumerate(delays)))
    client.expect(b"".join(b"answer %d\n" % i for i in range(100)))
    assert time.monotonic() - begun < 2


def test_what_is_said_at_once_waits_for_its_turn(example):
    client = example(listen("delay", max_delay="1s"), workers=1).connect("delay")
    client.ask(b"delay 100 one\nnonsense\ndelay 0 two\ndelay 1001 x\ndelay\ndelay 5\n",
               b"one\nerror: delay MS TEXT\ntwo\n" + 2 * b"error: delay MS TEXT\n" + b"\n")


def test_a_half_close_gets_its_answer(example):
    server = example(listen("delay"), workers=1)
    command = f"printf 'delay 300 x\\n' | nc -N 127.0.0.1 {server.port('delay')}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=10)
    assert done.stdout == b"x\n"


def test_quit_waits_for_what_is_owed(example):
    client = example(listen("delay"), workers=1).connect("delay")
    client.send(b"delay 100 one\ndelay 50 two\nquit\ndelay 10 never\n")
    client.expect_end(b"one\ntwo\n")


def test_more_questions_than_places(example):
    """They wait in the kernel, and all are answered."""
    client = example(listen("delay"), workers=1).connect("delay")
    questions = b"".join(b"delay 20 %d\n" % i for i in range(5000))
    answers = b"".join(b"%d\n" % i for i in range(5000))
    assert client.exchange(questions, len(answers)) == answers


def test_who_leaves_with_open_places(example):
    server = example(listen("delay"), workers=1)
    for _ in range(3):
        client = server.connect("delay")
        client.send(b"delay 60000 x\n" * 50)
        server.await_open("delay", 1)
        client.abort()
        server.await_open("delay", 0)


def test_a_drain_waits_for_the_answers(example):
    server = example(listen("delay"), workers=1)
    client = server.connect("delay")
    client.ask(b"delay 0 here\n", b"here\n")
    client.send(b"delay 200 one\ndelay 100 two\n" * 50)
    server.await_stats(lambda stats: server.pick(stats, "delay")["messages_in"] == 101)
    server.signal(signal.SIGTERM)
    client.expect_end(b"one\ntwo\n" * 50)
    client.close()
    assert server.wait() == 0
