"""Processes measured in rounds: every contender once per round, so that what else the machine does meets all of them alike.

Nothing but the standard library is imported: the kernel counts the parent's pages of the moment before `exec` as the child's.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field


@dataclass
class Measured:
    """One process: seconds of its job, of all of it, of its processors; peak resident bytes; what it said."""

    job: float
    wall: float
    cpu: float
    peak: int
    said: dict = field(default_factory=dict)


def run(command, environment=None):
    """Runs a command. Its last line of output, if it is a JSON object, may name the `job_seconds` that count. `None` if it fails."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        child = subprocess.Popen([str(word) for word in command], stdout=out, stderr=errors, env=environment)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        for file in (out, errors):
            file.seek(0)
        lines, complaint = out.read().decode().strip().splitlines(), errors.read().decode().strip()
    if child.returncode:
        print(f"{' '.join(map(str, command))} ended with {child.returncode}: {complaint[:600]}", file=sys.stderr)
        return None
    said = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    return Measured(said.get("job_seconds", wall), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, said)


def busy(seconds=0.3):
    """How many cores were busy in that time."""

    def ticks():
        with open("/proc/stat") as file:
            numbers = [int(word) for word in file.readline().split()[1:9]]
        return sum(numbers), numbers[3] + numbers[4]

    total, idle = ticks()
    time.sleep(seconds)
    total, idle = (after - before for after, before in zip(ticks(), (total, idle)))
    return os.cpu_count() * (1 - idle / max(1, total))


def wait_for_quiet(patience):
    """Until less than a fifth of a core is busy with other things, for so many seconds at most."""
    end = time.monotonic() + patience
    while patience and busy() > 0.2 and time.monotonic() < end:
        time.sleep(0.2)


def interleaved(contenders, rounds, patience=0):
    """`contenders` are names and functions that give a `Measured`; one that fails is not asked again."""
    done, failed = {name: [] for name in contenders}, set()
    for number in range(rounds):
        for name, contender in contenders.items():
            if name in failed:
                continue
            wait_for_quiet(patience)
            result = contender()
            if result is None:
                failed.add(name)
                continue
            done[name].append(result)
            print(f"round {number + 1}, {name}: {result.job:.2f} s, cpu {result.cpu:.2f} s, {result.peak / 2**20:.0f} MiB, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return done


def least(results, name):
    return min(getattr(one, name) for one in results)


def median(results, name):
    return statistics.median(getattr(one, name) for one in results)


def peak(results):
    return max(one.peak for one in results) / 2**20
