"""The documentation: links lead somewhere, two languages say the same, and what it shows is what happens."""
import os
import re

import pytest
from harness import ROOT, await_file
from test_cli import bare  # noqa: F401: a fixture

ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
PAGES = [ENGLISH, CHINESE, *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text(), re.M | re.S)


def anchors(page):
    """As GitHub makes them from headings."""
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", page.read_text(), re.M)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text())
    for path, anchor in links:
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), anchor


@pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=lambda page: page.name)
def test_the_readme_is_short_and_begins_with_operation(page):
    text = page.read_text()
    assert len(text.splitlines()) < 250
    assert text.index("systemctl enable") < text.index("nc -N") < text.index("ccserver 4") < text.index("worker/session.h")


def test_both_languages_have_the_same_sections_and_commands():
    for kind in "sh", "console":
        assert blocks(ENGLISH, kind) == blocks(CHINESE, kind)
    counts = [[len(re.findall(pattern, page.read_text(), re.M)) for pattern in (r"^## ", r"^\|", r"^- ")]
              for page in (ENGLISH, CHINESE)]
    assert counts[0] == counts[1]


def test_the_tour_is_true(bare, tmp_path):  # noqa: F811
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    server = bare("1")
    await_file(server.log, "ready: ")
    tried = 0
    for block in sorted(blocks(ENGLISH, "console"), key=lambda block: "SHUTDOWN" in block):  # that one ends it
        if "redis-cli" in block or "kill" in block:
            continue
        script = "\n".join(line[2:] for line in block.splitlines() if line.startswith("$ "))
        shown = "".join(line + "\n" for line in block.splitlines() if not line.startswith("$ "))
        done = server.run("sh", "-c", script, cwd=tmp_path, env={**os.environ, "LC_ALL": "C"})
        assert done.stdout.replace("\r", "") == shown, block
        tried += 1
    assert tried == 4 and server.wait() == 0


def test_what_is_quoted_stands_there():
    """The first block is a service of its own, which test_onefile.py builds."""
    page = ROOT / "docs/write-a-service.md"
    sources = [path.read_text() for path in (ROOT / "tests/services").glob("*.c")]
    tests = [path.read_text() for path in (ROOT / "tests/regress").glob("*.py")]
    quoted = blocks(page, "c")[1:]
    assert len(quoted) > 5
    for block in quoted:
        assert any(block in source for source in sources), block
    for block in blocks(page, "python"):
        assert any(block in test for test in tests), block
