"""
What a reader must know of the machine before believing a figure from it, and the limits the benchmarks need raised.
"""
import functools
import os
import pathlib
import platform
import resource
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOFILE_WANTED = 65536

PACKAGES = ("redis-server", "nginx", "haproxy", "nutcracker", "libevent-2.1-7", "libuv1", "liburing2", "strace")


def text_of(path, default=""):
    """The contents of a small file, or the default where this kernel has none."""
    try:
        return pathlib.Path(path).read_text().strip()
    except OSError:
        return default


def output_of(*command):
    """What a command prints, or an empty string when it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=ROOT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@functools.cache
def cpus():
    """The CPUs this process may use, in order; asked once, before the runner confines itself to some of them."""
    return sorted(os.sched_getaffinity(0))


def raise_nofile():
    """
    10,000 sessions through a proxy are 20,000 descriptors in one process. Children inherit what is set here; without
    the privilege to raise the hard limit what there is must do. Returns the limit in effect.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    capped = min(hard, NOFILE_WANTED)  # a limit of a billion would have others allocate tables for it
    for limit in ((NOFILE_WANTED, max(hard, NOFILE_WANTED)), (capped, hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
            break
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def cpu_model():
    """The name of the first CPU as the kernel knows it."""
    for line in text_of("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def mitigations():
    """Kernel work-arounds for CPU faults: they make system calls dearer, so they belong to every figure."""
    folder = pathlib.Path("/sys/devices/system/cpu/vulnerabilities")
    if not folder.is_dir():
        return {}
    found = {each.name: text_of(each) for each in sorted(folder.iterdir())}
    return {name: state for name, state in found.items() if state and state != "Not affected"}


def package_versions():
    """Versions of the peers, as Debian numbers them."""
    found = {}
    for name in PACKAGES:
        version = output_of("dpkg-query", "-W", "-f", "${Version}", name)
        if version:
            found[name] = version
    return found


def commit():
    """The commit that was measured, with a mark when the tree differed from it."""
    name = output_of("git", "rev-parse", "--short=12", "HEAD") or "unknown"
    return name + ("+changes" if output_of("git", "status", "--porcelain", "--untracked-files=no") else "")


def cpu_time():
    """
    Seconds since boot that all CPUs were busy, and that the hypervisor gave to other guests. Interrupts count as busy.
    """
    fields = [int(word) for word in text_of("/proc/stat").splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / tick, steal / tick


def own_cpu_time():
    """CPU seconds of the runner and of everything it has started and seen end."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


class Bystanders:
    """How much CPU time programs that are not ours took while we measured: the first suspect for wide intervals."""

    def __init__(self):
        self.start, self.own, (self.busy, self.stolen) = time.monotonic(), own_cpu_time(), cpu_time()

    def shares(self):
        """Of the time of one CPU: others' programs, and the hypervisor."""
        elapsed, (busy, stolen) = time.monotonic() - self.start, cpu_time()
        foreign = busy - self.busy - (own_cpu_time() - self.own)
        return {"others": max(0.0, foreign / elapsed), "stolen": (stolen - self.stolen) / elapsed}


def load_average():
    """Load before anything was started: a busy machine explains a wide interval."""
    return text_of("/proc/loadavg").split()[:3]


def facts():
    """Everything above, for the report and the JSON."""
    governor = text_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "none exposed")
    return {
        "kernel": f"{platform.system()} {platform.release()} {platform.version()}",
        "cpu": cpu_model(),
        "cpus": len(cpus()),
        "hypervisor": "yes" if " hypervisor" in text_of("/proc/cpuinfo") else "no",
        "frequency_governor": governor,
        "mitigations": mitigations(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "limits": {
            "RLIMIT_NOFILE": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            "net.core.somaxconn": text_of("/proc/sys/net/core/somaxconn", "?"),
            "net.ipv4.ip_local_port_range": text_of("/proc/sys/net/ipv4/ip_local_port_range", "?").replace("\t", "-"),
            "net.ipv4.tcp_rmem": text_of("/proc/sys/net/ipv4/tcp_rmem", "?").replace("\t", " "),
            "net.ipv4.tcp_wmem": text_of("/proc/sys/net/ipv4/tcp_wmem", "?").replace("\t", " "),
        },
        "load_before": load_average(),
        "commit": commit(),
        "compiler": output_of("gcc", "--version").partition("\n")[0],
        "peers": package_versions(),
        "python": platform.python_version(),
    }
