"""What is built for a machine that serves: programs that are hardened, unless make was told HARDENING=."""
import os
import pathlib
import re
import subprocess

import pytest
from harness import BINARY, ROOT, SANITIZED

PROGRAMS = {name: pathlib.Path(BINARY).parent / name for name in ("ccserver", "ccserverctl", "bench/ccpp_client")}


def readelf(program, *flags):
    return subprocess.run(["readelf", "-W", *flags, program], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_hardened(name):
    """Its addresses are random (PIE), and what the linker has filled in is read-only before main() (full RELRO)."""
    assert re.search(r"Type: +DYN", readelf(PROGRAMS[name], "-h"))
    dynamic = readelf(PROGRAMS[name], "-d")
    assert re.search(r"\(FLAGS_1\).* NOW PIE", dynamic) and re.search(r"\(FLAGS\).* BIND_NOW", dynamic), dynamic
    headers = readelf(PROGRAMS[name], "-l")
    assert " GNU_RELRO " in headers and re.search(r"^ +GNU_STACK .* RW +0x", headers, re.M), headers


def test_calls_of_the_c_library_check_sizes():
    """FORTIFY; the sanitizers see more, and the coverage build does not optimise."""
    if SANITIZED or b"__gcov_" in pathlib.Path(BINARY).read_bytes():
        pytest.skip("built with a flavour: without FORTIFY")
    symbols = readelf(BINARY, "--dyn-syms")
    assert re.search(r" __v?snprintf_chk@", symbols) and " __stack_chk_fail@" in symbols


def flags(*arguments):
    """What make compiles and links with; a make around the tests hands its own choice down by the environment."""
    env = {key: value for key, value in os.environ.items() if not re.match("MAKE|MFLAGS|FLAVOUR|OPTIMISE|HARDENING", key)}
    done = subprocess.run(["make", "-n", "-B", "BUILD=build/none", *arguments, "build/none/ccserverctl"], cwd=ROOT, env=env,
                          capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if " -o build/none/" in line]


def test_a_sanitizer_comes_without_fortify():
    for line in flags():
        assert "-D_FORTIFY_SOURCE=" in line or " -pie " in line
    for line in flags("FLAVOUR=-fsanitize=address") + flags("OPTIMISE=-O0"):
        assert "FORTIFY" not in line


def test_hardening_can_be_switched_off():
    for line in flags("HARDENING="):
        assert not re.search("FORTIFY|-pie|-fPIE|relro|-fstack|-fcf", line), line


def test_the_documentation_that_is_installed_leads_somewhere(tmp_path):
    """Its links, in whatever folder it is by now."""
    rules = subprocess.run(["make", "-n", "install", f"DESTDIR={tmp_path}"], cwd=ROOT, capture_output=True, text=True,
                           check=True).stdout.replace("\\\n", " ").splitlines()
    folder = tmp_path / "usr/local/share/doc/ccserver"
    for rule in rules:
        if str(folder) in rule:
            subprocess.run(rule, shell=True, cwd=ROOT, check=True)
    pages = list(folder.rglob("*.md"))
    assert folder / "README.zh-CN.md" in pages and len(pages) >= 8
    for page in pages:
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            assert link.startswith("http") or (page.parent / link).exists(), f"{page.name}: {link}"
