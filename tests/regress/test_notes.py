"""tests/services/notes.c: one SQLite database, several workers."""
import os
import pathlib
import signal
import sqlite3
import tempfile
import threading

import pytest
from harness import listen


@pytest.fixture
def folder():
    """In memory: a disk that is busy with something else holds up whoever writes, for seconds, and all who wait for it."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="ccs-notes-", dir=memory) as path:
        yield pathlib.Path(path)


def test_add_and_list(folder, example):
    client = example(listen("notes", database=folder / "db"), workers=1).connect("notes")
    client.ask(b"LIST\nADD one\r\nADD two words\nLIST\n", b".\n1\n2\n1 one\n2 two words\n.\n")
    client.ask(b"nonsense\nADD \n", b"error: ADD TEXT or LIST\n" * 2)
    client.ask(b"ADD '); DROP TABLE note; --\nLIST\n", b"3\n1 one\n2 two words\n3 '); DROP TABLE note; --\n.\n")


def test_two_workers_share_it(folder, example):
    """Nobody is told that it is busy, and nothing is lost."""
    server = example(listen("notes", database=folder / "db"), workers=2)
    answers = []

    def add(client, number):
        for i in range(50):
            client.send(b"ADD %d of %d\n" % (i, number))
            line = b""
            while not line.endswith(b"\n"):
                line += client.recv_exactly(1)
            answers.append(line)

    threads = [threading.Thread(target=add, args=[server.connect("notes"), i]) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, answers)) == list(range(1, 301))
    assert sqlite3.connect(folder / "db").execute("SELECT count(*) FROM note").fetchone() == (300,)


def test_it_outlives_a_worker_and_a_reload(folder, example):
    server = example(listen("notes", database=folder / "db"), workers=1)
    server.connect("notes").ask(b"ADD kept\n", b"1\n")
    pid = server.worker_pids()[0]
    os.kill(pid, signal.SIGKILL)
    server.wait_replaced(0, pid)
    server.connect("notes").ask(b"LIST\n", b"1 kept\n.\n")
    server.reload(log_level="debug")
    server.connect("notes").ask(b"LIST\n", b"1 kept\n.\n")


def test_old_notes_are_removed_each_second(folder, example):
    server = example(listen("notes", database=folder / "db", keep="1s"), workers=1)
    client = server.connect("notes")
    client.ask(b"ADD brief\nLIST\n", b"1\n1 brief\n.\n")
    connection = sqlite3.connect(folder / "db", timeout=10)
    server.await_stats(lambda _: connection.execute("SELECT count(*) FROM note").fetchone() == (0,))
    client.ask(b"LIST\n", b".\n")


def test_it_is_closed_at_the_end(folder, example):
    """The last one who closes a database takes its journal along."""
    server = example(listen("notes", database=folder / "db"), workers=1)
    server.connect("notes").ask(b"ADD x\n", b"1\n")
    assert (folder / "db-wal").exists()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert sorted(each.name for each in folder.iterdir()) == ["db"]


def test_a_start_that_fails_says_why(folder, example):
    server = example(listen("notes", database=folder / "none/db"), workers=1, ready=False)
    server.wait_log(rf"worker 0\[\d+\]: stays down: \[listen notes\]: database {folder}/none/db: unable to open")
    assert server.wait() != 0


def test_a_reload_that_cannot_start_is_refused(folder, example):
    server = example(listen("notes", database=folder / "db"), workers=1)
    client = server.connect("notes")
    server.configure(listen("notes", database=folder / "none/db"))
    since = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_log("reload (refused|failed)", since)
    client.ask(b"ADD still\n", b"1\n")
