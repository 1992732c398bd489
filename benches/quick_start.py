"""What a newcomer waits for: CPU seconds of the README's two commands from an empty target directory; the section `quick`.

    python benches/quick_start.py [--checkout DIR] [--label "before: 1d07e0d"] [--only first|second]

The commands are read from DIR/README.md. The first one is run, the second is built (`--no-run`): how long tests take to run is not what
is asked here. CPU seconds are user + sys of cargo and all it starts, so they hardly depend on what else the machine does; cores are what limits
the seconds on the clock. A line of another checkout stays as it is, so that two can be measured one after the other.
"""

import argparse
import os
import re
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import results

HEAD = "| checkout | command | CPU s | s | crates compiled |\n|---|---|---|---|---|\n"


def spent(command, checkout, target):
    """CPU seconds, seconds, and how many crates cargo compiled."""
    environment = {**os.environ, "CARGO_TARGET_DIR": target, "CARGO_INCREMENTAL": "0"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command.split(), cwd=checkout, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, seconds, len(re.findall(r"^ +Compiling ", done.stderr, re.M))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, default=results.ROOT)
    parser.add_argument("--label", default="this")
    parser.add_argument("--only", choices=("first", "second"))
    options = parser.parse_args()
    first, second = re.findall(r"^    (cargo .*)$", (options.checkout / "README.md").read_text(), re.M)[:2]
    commands = {"first": first.replace("kept.parquet", "target/kept.parquet --overwrite"), "second": f"{second} --no-run"}
    lines = {}
    with tempfile.TemporaryDirectory(dir=options.checkout.parent) as target:
        for name, command in commands.items():
            if options.only in (None, name):
                cpu, seconds, crates = spent(command, options.checkout, target)
                lines[f"| {options.label} | `{command}` |"] = f" {cpu:.0f} | {seconds:.0f} | {crates} |"
                print(list(lines)[-1] + lines[list(lines)[-1]], flush=True)
    known = re.search(r"<!-- quick -->.*<!-- /quick -->", results.RESULTS.read_text(), re.S)
    rows = re.findall(r"^(\| [^|]+ \| `[^`]+` \|)(.*)$", known[0] if known else "", re.M)
    rows = {**dict(rows), **lines}
    text = f"## Quick to start\n\n{results.stamp()}\n\n`python benches/quick_start.py`; an empty target directory, packages fetched before.\n\n{HEAD}"
    results.replace("quick", text + "\n".join(key + value for key, value in rows.items()))


if __name__ == "__main__":
    main()
