"""`benches/RESULTS.md`: sections that harnesses replace, each under its own mark, and the machine they ran on."""

import os
import platform
import re
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benches/RESULTS.md"
HEAD = "# Results\n\nWritten by the scripts in this folder; each section names its command. Do not edit.\n"
ORDER = ("speed", "int8", "filtered", "scaling", "allocations", "gpu", "memory", "pages", "reselect", "emit")


def replace(name, text, path=RESULTS):
    """Puts a section in place, leaving the others as they are."""
    old = path.read_text() if path.exists() else ""
    sections = dict(re.findall(r"<!-- (\w+) -->\n(.*?)\n<!-- /\1 -->", old, re.S))
    sections[name] = text.strip()
    names = [n for n in ORDER if n in sections] + sorted(set(sections) - set(ORDER))
    path.write_text(HEAD + "".join(f"\n<!-- {n} -->\n{sections[n]}\n<!-- /{n} -->\n" for n in names))


def device():
    """The processor, the cores this process may use and the memory, in words."""
    name = platform.processor() or platform.machine()
    try:
        name = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())[1]
        memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())[1]) / 2**20
    except (OSError, TypeError):
        return name
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB"


def revision():
    """The commit measured; marked when the tree differs from it."""
    git = lambda *words: subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return git("rev-parse", "--short", "HEAD") + (" with changes" if git("status", "--porcelain", "--", "src", "crates", "Cargo.lock") else "")


def stamp():
    return f"{time.strftime('%Y-%m-%d')}, commit {revision()}, {device()}, load before the run {os.getloadavg()[0]:.1f}"
