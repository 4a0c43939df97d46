"""tests/services/fanout.c: the first of two answers; nobody who is slow, silent or gone holds up the other."""
import time

import pytest
from harness import listen, own_address

MIB = 1 << 20


@pytest.fixture
def fanned(example, upstream):
    """(server, client, the two sides)"""
    def start(**keys):
        sides = [upstream(small_buffers=True) for _ in range(2)]
        server = example(listen("fanout", first=sides[0].address, second=sides[1].address, **keys), workers=1)
        return server, server.connect("fanout"), sides
    return start


def test_the_first_answer_counts(fanned):
    _, client, sides = fanned()
    client.send(b"a\n")
    far = [side.accept() for side in sides]
    for each in far:
        each.expect(b"a\n")
    far[1].send(b"A from 1\n")
    client.expect(b"A from 1\n")
    far[0].send(b"A from 0\n")  # too late, and not taken for the answer to b
    client.send(b"b\n")
    for each in far:
        each.expect(b"b\n")
    far[0].send(b"B from 0\n")
    client.expect(b"B from 0\n")
    far[1].send(b"B from 1\n")
    client.expect_silence()


def test_answers_cross_and_come_in_order(fanned):
    """One side knows the second question first: its answer to the first is not there yet."""
    _, client, sides = fanned()
    client.send(b"a\nb\nc\n")
    far = [side.accept() for side in sides]
    for each in far:
        each.expect(b"a\nb\nc\n")
    far[0].send(b"a0\nb0\n")
    client.expect(b"a0\nb0\n")
    far[1].send(b"a1\nb1\nc1\n")
    client.expect(b"c1\n")


def test_a_question_times_out(fanned):
    _, client, sides = fanned()
    begun = time.monotonic()
    client.send(b"a\n")
    far = [side.accept() for side in sides]
    client.expect(b"error: timeout\n")
    assert 0.49 < time.monotonic() - begun < 1.5
    far[0].send(b"late\n")
    client.ask(b"b\n", b"")
    far[0].expect(b"a\nb\n")
    far[0].send(b"B\n")
    client.expect(b"B\n")


def test_a_half_close_gets_its_answer_and_its_end(fanned):
    """Also when one side never answers: what is owed is the answer."""
    _, client, sides = fanned(timeout="100ms")
    client.send(b"a\nb\n")
    client.half_close()
    far = [side.accept() for side in sides]
    far[0].expect(b"a\nb\n")
    far[0].send(b"A\n")
    client.expect_end(b"A\nerror: timeout\n")


def test_one_side_never_reads(fanned):
    """The other one serves on."""
    _, client, sides = fanned()
    client.send(b"x\n")
    far = [side.accept() for side in sides]
    far[1].expect(b"x\n")
    far[1].send(b"X\n")
    client.expect(b"X\n")
    line, total = b"q" * 4000 + b"\n", 0
    while total < 8 * MIB:
        client.send(line)
        far[1].expect(line)
        far[1].send(b"A\n")
        client.expect(b"A\n")
        total += len(line)


def test_a_side_that_is_gone_is_tried_again(fanned):
    _, client, sides = fanned()
    client.send(b"x\n")
    far = [side.accept() for side in sides]
    far[0].close()
    far[1].expect(b"x\n")
    far[1].send(b"X\n")
    client.expect(b"X\n")
    time.sleep(1.1)
    client.send(b"y\n")
    again = sides[0].accept()
    again.expect(b"y\n")
    again.send(b"Y\n")
    client.expect(b"Y\n")


def test_both_are_gone(example):
    server = example(listen("fanout", first=own_address(), second=own_address()), workers=1)
    client = server.connect("fanout")
    begun = time.monotonic()
    client.ask(b"a\n", b"error: no upstream\n")
    client.ask(b"b\nc\n", b"error: no upstream\n" * 2)
    assert time.monotonic() - begun < 0.4
