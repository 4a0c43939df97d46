import os
import sys

import pytest

sys.dont_write_bytecode = True
pytest.register_assert_rewrite("harness", "shortage", "tree")

import harness  # noqa: E402
import trap  # noqa: E402
import tree  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than ten seconds")


def pytest_sessionstart(session):
    if not os.access(harness.BINARY, os.X_OK):
        pytest.exit(f"{harness.BINARY}: not there; run make, or set CCSERVER", 2)


@pytest.fixture
def serve():
    """serve(listen("echo"), workers=1): a running server; the footer is checked for each after the test."""
    servers = []

    def start(*sections, **options):
        servers.append(harness.Server(*sections, **options))
        return servers[-1]

    yield start
    errors = []
    for server in reversed(servers):
        try:
            server.finish()
        except AssertionError as error:
            errors.append(error)
    if errors:
        raise errors[0]


@pytest.fixture
def upstream():
    """upstream(): a listening socket for the proxy to connect to."""
    opened = []

    def start(**options):
        opened.append(harness.Upstream(**options))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.fixture(scope="session")
def trap_binary(tmp_path_factory):
    """A ccserver with the service of trap.py."""
    return trap.build(tmp_path_factory)


@pytest.fixture
def trapped(serve, trap_binary, tmp_path):
    """
    trapped(workers=2): a running server with that service, and `server.trap`, a file that does not exist yet: what is
    written to it happens to every new worker, "exit 1" for example.
    """
    def start(*sections, **options):
        file = tmp_path / "trap"
        server = serve(harness.listen("trap"), *sections, binary=trap_binary, env={"CCSERVER_TRAP": str(file)},
                       **options)
        server.trap = file
        return server

    return start


@pytest.fixture(scope="session")
def examples_binary(tmp_path_factory):
    """A ccserver with all services of tests/services."""
    files = {path.name: path.read_text() for path in sorted((harness.ROOT / "tests/services").glob("*.c"))}
    return tree.build_once(tmp_path_factory, "examples", files, sanitized=True)


@pytest.fixture
def example(serve, examples_binary):
    """example(listen("chat"), workers=1): the same as `serve`, with those services."""
    return lambda *sections, **options: serve(*sections, binary=examples_binary, **options)
