"""The status page in a real browser: its figures move, deaths show, an upgrade and a silent server do not end it."""
import os
import signal

import pytest
from browser import CHROMIUM, Browser
from harness import listen, pool
from test_ctl import ctl

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: make setup-heavy")
PING = b"ping", b"ping"
CELLS = "[...document.querySelectorAll('#{} tbody tr')].map(row => [...row.cells].map(cell => cell.textContent.trim()))"


@pytest.fixture
def browser(tmp_path):
    browser = Browser(tmp_path / "profile")
    yield browser
    browser.close()


def rows(page, table):
    return {cells[0]: cells for cells in page.get(CELLS.format(table))}


def tile(name):
    return f"document.getElementById('tile-{name}')?.querySelector('dd').textContent"


def test_the_page_lives(serve, browser, upstream, tmp_path):
    target = upstream()
    server = serve(listen("pingpong"), listen("status", pool="admin"), listen("echo", name="echo-b"),
                   listen("proxy", upstream=target.address), pool("admin"), listen("pingpong", name="late", pool="late"),
                   pool("late", adopt_after="40s", watchdog_timeout="60s"),
                   listen("control", bind=None, pool="admin"), workers=2)
    ctl(server, "wait", "--ready")
    page = browser.open(f"http://127.0.0.1:{server.port('status')}/")
    page.wait("document.getElementById('word').textContent === 'serving'")
    assert page.get("getComputedStyle(document.querySelector('#tiles')).display") == "grid"  # its styles are let in
    assert set(rows(page, "workers")) == {"0", "1", "admin/0", "late/0"}
    assert "echo-b" in rows(page, "listeners")

    # Figures move under load.
    client = server.connect("pingpong")
    while page.get(tile("messages/s")) in (None, "0"):
        for _ in range(50):
            client.ask(*PING)
    assert int(page.get(tile("sessions"))) >= 2  # and the browser's own
    assert int(rows(page, "listeners")["pingpong"][4]) == 1
    page.wait(f"{tile('answered within, p99')} !== '–'")
    page.wait("document.querySelector('#tiles polyline').points.length > 1")

    # How slow upstreams are, as soon as there is one.
    has_upstreams = "document.getElementById('listeners').textContent.includes('upstream p99')"
    assert not page.get(has_upstreams)
    question = server.connect("proxy")
    question.send(b"question")
    with target.accept() as far:
        far.expect(b"question")
        far.send(b"answer")
        question.expect(b"answer")
    page.wait(has_upstreams)

    # So does what an operator does to a listener.
    ctl(server, "disable", "echo-b")
    page.wait(f"{CELLS.format('listeners')}.some(cells => cells[0] === 'echo-b (disabled)')")
    ctl(server, "enable", "echo-b")
    page.wait(f"{CELLS.format('listeners')}.some(cells => cells[0] === 'echo-b')")

    # A killed worker shows.
    old = server.worker_pids()[0]
    server.signal(signal.SIGKILL, old)
    page.wait(f"{CELLS.format('workers')}.some(cells => cells[0] === '0' && cells[1] !== '{old}' && cells[12] === 'signal 1')")
    page.wait("document.getElementById('events').innerText.includes('killed by SIGKILL')")

    # Who waits to be accepted shows, for the listener and for the worker that does not.
    assert rows(page, "listeners")["pingpong"][13:15] == ["0", "0"]
    slow = server.worker_pids("late")[0]
    server.signal(signal.SIGSTOP, slow)
    waiters = [server.connect("late") for _ in range(3)]
    page.wait(f"{CELLS.format('listeners')}.some(cells => cells[0] === 'late' && cells[13] === '3' && cells[14] === '0')")
    page.wait(f"{CELLS.format('workers')}.some(cells => cells[0] === 'late/0' && cells[10] === '3')")
    server.signal(signal.SIGCONT, slow)
    for waiter in waiters:
        waiter.ask(*PING)
    page.wait(f"{CELLS.format('listeners')}.some(cells => cells[0] === 'late' && cells[13] === '0')")

    # An upgrade is survived, and told.
    before = page.get("answered")
    server.upgrade()
    page.wait(f"document.getElementById('since').textContent.includes('master {server.pid},')")
    page.wait(f"{CELLS.format('changes')}[1][1] === 'done'")
    assert page.get("answered") > before

    # So is a reload that is refused.
    server.config.write_text(server.config.read_text() + "nonsense = 1\n")
    ctl(server, "reload", code=1)
    page.wait(f"{CELLS.format('changes')}[0][1] === 'refused' && {CELLS.format('changes')}[0][3].includes('nonsense')")
    assert page.get("document.getElementById('silence').hidden")
    assert page.errors == []

    # Nothing is asked of anybody else, and what it asks is always the same.
    assert all(address.startswith((f"http://127.0.0.1:{server.port('status')}/", "data:image")) for address in page.requested)

    # When nobody answers it says so, and goes on asking.
    admin = server.worker_pids("admin")[0]
    server.signal(signal.SIGSTOP, admin)
    page.wait("!document.getElementById('silence').hidden")
    assert page.get("document.getElementById('silence').textContent").startswith("No answer since ")
    server.signal(signal.SIGCONT, admin)
    page.wait("document.getElementById('silence').hidden")

    # A phone is wide enough: only the tables scroll sideways.
    page.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    page.wait("document.documentElement.scrollWidth <= 360")
    if folder := os.environ.get("CCSERVER_SCREENSHOTS"):
        save_pictures(page, folder)


def save_pictures(page, folder):
    import pathlib
    page.screenshot(pathlib.Path(folder) / "status-phone.png", prefers_color_scheme="light")
    page.call("Emulation.setDeviceMetricsOverride", width=1280, height=1000, deviceScaleFactor=1, mobile=False)
    page.screenshot(pathlib.Path(folder) / "status-light.png", prefers_color_scheme="light")
    page.screenshot(pathlib.Path(folder) / "status-dark.png", prefers_color_scheme="dark")
