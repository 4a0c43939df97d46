"""A real Redis for tests."""
import shutil
import subprocess
import tempfile
import threading

from harness import Upstream


def free_port():
    """A port that is free now; somebody may take it before it is bound."""
    free = Upstream(backlog=None)
    port = int(free.address.split(":")[1])
    free.close()
    return port


class Redis:
    """A redis-server without a disk, on a port of its own and on a unix socket. `cluster`: one node, without slots."""

    def __init__(self, *options, cluster=False):
        self.dir = tempfile.mkdtemp(prefix="ccs-redis-")
        self.unix = f"unix:{self.dir}/redis.sock"
        for _ in range(5):
            self.port = free_port()
            more = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())] if cluster else []
            self.process = subprocess.Popen(
                ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.dir,
                 "--unixsocket", self.unix[5:], "--save", "", "--appendonly", "no", *more, *options], stdout=subprocess.PIPE)
            if any(b"ready to accept connections at" in line for line in self.process.stdout):
                break
            self.process.wait()
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def stop(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir)
