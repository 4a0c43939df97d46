"""A copy of the tree with one service more, built: the file is all that is added."""
import hashlib
import os
import shutil
import subprocess

from harness import ROOT


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


def build_with_service(tree, name, source):
    """The path of a ccserver that has the service `name` besides its own; `tree` is an empty directory."""
    names, added = tracked_files(), f"worker/services/{name}.c"
    for each in names:
        (tree / each).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / each, tree / each)
    before = hashes(tree, names)
    (tree / added).write_text(source)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    made = subprocess.run(["make", "-j2"], cwd=tree, env=env, capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    assert "warning" not in made.stderr, made.stderr
    assert hashes(tree, names) == before
    files = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    assert {file for file in files - set(names) if not file.startswith("build/")} == {added}
    return tree / "build/ccserver"
