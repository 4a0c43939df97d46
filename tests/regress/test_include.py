"""include = PATTERN and ${NAME} in a configuration: what they mean, and where a mistake is said to be."""
import os
import re
import signal
import subprocess

import pytest
from harness import BINARY, listen

PING = b"ping", b"ping"


def check(path, env=None, code=1):
    """What -t says, or -T where it is right."""
    done = subprocess.run([BINARY, "-c", path, "-t" if code else "-T"], capture_output=True, text=True,
                          env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def sections(shown):
    return re.findall(r"^\[(.*)\]$", shown, re.M)


@pytest.fixture
def tree(tmp_path):
    """tree("[server]\\n...", **{"conf.d/a.conf": "..."}): the path of the first."""
    def write(main, **others):
        (tmp_path / "conf.d").mkdir(exist_ok=True)
        for name, text in others.items():
            (tmp_path / name).write_text(text)
        (tmp_path / "main.conf").write_text(main)
        return tmp_path / "main.conf"

    return write


# ---- include ----

def test_files_come_in_the_order_of_their_names(tree):
    """Relative to the file that includes them, wherever the server was started."""
    shown = check(tree("[server]\nworkers = 1\ninclude = conf.d/*.conf\n[listen last]\nbind = 127.0.0.1:0\nservice = echo\n", **{
        "conf.d/b.conf": listen("echo", "b"), "conf.d/a.conf": "# nothing first\n\n" + listen("echo", "a"),
        "conf.d/c.txt": "not one of them"}), code=0)
    assert sections(shown) == ["server", "listen a", "listen b", "listen last"]


def test_included_files_include(tree):
    shown = check(tree("include = conf.d/one.conf\n", **{
        "conf.d/one.conf": listen("echo", "one") + "\ninclude=two.conf\n\n\n" + listen("echo", "three"),
        "conf.d/two.conf": "\ufeff" + listen("echo", "two").replace("\n", "\r\n")}), code=0)
    assert sections(shown) == ["server", "listen one", "listen two", "listen three"]


def test_a_pattern_may_match_nothing(tree):
    assert sections(check(tree("include = conf.d/*.conf\n" + listen("echo")), code=0)) == ["server", "listen echo"]


@pytest.mark.parametrize("main, others, complaint", [
    ("[server]\n\ninclude = conf.d/none.conf\n", {}, r"main\.conf:3: include: there is no file .*/conf\.d/none\.conf"),
    ("include =\n", {}, r"main\.conf:1: include: there is no file"),
    ("include = conf.d\n", {}, r"main\.conf:1: include = .*/conf\.d: is not a regular file"),
    ("[server]\ninclude = conf.d/a.conf\nworkers = 1\n", {"conf.d/a.conf": ""}, r"main\.conf:3: a section must begin here"),
    ("[server]\ninclude = conf.d/a.conf\n", {"conf.d/a.conf": "\n# x\nworkers = 1\n"}, r"conf\.d/a\.conf:3: a section must begin here"),
    ("include = conf.d/a.conf\n", {"conf.d/a.conf": "include = a.conf\n"}, r"conf\.d/a\.conf:1: .*files include each other without end"),
    ("include = conf.d/*.conf\n\n\n[listen x]\nbad = 1\n", {"conf.d/a.conf": listen("echo", bind="127.0.0.1:0")},
     r"main\.conf:5: unknown key 'bad'|main\.conf:4: "),
    ("include = conf.d/*.conf\n", {"conf.d/a.conf": listen("echo"), "conf.d/b.conf": "\n\n[listen b]\nbind = here:\n"},
     r"conf\.d/b\.conf:[34]: "),
    ("include = conf.d/*.conf\n", {"conf.d/a.conf": "[listen a]\nbind = 127.0.0.1:0\nservice = echo\nnonsense = 1\n"},
     r"conf\.d/a\.conf:4: unknown key 'nonsense'"),
])
def test_a_mistake_is_said_where_it_is(tree, main, others, complaint):
    assert re.search(complaint, check(tree(main, **others)))


def test_a_changed_included_file_is_a_change(serve):
    server = serve(listen("pingpong"))
    extra = server.dir / "extra.conf"
    extra.write_text(listen("pingpong", "extra"))
    server.sections = ["include = extra.conf", *server.sections]
    assert server.reload(*server.sections) == 2
    extra.write_text(listen("pingpong", "other"))
    since = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_log("reload: generation 3 serves", since=since)
    assert [each["name"] for each in server.stats()["listeners"]] == ["other", "pingpong"]
    since = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_log("reload: nothing has changed", since=since)
    extra.write_text("[listen other]\n")
    since = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_log(rf"reload refused: {re.escape(str(extra))}:1: ", since=since)


# ---- the environment ----

def test_the_environment(tree):
    shown = check(tree("[server]\nworkers = ${N}\nlog = ${DIR}/log-${N}\n" + listen("echo", bind="${HOST}:0")),
                  env={"N": "3", "DIR": "/tmp", "HOST": "127.0.0.1"}, code=0)
    assert "workers = 3\n" in shown and "log = /tmp/log-3\n" in shown and "bind = 127.0.0.1:0\n" in shown


def test_what_is_not_meant(tree):
    shown = check(tree("[server]\nlog = /tmp/$${HOME}-$HOME-$\n" + listen("echo")), code=0)
    assert "log = /tmp/${HOME}-$HOME-$\n" in shown


@pytest.mark.parametrize("value, complaint", [
    ("${NOT_SET_AT_ALL}", r"main\.conf:2: \$\{NOT_SET_AT_ALL\} is not set in the environment"),
    ("x${HOME", r"main\.conf:2: '\$\{' without '\}'"),
    ("${LONG}", r"main\.conf:2: value longer than \d+ characters"),
    ("${LINES2}", r"main\.conf:2: \$\{LINES2\} has more than one line"),
])
def test_what_is_wrong_with_it(tree, value, complaint):
    said = check(tree(f"[server]\nlog = {value}\n" + listen("echo")), env={"LONG": "x" * 300, "LINES2": "a\nb"})
    assert re.search(complaint, said)
