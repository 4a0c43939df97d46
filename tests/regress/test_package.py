"""
The Debian package: what is in it, and its life on a machine with a service manager. `make deb` builds it; without it the
tests of what is in it are left out. That machine is a container, whose files are those of this machine and a layer on top
of them. What AppArmor would deny is not seen here.
"""
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from harness import ROOT

DEBIAN = ROOT / "etc/debian"
MACHINE = pathlib.Path("/lib/systemd/systemd"), pathlib.Path("/usr/bin/systemd-nspawn"), pathlib.Path("/usr/sbin/logrotate")


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def package():
    built = sorted((ROOT / "build/deb").glob("ccserver_*.deb"), key=os.path.getmtime)
    if not built:
        pytest.skip("needs a package: make deb")
    return built[-1]


@pytest.fixture(scope="module")
def unpacked(package, tmp_path_factory):
    """The tree of the package, its maintainer scripts in DEBIAN."""
    folder = tmp_path_factory.mktemp("package") / "tree"
    run("dpkg-deb", "-R", package, folder)
    return folder


# ---- what is in it ----

def test_what_it_is_built_with_is_what_make_installs():
    (packages,) = re.findall(r"^BUILD_PACKAGES := (.*)$", (ROOT / "Makefile").read_text(), re.M)
    (depends,) = re.findall(r"^Build-Depends: (.*(?:\n .*)*)", (DEBIAN / "control").read_text(), re.M)
    essential = {"gcc", "libc6-dev", "make"}
    ours = {name for name in re.split(r",\s+", depends) if "dh-" not in name and "debhelper" not in name}
    assert ours == set(packages.split()) - essential


@pytest.mark.parametrize("name", ["ccserver.postinst", "ccserver.prerm", "ccserver.postrm"])
def test_a_maintainer_script_is_sound(name):
    run("sh", "-n", DEBIAN / name)
    if shutil.which("shellcheck"):
        run("shellcheck", "-s", "sh", DEBIAN / name)


def test_the_files_of_the_package(unpacked):
    for name in ("usr/sbin/ccserver", "usr/sbin/ccserverctl", "usr/bin/ccpp_client"):
        assert os.access(unpacked / name, os.X_OK), name
    for name in ("etc/logrotate.d/ccserver", "usr/lib/sysusers.d/ccserver.conf", "usr/lib/tmpfiles.d/ccserver.conf",
                 "usr/share/bash-completion/completions/ccserverctl", "usr/share/zsh/vendor-completions/_ccserverctl",
                 "usr/share/man/man1/ccserverctl.1.gz", "usr/share/man/man1/ccpp_client.1.gz",
                 "usr/share/man/man5/ccserver.conf.5.gz", "usr/share/man/man8/ccserver.8.gz",
                 "usr/share/doc/ccserver/README.md", "usr/share/doc/ccserver/examples/ccserver.json",
                 "usr/share/doc/ccserver/examples/ccserver.rules.yml"):
        assert (unpacked / name).is_file(), name
    assert set((unpacked / "DEBIAN/conffiles").read_text().split()) == {
        "/etc/ccserver/ccserver.conf", "/etc/apparmor.d/usr.sbin.ccserver", "/etc/logrotate.d/ccserver"}
    assert "\nshutdown_command = off\n" in (unpacked / "etc/ccserver/ccserver.conf").read_text()
    for script in (unpacked / "DEBIAN").glob("p*"):
        run("sh", "-n", script)


def test_the_units_of_the_package(unpacked):
    """They are that of etc/ with a user of their own; a template has a configuration and folders of its own, too."""
    sample = (ROOT / "etc/ccserver.service").read_text().partition("[Unit]")[2]
    unit = sample.replace("/usr/local/etc/", "/etc/ccserver/").replace("/usr/local/", "/usr/")
    unit = unit.replace("DynamicUser=yes\n", "User=ccserver\nGroup=ccserver\n")
    folder = next(unpacked.glob("**/systemd/system"))
    assert (folder / "ccserver.service").read_text().partition("[Unit]")[2] == unit
    template = unit.replace("ccserver.conf", "%i.conf").replace("server core\n", "server core, instance %i\n")
    template = re.sub("^(State|Logs)Directory=ccserver$", r"\g<0>/%i", template, flags=re.M)
    template = template.replace("RuntimeDirectory=ccserver\n", "RuntimeDirectory=ccserver@%i\n")
    assert (folder / "ccserver@.service").read_text().partition("[Unit]")[2] == template


def test_the_programs_of_the_package_are_hardened(unpacked):
    for name in "usr/sbin/ccserver", "usr/sbin/ccserverctl", "usr/bin/ccpp_client":
        dynamic = run("readelf", "-W", "-d", unpacked / name)
        assert re.search(r" NOW PIE", dynamic) and " BIND_NOW" in dynamic, name


def test_the_profile_can_be_read(unpacked):
    if not shutil.which("apparmor_parser"):
        pytest.skip("needs apparmor_parser: apt-get install apparmor")
    run("apparmor_parser", "-Q", "-T", "-K", unpacked / "etc/apparmor.d/usr.sbin.ccserver")


