"""The Python package beside the command line and beside what people write today: ratios of one run. Writes the `python` section.

    python benches/python.py [--rounds 5] [--rows 400] [--only stream,filtered,loader,workers,memory] [--dry]

The Python that runs it has the package (`pip install ./python`, a release build) with `python/tests/loaders.txt` and webdataset.
Every measurement is a process of its own, and every contender has its turn in each round. Pictures are those of
`make_dataset.py`: 900 to 1,500 px wide for scoring, 224 to 256 px for reading.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import make_dataset
import results
import rounds

HERE = Path(__file__).resolve().parent
MODEL = results.ROOT / "assets/model"
PEERS = HERE / "peer_loaders.py"


def ours(*words):
    return [sys.executable, "-m", "clip_filter", *map(str, words)]


def peer(name, *words):
    return [sys.executable, str(PEERS), name, *map(str, words)]


def timed(*command):
    """Seconds of a command, start-up included."""
    return lambda: rounds.run(command)


def made(folder, rows, thumbnails=False, shards=8):
    """Shards of pairs, with a column `third` that a third of the rows has as 0."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(5)
    sides = make_dataset.THUMBNAIL if thumbnails else make_dataset.PHOTOGRAPH
    pictures = [make_dataset.synthetic(random, sides) for _ in range(100)]
    pairs = pa.Table.from_batches(make_dataset.rows(random, pictures, rows))
    pairs = pairs.append_column("third", pa.array([row % 3 for row in range(rows)], pa.int32()))
    out = folder / "shards"
    out.mkdir()
    for number in range(shards):
        part = pairs.slice(number * rows // shards, (number + 1) * rows // shards - number * rows // shards)
        pq.write_table(part, out / f"{number:05}.parquet", row_group_size=256, compression="none", use_dictionary=False)
    return out


def table(done, first, what, rows, aims):
    """Rates, and how many times that of each other contender the first one's is: the median of the rounds' ratios."""
    lines = [f"| | {what} (median) | range | {first} ÷ this | ratios of the rounds | aim |", "|---|---|---|---|---|---|"]
    for name, runs in done.items():
        if not runs:
            lines.append(f"| {name} | failed | | | | |")
            continue
        rates = sorted(rows / one.job for one in runs)
        # In one round the machine does much the same for all.
        ratios = sorted(other.job / own.job for own, other in zip(done[first], runs)) if name != first else []
        ratio = f"{statistics.median(ratios):.2f} | {ratios[0]:.2f}–{ratios[-1]:.2f}" if ratios else " | "
        lines.append(f"| {name} | {statistics.median(rates):.1f} | {rates[0]:.1f}–{rates[-1]:.1f} | {ratio} | {aims.get(name, '')} |")
    return "\n".join(lines)


def stream(folder, options):
    """A loop over `stream()` that does nothing."""
    shards, threads = made(folder, options.rows), options.threads
    contenders = {
        "stream() in a loop": timed(*peer("stream", shards, threads, "clip_score > -1")),
        "the command line": timed("sh", "-c", '"$@" > /dev/null', "sh", *ours(shards, "-", "--online", "--where", "clip_score > -1", "--threads", threads, "-q")),
        "datasets, Pillow, onnxruntime": timed(*peer("map", shards, threads, MODEL)),
    }
    done = rounds.interleaved(contenders, options.rounds, options.patience)
    aims = {"the command line": 0.95, "datasets, Pillow, onnxruntime": 1.5}
    return f"### Scoring in a loop, {options.rows} pairs, bundled model, {threads} threads, start-up included\n\n" + table(done, "stream() in a loop", "pairs/s", options.rows, aims)


def filtered(folder, options):
    """The same with a condition on an input column that a third of the rows fulfils."""
    shards, threads = made(folder, options.rows), options.threads
    contenders = {
        "stream() in a loop": timed(*peer("stream", shards, threads, "third = 0 AND clip_score > -1")),
        "map over all rows, then filter": timed(*peer("map", shards, threads, MODEL)),
        "filter, then map": timed(*peer("map", shards, threads, MODEL, "first")),
    }
    done = rounds.interleaved(contenders, options.rounds, options.patience)
    return (
        f"### The same where a condition on a column leaves a third of {options.rows} rows\n\n"
        + table(done, "stream() in a loop", "rows in/s", options.rows, {"map over all rows, then filter": 3})
    )


def loader(folder, options):
    """Image bytes and captions of what was selected, through PyTorch's loader."""
    rows, epochs, workers = options.loader_rows, options.epochs, 2
    shards, selection = made(folder, rows, thumbnails=True), ("--model", "mock", "--min-score", "-1", "--quiet")
    (folder / "kept").mkdir()
    for shard in sorted(shards.iterdir()):
        subprocess.run(ours(shard, folder / "kept" / shard.name, *selection), check=True)
    subprocess.run(ours(shards, folder / "tars", *selection, "--format", "webdataset", "--shard-rows", rows // 8), check=True)
    contenders = {
        "TorchDataset": timed(*peer("torch", folder / "kept", workers, epochs)),
        "webdataset": timed(*peer("webdataset", folder / "tars", workers, epochs)),
        "datasets, streaming": timed(*peer("streaming", folder / "kept", workers, epochs)),
    }
    done = rounds.interleaved(contenders, options.rounds, options.patience)
    counted = {name: sorted({one.said["rows"] for one in runs}) for name, runs in done.items()}
    return (
        f"### Reading a selection: image bytes and captions of {rows} rows, {epochs} epochs, {workers} workers, batches of 64\n\n"
        + table(done, "TorchDataset", "rows/s", rows * epochs, {"webdataset": 2, "datasets, streaming": 2})
        + f"\n\nThe clock runs from the first `iter()`. Eight files each; rows given: {json.dumps(counted)}."
    )


def workers(folder, options):
    """A job by one process and by two at a time, over a mock that sleeps, and takes no core."""
    rows, shards = 32 * 96, made(folder, 32 * 96, thumbnails=True, shards=32)
    words = ["score", shards, "--model", "mock:sleep=10", "--threads", 1, "-q"]

    def job(*parts):
        def run():
            scores = folder / f"scores-{time.monotonic_ns()}"
            line = " ".join(f'"$@" --scores {scores} {part} &' for part in parts)
            return rounds.run(["sh", "-c", line + " wait", "sh", *ours(*words)])

        return run

    import clip_filter

    scores = folder / "counted"
    shares = [clip_filter.score(shards, scores, model="mock", part=f"{part}/2", threads=2).rows_in for part in range(2)]
    contenders = {
        "two, shard after shard": job("", ""),
        "one": job(""),
        "two, --part 0/2 and 1/2": job("--part 0/2", "--part 1/2"),
    }
    done = rounds.interleaved(contenders, options.rounds, options.patience)
    return (
        "### Workers, 32 shards of 96 rows, a mock encoder that sleeps 10 ms for every image, start-up included\n\n"
        + table(done, "two, shard after shard", "rows/s", rows, {"one": 1.9})
        + f"\n\nThe hash of the paths gave the two parts {shares[0]} and {shares[1]} rows: they could not be more than {sum(shares) / max(shares):.2f} times as fast as one."
    )


def memory(folder, options):
    """Peak memory of the processes of a loader over shards that are large once they are read."""
    shards = folder / "large"
    subprocess.run(peer("large", shards, options.gigabytes), check=True)
    lines = ["| | workers | read | largest worker | main process |", "|---|---|---|---|---|"]
    for name, words in {"in order": ["plain"], "shuffle, buffer of 1,000 rows": ["shuffle"]}.items():
        done = rounds.run(peer("memory", shards, 4, *words))
        said = done.said
        lines.append(f"| {name} | 4 | {said['bytes'] / 1e9:.1f} GB | {said['worker'] / 2**20:.0f} MiB | {said['main'] / 2**20:.0f} MiB |")
    return (
        f"### Memory of a loader with 4 workers, {options.gigabytes} GB of pictures of a megabyte in 16 shards, row groups of 64 rows\n\n" + "\n".join(lines)
        + "\n\nPeak resident bytes that a process shares with no other (`Private` of `smaps_rollup`), looked at every 50 ms."
    )


SECTIONS = {one.__name__: one for one in (stream, filtered, loader, workers, memory)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patience", type=int, default=20, help="seconds to wait before each run for a machine that is quiet")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--loader-rows", type=int, default=16000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gigabytes", type=int, default=50)
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--dry", action="store_true", help="do not touch RESULTS.md")
    options = parser.parse_args()
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    stamp, parts = results.stamp(), []
    for name in options.only.split(","):
        with tempfile.TemporaryDirectory(prefix="clip-filter-bench-") as folder:
            parts.append(SECTIONS[name](Path(folder), options))
        print(parts[-1] + "\n")
    if not options.dry:
        words = " ".join(sys.argv[1:])
        results.replace("python", f"## From Python\n\n{stamp}\n\n`python benches/python.py {words}`; {versions()}\n\n" + "\n\n".join(parts))


def versions():
    from importlib.metadata import version

    names = ("datasets", "onnxruntime", "pillow", "pyarrow", "torch", "webdataset")
    return f"Python {sys.version.split()[0]}, " + ", ".join(f"{name} {version(name)}" for name in names)


if __name__ == "__main__":
    main()
