"""Thousands of shards of two rows, end to end with the mock encoder: scored into a store, selected, written; then selected
again from the store. Programs take turns in one run; ratios are to the first.

    python benches/small_shards.py WORK before=target/before/clip-filter after=target/release/clip-filter --shards 10000
"""

import argparse
import io
import resource
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import results


def make(folder: Path, shards: int) -> None:
    """Two PNGs of 8 x 8 a shard, each another colour."""
    if folder.exists():
        return
    folder.mkdir(parents=True)
    for shard in range(shards):
        images = []
        for number in (2 * shard, 2 * shard + 1):
            file = io.BytesIO()
            Image.new("RGB", (8, 8), (number % 256, number // 256 % 256, 7)).save(file, "PNG")
            images.append(file.getvalue())
        captions = [f"photo {shard} {row}" for row in range(2)]
        table = pa.table({"image": images, "caption": captions, "n": [2 * shard, 2 * shard + 1]})
        pq.write_table(table, folder / f"s{shard:06}.parquet")


def timed(command: list[str]) -> tuple[float, float]:
    """Wall and processor seconds."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("programs", nargs="+", metavar="NAME=PATH")
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    programs = dict(program.split("=", 1) for program in args.programs)
    shards = args.work / f"shards-{args.shards}"
    make(shards, args.shards)
    taken: dict[str, dict[str, list[tuple[float, float]]]] = {name: {"all": [], "again": []} for name in programs}
    rows, stamp = {}, results.stamp()
    for turn in range(args.rounds):
        for name, program in programs.items():
            # What is deleted slows the file system down for seconds: everything stays until the end.
            place = args.work / f"{name}-{turn}"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            for what, keep in (("all", "0.5"), ("again", "0.25")):
                output = place / f"{what}.parquet"
                command = [program, str(shards), str(output), "--model", "mock", "--scores", str(place / "scores")]
                taken[name][what].append(timed([*command, "--keep", keep, "--quiet"]))
                table = pq.read_table(output)
                assert rows.setdefault(what, table).equals(table), f"{name} writes other rows"
    lines = [
        "| program | step | wall, s | processor, s | as fast as the first, wall | processor |",
        "|---|---|---|---|---|---|",
    ]
    first = next(iter(programs))
    for name in programs:
        for what in ("all", "again"):
            median = [statistics.median(values) for values in zip(*taken[name][what])]
            base = [statistics.median(values) for values in zip(*taken[first][what])]
            ratios = [f"{one / other:.2f}" for one, other in zip(base, median)]
            lines.append(f"| {name} | {what} | {median[0]:.2f} | {median[1]:.2f} | {ratios[0]} | {ratios[1]} |")
    text = f"""## Small shards

{stamp}

`python benches/small_shards.py WORK NAME=PATH.. --shards {args.shards} --rounds {args.rounds}`; {args.shards} shards of two rows of 8 x 8 pixels, mock encoder, store and output on the disk of the sources; medians, programs in turns. `all`: score, select and write; `again`: select and write from the store. Both write the same rows.

"""
    results.replace("small_shards", text + "\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
