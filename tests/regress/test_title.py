"""What ps shows: who is who, and which configuration it has, whatever name the server was started by."""
import pathlib
import subprocess

import harness
import pytest
from harness import listen


def all_of_it(pid):
    """What ps shows of a process, and that behind it /proc has nothing."""
    arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    shown = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True).stdout
    assert shown == arguments.rstrip(b"\0").decode() + "\n"
    return shown.rstrip("\n")


def check_titles(server):
    assert all_of_it(server.pid) == f"ccserver: master {server.config}"
    for slot, pid in server.worker_pids().items():
        assert all_of_it(pid) == f"ccserver: worker {slot} {server.config}"
        assert pathlib.Path(f"/proc/{pid}/comm").read_text() == "ccserver\n"
        assert subprocess.run(["pgrep", "-f", f"^ccserver: worker {slot} {server.config}"], capture_output=True,
                              text=True).stdout.split() == [str(pid)]
    assert pathlib.Path(f"/proc/{server.pid}/comm").read_text() == "ccserver\n"


@pytest.mark.parametrize("environment", ["", "-c "], ids=["environment", "none"])
@pytest.mark.parametrize("name", ["ccserver", "", "x y", "-ccserver", "a: %s", "n" * 3000],
                         ids=["usual", "empty", "space", "login", "format", "long"])
def test_whatever_the_name(serve, tmp_path, name, environment):
    """Also with no environment, in the place of which a title stands; and again after an upgrade."""
    if environment and harness.SANITIZED:
        pytest.skip("the sanitizers are told by the environment where to report")
    script = tmp_path / "start"
    script.write_text(f"#!/bin/bash\nexec {environment}-a '{name}' {harness.BINARY} \"$@\"\n")
    script.chmod(0o755)
    server = serve(listen("pingpong"), binary=script, workers=2)
    check_titles(server)
    server.upgrade()
    server.wait_replaced_masters()
    check_titles(server)
    client = server.connect("pingpong")
    client.ask(b"ping", b"ping")


def test_a_relative_path_is_shown_as_an_absolute_one(serve, tmp_path):
    script = tmp_path / "start"
    script.write_text(f'#!/bin/bash\nexec {harness.BINARY} -c "$(basename "$2")"\n')
    script.chmod(0o755)
    check_titles(serve(listen("pingpong"), binary=script))
