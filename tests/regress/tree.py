"""A copy of the tree with one service more, or several, built: their files are all that is added."""
import fcntl
import hashlib
import os
import shutil
import subprocess

from harness import ROOT, SANITIZED

FOLDERS = ["common", "proto", "worker", "master", "bench", "gen"]


def tracked_files():
    """What belongs to the tree: not what was built, not what git ignores."""
    command = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True)
    if listed.returncode == 0:
        names = [name for name in listed.stdout.decode().split("\0") if name]
    else:
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]
    return [name for name in names if not name.startswith(("build/", ".git/")) and (ROOT / name).is_file()]


def hashes(tree, names):
    return {name: hashlib.sha256((tree / name).read_bytes()).hexdigest() for name in names}


def copy_tree(tree, build="build"):
    """What belongs to the tree, and what has been built of it: make builds what is missing or out of date."""
    names = tracked_files()
    for each in names:
        (tree / each).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / each, tree / each)
    for folder in FOLDERS:
        if (ROOT / build / folder).is_dir():
            shutil.copytree(ROOT / build / folder, tree / build / folder)
    return names


def run_make(tree, goal="all", **more):
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    env.update(more)
    return subprocess.run(["make", "-j2", goal], cwd=tree, env=env, capture_output=True, text=True, timeout=300)


def add_services(tree, files):
    for name, source in files.items():
        added = tree / "worker/services" / name
        added.parent.mkdir(exist_ok=True)
        added.write_text(source)


def build_with(tree, files, sanitized=False):
    """
    The path of a ccserver that is built with these files, {"rot13.c": "..."}, in worker/services; `tree` is an empty
    directory. Sanitized: as the server under test is.
    """
    build = "build/san" if sanitized and SANITIZED else "build"
    names = copy_tree(tree, build)
    before = hashes(tree, names)
    add_services(tree, files)
    made = run_make(tree, "san-program" if build == "build/san" else "all")
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    assert "warning" not in made.stderr, made.stderr
    assert hashes(tree, names) == before
    found = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    assert {file for file in found - set(names) if not file.startswith("build/")} == \
        {f"worker/services/{name}" for name in files}
    return tree / build / "ccserver"


def build_once(factory, name, files, **options):
    """The same, once for all processes of a test run."""
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with open(shared / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = shared / f"{name}.built"
        if not done.exists():
            (shared / name).mkdir()
            done.write_text(str(build_with(shared / name, files, **options)))
        return done.read_text()
