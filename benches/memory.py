"""Peak memory of the program on large datasets; writes the `memory` section of `benches/RESULTS.md`.

    python benches/make_dataset.py --out DIR/large --rows 16000
    python benches/make_dataset.py --out DIR/many --rows 160000 --tiny
    python benches/memory.py DIR/large DIR/many [--memory-limit 1GiB] [-- further options of clip-filter]
    python benches/make_pages.py --out DIR/pages
    python benches/memory.py --pages DIR/pages/*.parquet [--jobs filter,filter@mock,score@mock,online@mock,sql,sort]

The second pair measures pages of a gigabyte and writes the section `pages`. With `--far` the same files are read from a server of ranges on this
machine (`range_server.py`) and outputs are uploaded to it; that is the section `pages_far` or `memory_far`. The peak is the kernel's figure for the process (`ru_maxrss`), as `/usr/bin/time -v` prints it. Nothing but the standard library is
imported: the kernel counts the parent's pages of the moment before `exec` as the child's. Exit code 1 when a run is over the bound.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import results

MIB = 2**20
# Of the limit.
BOUND = 1.1
UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
HEAD = "| dataset | job | input | rows | seconds | pairs/s | peak RSS | of the limit |\n|---|---|---|---|---|---|---|---|\n"


def measured(command, model, env):
    """Runs a command, whose output nobody reads; its exit code, seconds, and peak resident bytes."""
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"CLIP_FILTER_MODEL": model} | env)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, time.perf_counter() - began, usage.ru_maxrss * 1024


def shape(folder):
    """Bytes and files of a dataset."""
    files = sorted(folder.glob("**/*.parquet")) if folder.is_dir() else [folder]
    return sum(path.stat().st_size for path in files), len(files)


class Far:
    """A server over the folder in which a dataset lies."""

    def __init__(self, folder):
        words = [sys.executable, results.ROOT / "benches/range_server.py", folder]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        port = int(self.process.stdout.readline())
        self.env = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def jobs(data, folder, limit, is_far):
    """Commands by name; each reads every picture."""
    out = Path(folder, "out" if data.is_dir() else "out.parquet")
    if is_far:
        data, out = f"s3://data/{data.name}", f"s3://data/{out.name}"
    common = ["--memory-limit", limit, "--json"]
    query = "SELECT image, text FROM pairs WHERE image_width(image) > 0"
    sort = "SELECT * FROM pairs_shards ORDER BY text DESC"
    sql = ["--input", f"pairs={data}", "--output", str(out), "--overwrite", "--memory-limit", limit]
    return {
        "filter": [str(data), str(out), *common],
        "score": ["score", str(data), "--scores", str(Path(folder, "scores")), *common],
        "sql": ["sql", query, *sql],
        "sort": ["sql", sort, *sql],
        "online": [str(data), "-", "--online", "--keep", "0.3", *common],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--binary", type=Path, default=results.ROOT / "target/release/clip-filter")
    parser.add_argument("--memory-limit", default="1GiB")
    parser.add_argument("--pages", action="store_true", help="write the section of large pages")
    parser.add_argument("--far", action="store_true", help="input and output through a server of ranges")
    parser.add_argument("--jobs", default="filter", help="of filter, score, sql, sort and online, with commas; filter@mock runs without a model")
    parser.add_argument("--dry", action="store_true", help="do not touch RESULTS.md")
    words = sys.argv[1:]
    at = words.index("--") if "--" in words else len(words)
    options, further = parser.parse_args(words[:at]), words[at + 1 :]
    limit = float(options.memory_limit[:-3]) * UNITS[options.memory_limit[-3:]]

    stamp, lines, over = results.stamp(), [], False
    for data in options.data:
        for task in options.jobs.split(","):
            job, _, model = task.partition("@")
            far = Far(data.parent) if options.far else contextlib.nullcontext()
            with far, tempfile.TemporaryDirectory(dir=data.parent) as folder:
                command = jobs(data, folder, options.memory_limit, options.far)[job]
                env = far.env if options.far else {}
                code, seconds, peak = measured([str(options.binary), *command, *further], model or "bundled", env)
            if code:
                sys.exit(f"{options.binary.name} {task} on {data.name} ended with {code}")
            rows = pq_rows(data)
            total, files = shape(data)
            over |= peak > BOUND * limit
            lines.append(f"| {data.stem} | {job}{f', {model} encoder' if model else ''} | {total / 1e9:.2f} GB in {files} files | {rows:,} | {seconds:.0f} | {rows / seconds:.0f} | {peak / MIB:.0f} MiB | {peak / limit:.2f} |")
            print(lines[-1], flush=True)
    command = " ".join(["clip-filter ... --memory-limit", options.memory_limit, *further])
    of = "pages of a gigabyte (`make_pages.py`)" if options.pages else "the first shard of a dataset is one row group (`make_dataset.py`)"
    where = ", far away" if options.far else ""
    if options.far:
        of += "; read from and uploaded to `range_server.py`"
    text = f"## Memory, {'large pages' if options.pages else 'large row groups'}{where}\n\n{stamp}\n\n`{command}`; {of}. Bound: {BOUND} of the limit.\n\n{HEAD}" + "\n".join(lines)
    if not options.dry:
        results.replace(("pages" if options.pages else "memory") + ("_far" if options.far else ""), text)
    sys.exit(over)


def pq_rows(data):
    """Rows of a dataset, counted in a process of its own: this one imports nothing large."""
    names = [str(path) for path in (sorted(data.glob("**/*.parquet")) if data.is_dir() else [data])]
    code = "import sys, pyarrow.parquet as pq; print(sum(pq.read_metadata(name).num_rows for name in sys.argv[1:]))"
    return int(subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
