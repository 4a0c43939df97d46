"""
How each contestant is started: its command line and generated configuration. One place, so that nobody is favoured by
a setting hidden elsewhere: one worker, a backlog and limits that fit, otherwise everybody's defaults (idle timeouts
included; HAProxy insists on being told its timeouts). Of ccserver's keys, those that end it quickly, its statistics file
and a quieter log are set, too: nothing that is measured.
"""
import contextlib
import os
import pathlib
import shutil
import subprocess

import machine
import servers

NOBODY = 9  # the port of an upstream that is not used
URING_SMALL = "--buffers", 16384, "--buffer-size", 2112  # more than there are sessions; no power of two apart
SERVICES = ("pingpong", "echo", "bank", "proxy")

CCSERVER_CONF = """[server]
workers = {workers}
drain_timeout = 0
linger_timeout = 0
log_level = notice
stats_file = {folder}/stats.json
{server_keys}
"""

NGINX_CONF = """load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
worker_processes 1;
worker_rlimit_nofile {nofile};
events {{ worker_connections {connections}; }}
stream {{
    access_log off;
    server {{ listen 127.0.0.1:{port} backlog=4096; proxy_pass 127.0.0.1:{upstream}; }}
}}
"""

HAPROXY_CONF = """global
    nbthread 1
    maxconn {sessions}
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen proxy
    bind 127.0.0.1:{port} backlog 4096
    server redis 127.0.0.1:{upstream}
"""

NUTCRACKER_CONF = """proxy:
  listen: 127.0.0.1:{port}
  redis: true
  backlog: 4096
  servers:
   - 127.0.0.1:{upstream}:1
"""


def sweep(out):
    """Remove what runs that were killed have left."""
    for folder in pathlib.Path(out).glob("scratch-*"):
        if not os.path.exists(f"/proc/{folder.name.partition('-')[2]}"):
            shutil.rmtree(folder, ignore_errors=True)


class NotAvailable(Exception):
    """A contestant this machine or this build does not have; its rows say so instead of failing."""


