"""What the kernel says about processes and the machine: CPU time, memory, facts. Nothing here samples or estimates."""

import os
import platform
import re
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def stat_fields(pid):
    """The fields of /proc/PID/stat from the third on (the second, the name, may hold spaces)."""
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def tree(pid):
    """The process and its descendants."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := stat_fields(name)):
            parents.setdefault(int(fields[1]), []).append(int(name))
    found, queue = [], [pid]
    while queue:
        found.append(queue.pop())
        queue += parents.get(found[-1], [])
    return sorted(found)


def process_cpu_ns(pid):
    """CPU time of all threads that the process has or had, in ns: its CPU clock, the sum that utime + stime rounds to ticks."""
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        fields = stat_fields(pid)
        return (int(fields[11]) + int(fields[12])) * 1_000_000_000 // TICKS


class Cpu:
    """CPU time of a process tree at one moment."""

    def __init__(self, pid):
        self.pids = tree(pid)
        self.ns = sum(process_cpu_ns(one) for one in self.pids)
        stats = [stat_fields(one) for one in self.pids]
        self.user_ticks = sum(int(fields[11]) for fields in stats)
        self.ticks = self.user_ticks + sum(int(fields[12]) for fields in stats)

    def since(self, before):
        if self.pids != before.pids:
            raise RuntimeError(f"processes came or went in the measured window: {before.pids} -> {self.pids}")
        ticks = self.ticks - before.ticks
        user = (self.user_ticks - before.user_ticks) / ticks if ticks else 0.0
        return {"ns": self.ns - before.ns, "stat_ns": ticks * 1_000_000_000 // TICKS, "user_part": round(user, 3)}


def machine_busy_ns():
    """(busy, stolen) time of all CPUs so far, in the tick's precision."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, read("/proc/stat").split("\n", 1)[0].split()[1:9])
    return ((user + nice + system + irq + softirq) * 1_000_000_000 // TICKS, steal * 1_000_000_000 // TICKS)


def memory_kib(pid):
    """Sums over the process tree. rss counts what processes share once for each, pss once in all; peak is of rss."""
    total = {"rss": 0, "peak": 0, "pss": 0}
    for one in tree(pid):
        status = read(f"/proc/{one}/status") + read(f"/proc/{one}/smaps_rollup")
        for key, name in (("rss", "VmRSS"), ("peak", "VmHWM"), ("pss", "Pss")):
            if match := re.search(rf"^{name}:\s+(\d+) kB", status, re.M):
                total[key] += int(match[1])
    return total


def output(*command):
    """What a command prints, on either of its two outputs; "" when it cannot run or fails."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if done.returncode else done.stdout.decode(errors="replace").strip()


def commit(root):
    head = output("git", "-C", root, "rev-parse", "--short=12", "HEAD")
    if not re.fullmatch("[0-9a-f]{7,40}", head):
        return None
    return head + ("+changes" if output("git", "-C", root, "status", "--porcelain", "--untracked-files=no") else "")


def facts(root):
    cpuinfo = read("/proc/cpuinfo")
    model = re.search(r"^(?:model name|CPU part)\s*:\s*(.*)$", cpuinfo, re.M)
    memory = re.search(r"^MemTotal:\s+(\d+)", read("/proc/meminfo"), re.M)
    system = re.search(r'^PRETTY_NAME="(.*)"$', read("/etc/os-release"), re.M)
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "system": system[1] if system else None,
        "cpu": model[1] if model else None,
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory[1]) // 1024 if memory else None,
        "compiler": output("cc", "--version").split("\n")[0],
        "commit": commit(root),
    }
