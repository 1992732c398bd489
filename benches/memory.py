"""Peak memory of the program on large datasets; writes the `memory` section of `benches/RESULTS.md`.

    python benches/make_dataset.py --out DIR/large --rows 16000
    python benches/make_dataset.py --out DIR/many --rows 160000 --tiny
    python benches/memory.py DIR/large DIR/many [--memory-limit 1GiB] [-- further options of clip-filter]

The peak is the kernel's figure for the process (`ru_maxrss`), as `/usr/bin/time -v` prints it. Nothing but the standard library is
imported: the kernel counts the parent's pages of the moment before `exec` as the child's. Exit code 1 when a run is over the bound.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import results

MIB = 2**20
BOUND = 1.5 * 2**30


def measured(command):
    """Runs a command; its exit code, standard output, seconds, and peak resident bytes."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdout=out)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        return child.returncode, out.read().decode(), time.perf_counter() - began, usage.ru_maxrss * 1024


def shape(folder):
    """Bytes and files of a dataset."""
    files = sorted(folder.glob("**/*.parquet")) if folder.is_dir() else [folder]
    return sum(path.stat().st_size for path in files), len(files)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--binary", type=Path, default=results.ROOT / "target/release/clip-filter")
    parser.add_argument("--memory-limit", default="1GiB")
    parser.add_argument("--dry", action="store_true", help="do not touch RESULTS.md")
    words = sys.argv[1:]
    at = words.index("--") if "--" in words else len(words)
    options, further = parser.parse_args(words[:at]), words[at + 1 :]

    stamp, lines, over = results.stamp(), [], False
    for data in options.data:
        with tempfile.TemporaryDirectory(dir=data.parent) as folder:
            out = Path(folder, "out" if data.is_dir() else "out.parquet")
            code, text, seconds, peak = measured([str(options.binary), str(data), str(out), "--memory-limit", options.memory_limit, "--json", *further])
            written = shape(out)[0] if out.exists() else 0
        if code:
            sys.exit(f"{options.binary.name} on {data.name} ended with {code}")
        report = json.loads(text.strip().splitlines()[-1])
        total, files = shape(data)
        over |= peak > BOUND
        own = report.get("peak_rss_bytes") or 0
        lines.append(f"| {data.name} | {total / 1e9:.2f} GB in {files} files | {report['rows_in']:,} | {written / 1e9:.2f} GB | {seconds:.0f} | {report['rows_in'] / seconds:.0f} | {peak / MIB:.0f} MiB | {own / MIB:.0f} MiB |")
        print(lines[-1])
    command = " ".join(["clip-filter IN OUT --memory-limit", options.memory_limit, "--json", *further])
    head = "| dataset | input | rows | output | seconds | pairs/s | peak RSS | as it reports |\n|---|---|---|---|---|---|---|---|\n"
    text = f"## Memory\n\n{stamp}\n\n`{command}`; the first shard of a dataset is one row group (`make_dataset.py`). Bound: {BOUND / MIB:.0f} MiB.\n\n{head}" + "\n".join(lines)
    if not options.dry:
        results.replace("memory", text)
    sys.exit(over)


if __name__ == "__main__":
    main()