def test_the_container_has_the_packages_that_are_needed(unpacked):
    """That of etc/Dockerfile, which nobody builds here."""
    text = (ROOT / "etc/Dockerfile").read_text()
    builder, runtime = re.findall(r"install -y --no-install-recommends ((?:[a-z0-9.-]+[ \\\n]+)+)", text)
    (packages,) = re.findall(r"^BUILD_PACKAGES := (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert set(builder.replace("\\", " ").split()) == set(packages.split())
    (depends,) = re.findall(r"^Depends: (.*)$", (unpacked / "DEBIAN/control").read_text(), re.M)
    libraries = {each.split()[0] for each in depends.split(", ") if each.startswith(("lib", "zlib"))} - {"libc6"}
    assert set(runtime.split()) - {"&&"} == libraries


# ---- its life ----

CONTAINER = r"""
set -e
mount -t tmpfs none "$1/layer"
mkdir "$1/layer/above" "$1/layer/work" "$1/layer/root"
mount -t overlay none -o "lowerdir=/,upperdir=$1/layer/above,workdir=$1/layer/work" "$1/layer/root"
mount -t tmpfs none /run
root=$1/layer/root
rm -f "$root/usr/sbin/policy-rc.d" "$root/etc/machine-id"
dpkg --root="$root" -s ccserver > /dev/null 2>&1 && { echo 'the package is installed on this machine'; exit 77; }
ln -sf /dev/null "$root/etc/systemd/system/systemd-networkd-wait-online.service"  # there is no network to wait for
rm -f "$root/var/lib/man-db/auto-update"
cp "$1/guest.service" "$root/etc/systemd/system/"
for group in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    test -w "$group/cgroup.procs" && mkdir "$group/$2" && echo $$ > "$group/$2/cgroup.procs" || :
done
exec systemd-nspawn -q --register=no --keep-unit --private-network --console=pipe --bind="$1/shared:/shared" \
    -D "$root" -b systemd.unit=guest.service
"""

SERVICE = """\
[Unit]
After=basic.target
[Service]
Type=oneshot
WorkingDirectory=/shared
ExecStart=/bin/sh -c 'exec /usr/bin/python3 guest.py first.deb next.deb broken.deb > said 2>&1'
ExecStopPost=/usr/bin/systemctl --no-block poweroff
TimeoutStartSec=600
"""


def repack(tree, folder, package, version, change):
    """The package again, with another version and another binary: nothing is compiled."""
    copy = folder / f"{package}-tree"
    shutil.copytree(tree, copy, symlinks=True)
    control = copy / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*", f"Version: {version}", control.read_text(), flags=re.M))
    change(copy / "usr/sbin/ccserver")
    run("dpkg-deb", "--root-owner-group", "-b", copy, folder / f"{package}.deb")


@pytest.mark.slow
def test_installed_upgraded_and_purged(package, unpacked, tmp_path):
    """
    Installed, it serves. Upgraded and downgraded, the servers go on with the other binary, and no client notices: not one
    that is in the middle of a line, nor those that come meanwhile. A binary that does not start changes nothing. Removed, it
    has stopped; purged, nothing is left.
    """
    if os.getuid() != 0:
        pytest.skip("needs root, for a container")
    if missing := [str(path) for path in MACHINE if not path.exists()]:
        pytest.skip(f"needs {', '.join(missing)}: apt-get install systemd-container logrotate")
    version = run("dpkg-deb", "-f", package, "Version").strip()
    following = version[:-1] + ("8" if version[-1] == "9" else "9")

    def says_another_version(binary):
        code = binary.read_bytes()
        assert code.count(version.encode() + b"\0") > 0
        binary.write_bytes(code.replace(version.encode() + b"\0", following.encode() + b"\0"))

    def exits(binary):
        binary.write_text("#!/bin/sh\nexit 1\n")

    shared = tmp_path / "shared"
    for folder in shared, tmp_path / "layer":
        folder.mkdir()
    shutil.copy(package, shared / "first.deb")
    shutil.copy(pathlib.Path(__file__).with_name("guest.py"), shared)
    repack(unpacked, shared, "next", following, says_another_version)
    repack(unpacked, shared, "broken", following + "+broken", exits)
    (tmp_path / "guest.service").write_text(SERVICE)
    name = f"ccserver-test-{os.getpid()}"
    done = subprocess.run(["unshare", "-m", "-n", "--propagation", "private", "sh", "-c", CONTAINER, "sh", tmp_path, name],
                          capture_output=True, text=True, timeout=900, stdin=subprocess.DEVNULL)
    for group in pathlib.Path("/sys/fs/cgroup").glob(f"*/{name}"), pathlib.Path("/sys/fs/cgroup").glob(name):
        for each in group:
            for folder, _, _ in os.walk(each, topdown=False):
                os.rmdir(folder)
    said = (shared / "said").read_text() if (shared / "said").exists() else None
    if said is None:
        pytest.skip(f"no service manager starts in a container here: {(done.stdout + done.stderr)[-300:]}")
    print(said)
    assert said.endswith("all is well\n"), said
