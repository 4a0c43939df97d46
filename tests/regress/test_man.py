"""Man pages and completion: nothing that the programs know is missing in them, and they are free of mistakes."""
import json
import os
import re
import subprocess

import pytest
from harness import BINARY, ROOT, listen, pool

MAN = ROOT / "etc/man"
CTL = os.path.join(os.path.dirname(BINARY), "ccserverctl")
CLIENT = os.path.join(os.path.dirname(BINARY), "bench/ccpp_client")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout


@pytest.fixture(scope="module")
def conf_page():
    keys = subprocess.run(["awk", "-f", MAN / "keys.awk"], input=run(BINARY, "--keys"), capture_output=True, text=True,
                          check=True).stdout
    return (MAN / "ccserver.conf.5.in").read_text() + keys


def test_every_key_is_in_the_page(conf_page):
    """With its range and default, under the section that it belongs to."""
    section, found = None, 0
    for line in run(BINARY, "--keys").splitlines():
        if match := re.match(r"# (\[.*?\])", line):
            section = match[1]
        elif match := re.match(r"# ([a-z_]+) (\(.*\))$", line):
            found += 1
            assert re.search(rf"^\.Sh {re.escape(section)}$(.|\n)*?^\.It Cm {match[1]}$\n{re.escape(match[2])}\.$", conf_page, re.M)
    assert found > 40


@pytest.mark.parametrize("page", ["ccserver.8", "ccserverctl.1", "ccpp_client.1", "ccserver.conf.5"])
def test_a_page_is_free_of_mistakes(page, conf_page):
    text = conf_page if page == "ccserver.conf.5" else (MAN / page).read_text()
    done = subprocess.run(["groff", "-mandoc", "-ww", "-Tutf8"], input=text, capture_output=True, text=True, check=True)
    assert done.stderr == "" and len(done.stdout) > 1000


@pytest.mark.parametrize("page, command", [("ccserver.8", BINARY), ("ccserverctl.1", CTL), ("ccpp_client.1", CLIENT)])
def test_every_option_is_in_the_page(page, command):
    text = (MAN / page).read_text()
    options = set(re.findall(r"--([a-z-]+)", subprocess.run([command, "--help"], capture_output=True, text=True).stdout))
    assert options and not [option for option in options if f"Fl Fl {option}" not in text]


def test_every_command_of_ccserverctl():
    commands = re.findall(r"^  ([a-z]+) ", run(CTL, "-h").split("options:")[0], re.M)
    page = (MAN / "ccserverctl.1").read_text()
    for name in "etc/completion/ccserverctl.bash", "etc/completion/_ccserverctl":
        text = (ROOT / name).read_text()
        assert not [command for command in commands if not re.search(rf"\b{command}\b", text)]
    assert len(commands) >= 14
    for command in commands:
        assert re.search(rf"^\.It Cm (.* , )*{command}\b", page, re.M), command


@pytest.mark.parametrize("words, wanted", [
    ("re", ["reload", "reopen", "resize", "restart"]), ("-c log.conf top --i", ["--iterations"]), ("top -d ", []), ("log --f", ["--follow"]),
    ("status --j", ["--json"]), ("workers --j", ["--json"]), ("queues --j", ["--json"]), ("metrics --j", [])])
def test_completion_in_bash(words, wanted):
    assert complete("ccserverctl", *words.split(" ")) == wanted


def complete(*words):
    script = f"source {ROOT}/etc/completion/ccserverctl.bash; COMP_WORDS=({' '.join(str(word) or chr(34) * 2 for word in words)}); " \
             f"COMP_CWORD={len(words) - 1}; _ccserverctl; echo ${{COMPREPLY[@]}}"
    return run("bash", "-c", script).split()


def test_completion_of_names(serve):
    """Of the server that the line is about; quietly where there is none."""
    server = serve(listen("pingpong"), listen("echo"), pool("admin"), listen("control", bind=None, pool="admin"), workers=2)
    about = CTL, "-c", server.config
    run(*about, "wait", "--ready")
    assert complete(*about, "restart", "") == complete(*about, "sessions", "--pool", "") == ["main", "admin"]
    for command in ["disable"], ["enable"], ["sessions", "--listener"]:
        assert complete(*about, *command, "") == ["pingpong", "echo", "control"]
    assert complete(*about, "disable", "pi") == ["pingpong"]
    assert complete(*about, "drain", "") == ["0", "1", "admin/0"]
    server.connect("pingpong").ask(b"ping", b"ping")
    (session,) = [each["id"] for each in json.loads(run(*about, "sessions", "-j")) if each["listener"] == "pingpong"]
    assert session in complete(*about, "kill", "")
    assert complete(CTL, "-c", "/no/such/file", "disable", "") == []
