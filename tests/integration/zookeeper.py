"""A ZooKeeper server of Debian's packages on a free port, small, with its data in the test's directory."""
import glob
import os
import signal
import subprocess
import time

from harness import Process, free_port
from wire import wait_until

CLASSPATH = ["/usr/share/java/zookeeper.jar"]


def available():
    try:
        import kazoo.client  # noqa: F401
    except ImportError:
        return False
    return os.path.exists(CLASSPATH[0]) and bool(glob.glob("/usr/bin/java"))


class ZooKeeper(Process):
    def __init__(self, directory):
        super().__init__(directory, "zookeeper")
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.data = os.path.join(directory, "zookeeper-data")
        os.makedirs(self.data, exist_ok=True)
        self.config = os.path.join(directory, "zoo.cfg")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(f"tickTime=200\ndataDir={self.data}\nclientPort={self.port}\nclientPortAddress=127.0.0.1\n"
                    "minSessionTimeout=400\nmaxSessionTimeout=60000\nadmin.enableServer=false\nmaxClientCnxns=0\n")
        self.client = None

    def start(self):
        self.spawn(["java", "-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dzookeeper.log.threshold=WARN",
                    "-cp", ":".join(CLASSPATH), "org.apache.zookeeper.server.quorum.QuorumPeerMain", self.config])
        return self

    def connect(self):
        """A client of its own, of the test."""
        from kazoo.client import KazooClient
        if self.client:
            self.client.stop()
            self.client.close()
        self.client = KazooClient(hosts=self.address, timeout=10)
        self.client.start(timeout=60)
        return self.client

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.client:
            self.client.stop()
            self.client.close()
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()
