import os
import sys

import pytest

sys.dont_write_bytecode = True
pytest.register_assert_rewrite("harness")

import harness  # noqa: E402


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
