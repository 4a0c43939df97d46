"""Man pages and completion: nothing that the programs know is missing in them, and they are free of mistakes."""
import os
import re
import subprocess

import pytest
from harness import BINARY, ROOT

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
    words = ["ccserverctl", *words.split(" ")]
    script = f"source {ROOT}/etc/completion/ccserverctl.bash; COMP_WORDS=({' '.join(word or chr(34) * 2 for word in words)}); " \
             f"COMP_CWORD={len(words) - 1}; _ccserverctl; echo ${{COMPREPLY[@]}}"
    assert run("bash", "-c", script).split() == wanted
