"""Debian's Alertmanager and Prometheus on free ports, posting to a webhook."""
import json
import os
import shutil
import urllib.error
import urllib.request

import yaml

from harness import Process, free_port
from wire import wait_until


def available():
    return bool(shutil.which("prometheus-alertmanager") and shutil.which("prometheus"))


def ask(url, body=None):
    request = urllib.request.Request(url, json.dumps(body).encode() if body is not None else None,
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


class Sender(Process):
    """What both have in common."""

    def __init__(self, directory, name):
        super().__init__(directory, name)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data = os.path.join(directory, f"{name}-data")

    def file(self, suffix, content):
        path = os.path.join(self.directory, f"{self.name}-{suffix}.yml")
        with open(path, "w", encoding="utf-8") as f:
            yaml.safe_dump(content, f)
        return path

    def wait_ready(self):
        def ready():
            try:
                return urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).status == 200
            except (OSError, urllib.error.HTTPError):
                return False
        wait_until(ready, f"{self.name} is ready")
        return self

    def finish(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()


class Alertmanager(Sender):
    def __init__(self, directory, webhook):
        super().__init__(directory, "alertmanager")
        self.config = self.file("config", {
            "route": {"receiver": "weir", "group_by": ["alertname"], "group_wait": "1ms", "group_interval": "100ms", "repeat_interval": "1s"},
            "receivers": [{"name": "weir", "webhook_configs": [{"url": webhook, "send_resolved": True}]}]})

    def start(self):
        self.spawn(["prometheus-alertmanager", f"--config.file={self.config}", f"--storage.path={self.data}",
                    f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address="])
        return self.wait_ready()

    def fire(self, *alerts):
        ask(f"{self.url}/api/v2/alerts", list(alerts))

    def alerts(self):
        return ask(f"{self.url}/api/v2/alerts")


class Prometheus(Sender):
    """Its one rule fires while the file it looks at says so: the value of a metric of its own."""

    def __init__(self, directory, alertmanager, expression):
        super().__init__(directory, "prometheus")
        rules = self.file("rules", {"groups": [{"name": "g", "interval": "1s", "rules": [
            {"alert": "AlwaysOn", "expr": expression, "labels": {"severity": "page"}, "annotations": {"summary": "value {{ $value }}"}}]}]})
        self.config = self.file("config", {
            "global": {"evaluation_interval": "1s"}, "rule_files": [rules],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager.port}"]}]}]}})

    def start(self):
        self.spawn(["prometheus", f"--config.file={self.config}", f"--storage.tsdb.path={self.data}",
                    f"--web.listen-address=127.0.0.1:{self.port}", "--rules.alert.resend-delay=1s", "--web.enable-lifecycle"])
        return self.wait_ready()