class Contest:
    """The servers of one cell: started when first asked for, all ended together."""

    def __init__(self, out, server_cpus, client_cpus):
        self.build = machine.ROOT / "build"
        self.out, self.server_cpus, self.client_cpus = pathlib.Path(out), server_cpus, client_cpus
        self.running, self.background = {}, {}
        self.repeated = []
        self.number, self.scratch = 0, self.out / f"scratch-{os.getpid()}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop_all()

    def program(self, name):
        """The path of a program of the build or of a Debian package."""
        ours = name in ("ccserver", "ccpp_client") or name.startswith("peer_")
        own = self.build / ("ccserver" if name == "ccserver" else f"bench/{name}")
        if ours and os.access(own, os.X_OK):
            return own
        if ours:
            raise NotAvailable(f"{own} has not been built")
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
        if not found:
            raise NotAvailable(f"{name} is not there")
        return found

    def server(self, kind):
        """The running server of this kind, e.g. "floor", "ccserver", "ccserver busy_poll", "haproxy"."""
        if kind not in self.running:
            self.running[kind] = self.start(kind)
        return self.running[kind]

    def stop(self, kind):
        """End one server, so that it cannot disturb the others (one that spins would), and the load kept for it."""
        if kind in self.background:
            servers.end_process(self.background.pop(kind))
        if kind in self.running:
            self.running.pop(kind).stop()

    def stop_all(self):
        """End everything, the last one started first: proxies before what they stand in front of."""
        with contextlib.ExitStack() as stack:
            for server in self.running.values():
                stack.callback(server.stop)
            for process in self.background.values():
                stack.callback(servers.end_process, process)
            self.running, self.background = {}, {}

    def folder(self, kind):
        """A new scratch folder under the output folder."""
        self.number += 1
        path = self.scratch / f"{self.number:02d}-{kind.replace(' ', '-').replace(':', '-')}"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def start(self, kind, **options):
        """Start a server of `kind`; words after the first are its variant."""
        name, _, variant = kind.partition(" ")
        make = getattr(self, "start_" + name, None)
        if not make:
            return self.start_peer(kind, "peer_" + name)
        return make(kind, variant, **options)

    # ---- ours ----

    def start_ccserver(self, kind, variant, workers=1, cpus=None, server_keys="", listen_keys=""):
        """
        ccserver with all four services. Variants: "busy_poll", "N workers", "deep" (water marks); "redis" or
        "upstream": what its proxy stands in front of.
        """
        binary, folder = self.program("ccserver"), self.folder(kind)
        upstream = self.server(variant).port if variant in ("redis", "upstream") else NOBODY
        if variant == "busy_poll":
            server_keys = self.busy_poll_keys()
        elif variant.endswith("workers"):
            workers = int(variant.split()[0])
            cpus = cpus or set(machine.cpus()[:workers])
        elif variant == "deep":
            listen_keys = "high_water = 256m\nlow_water = 128m\nmax_output = 1g"
        ports = {service: servers.free_port() for service in SERVICES}
        text = CCSERVER_CONF.format(workers=workers, folder=folder, server_keys=server_keys)
        for service, port in ports.items():
            text += f"[listen {service}]\nservice = {service}\nbind = 127.0.0.1:{port}\n{listen_keys}\n"
            text += f"upstream = 127.0.0.1:{upstream}\n\n" if service == "proxy" else "\n"
        (folder / "ccserver.conf").write_text(text)
        command = [binary, "-c", folder / "ccserver.conf", "-w", workers]
        return servers.Server(kind, command, ports, cpus or self.server_cpus, folder, ready=f"ready: {workers} worker")

    def start_shared(self, kind, _variant):
        """ccserver with clients that share connections to Redis."""
        folder, port = self.folder(kind), servers.free_port()
        text = CCSERVER_CONF.format(workers=1, folder=folder, server_keys="")
        text += f"[listen redis]\nservice = redis\nbind = 127.0.0.1:{port}\nupstream = 127.0.0.1:{self.server('redis').port}\n"
        (folder / "ccserver.conf").write_text(text)
        command = [self.program("ccserver"), "-c", folder / "ccserver.conf"]
        return servers.Server(kind, command, {"any": port}, self.server_cpus, folder, ready="ready: 1 worker")

    def busy_poll_keys(self):
        """The key of the polling worker, when this build has it, in the spelling it takes."""
        binary, trial = self.program("ccserver"), self.folder("busy_poll trial") / "trial.conf"
        listed = subprocess.run([binary, "--keys"], capture_output=True, text=True, check=False).stdout
        if "busy_poll" not in listed:
            raise NotAvailable("this build has no key busy_poll")
        for line in ("busy_poll = 50us", "busy_poll = 50"):
            trial.write_text(f"[server]\n{line}\n[listen a]\nservice = pingpong\nbind = 127.0.0.1:0\n")
            if subprocess.run([binary, "-t", "-c", trial], capture_output=True, check=False).returncode == 0:
                return line + "\nbusy_poll_force = on"  # one worker on the one CPU that is its own
        raise NotAvailable("busy_poll takes neither 50us nor 50")

    # ---- peers of our own ----

    def start_peer(self, kind, program, *arguments):
        """One of bench/peers: prints "ready" when it listens."""
        port = servers.free_port()
        command = [self.program(program), *arguments, "127.0.0.1", port]
        return servers.Server(kind, command, {"any": port}, self.server_cpus, self.folder(kind), ready="ready")

    def start_floor(self, kind, variant):
        """The bare epoll loop; "floor spin" polls, "floor IN:OUT" answers with OUT bytes for IN."""
        arguments = []
        if variant == "spin":
            arguments = ["--spin"]
        elif ":" in variant:
            arguments = ["--expand", variant]
        return self.start_peer(kind, "peer_floor", *arguments)

    def start_upstream(self, kind, _variant):
        """A bare epoll loop on the client's side, for proxies to stand in front of."""
        port = servers.free_port()
        command = [self.program("peer_floor"), "127.0.0.1", port]
        return servers.Server(kind, command, {"any": port}, self.client_cpus, self.folder(kind), ready="ready")

    def start_io_uring(self, kind, variant):
        """The bare io_uring loop; old kernels and locked-down ones cannot run it. "small": buffers for small messages."""
        return self.start_peer(kind, "peer_uring", *(URING_SMALL if variant == "small" else ()))

    def start_relay(self, kind, variant):
        """The bare 1:1 relay in front of Redis, or of "relay upstream"."""
        port, upstream = servers.free_port(), self.server(variant or "redis").port
        command = [self.program("peer_relay"), "127.0.0.1", port, "127.0.0.1", upstream]
        return servers.Server(kind, command, {"any": port}, self.server_cpus, self.folder(kind), ready="ready")

    # ---- Debian's ----

    def start_redis(self, kind, _variant):
        """Redis without persistence, on the client's CPU."""
        port, folder = servers.free_port(), self.folder(kind)
        command = [self.program("redis-server"), "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly",
                   "no", "--dir", folder, "--maxclients", 20000]
        return servers.Server(kind, command, {"any": port}, self.client_cpus, folder)

    def start_configured(self, kind, variant, template, name, words):
        """A proxy with one generated file, in front of Redis or "... upstream". `words` makes its command line."""
        folder, port, upstream = self.folder(kind), servers.free_port(), self.server(variant or "redis").port
        nofile = machine.raise_nofile()
        path = folder / name
        path.write_text(template.format(folder=folder, port=port, upstream=upstream, nofile=nofile,
                                        sessions=nofile // 2 - 100, connections=nofile - 200))
        return servers.Server(kind, words(path), {"any": port}, self.server_cpus, folder)

    def start_nginx(self, kind, variant):
        """nginx's stream module, one worker."""
        binary = self.program("nginx")
        if not pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so").is_file():
            raise NotAvailable("nginx has no stream module here (libnginx-mod-stream)")
        return self.start_configured(kind, variant, NGINX_CONF, "nginx.conf", lambda path: [
            binary, "-c", path, "-p", path.parent, "-e", path.parent / "nginx-error.log"])

    def start_haproxy(self, kind, variant):
        """HAProxy in TCP mode, one thread."""
        binary = self.program("haproxy")
        return self.start_configured(kind, variant, HAPROXY_CONF, "haproxy.cfg", lambda path: [
            binary, "-db", "-f", path])

    def start_nutcracker(self, kind, variant):
        """nutcracker (twemproxy): parses the protocol and multiplexes, which a relay does not."""
        binary = self.program("nutcracker")
        return self.start_configured(kind, variant, NUTCRACKER_CONF, "nutcracker.yml", lambda path: [
            binary, "-c", path, "-a", "127.0.0.1", "-s", servers.free_port(), "-o", path.parent / "nutcracker.log"])
