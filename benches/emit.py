"""Writing the selected rows of image Parquet: 40,000 pairs, 3 GB, against DuckDB, Polars and pyarrow; writes the `emit` section.

    python benches/emit.py DIR [--binary FILE] [--rounds 3] [--cases keep,keep-unsynced,cold,ram,all,all-unsynced,part] [--ram /dev/shm]

DIR gets, once, four shards of ten row groups of 1,000 rows each, images of 50 to 100 kB of random bytes, in two layouts: `plain/` (pyarrow's
defaults: snappy, dictionaries, no page index) and `paged/` (image column neither compressed nor with a dictionary, page index); a score
store of both; and for the peers `joined-plain/` and `joined-paged/`, where clip_score is a column already. Cases:

    keep   the best 30 %, scattered over all row groups; files in the page cache
    cold   the same, page cache dropped before every run (needs root)
    ram    the same as `keep`, output in RAM: what the disk's part is
    all    every row: only a column is added
    part   a condition on a sorted column that keeps whole row groups
    keep-unsynced, all-unsynced
           the same with a library loaded before all others that makes syncing a file do nothing, for ours and for peers alike (needs cc)

Ours are seconds of the process, fsync within. A peer's are its query's alone; what an fsync of its output then takes is a column of its own.
All outputs must hold the same rows in the same order, with the same bytes.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import results
import rounds

SHARDS, GROUPS, GROUP, THREADS, LIMIT = 4, 10, 1000, 2, "1GiB"
KEEP = 0.3


# --- the data, made in a process of its own


def generate(data, binary):
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    import synthetic_store

    random = np.random.default_rng(5)
    image_alone = {"uid": "zstd", "image.bytes": "none", "image.path": "zstd", "text": "zstd", "part": "zstd", "clip_score": "none"}
    forms = {"plain": {}, "paged": {"compression": image_alone, "use_dictionary": ["text"], "write_page_index": True}}
    layouts = {prefix + name: form for prefix in ("", "joined-") for name, form in forms.items()}
    for name in layouts:
        (data / name).mkdir(parents=True)
    scores = []
    for shard in range(SHARDS):
        files = {name: data / name / f"part-{shard:05}.parquet" for name in layouts}
        writers, shard_scores = {}, []
        for group in range(GROUPS):
            lengths = random.integers(50_000, 100_001, GROUP)
            ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
            blob = pa.BinaryArray.from_buffers(pa.binary(), GROUP, [None, pa.py_buffer(ends), pa.py_buffer(random.bytes(int(ends[-1])))])
            number = (shard * GROUPS + group) * GROUP
            table = pa.table(
                {
                    "uid": [hashlib.md5(str(number + i).encode()).hexdigest() for i in range(GROUP)],
                    "image": pa.StructArray.from_arrays([blob, pa.nulls(GROUP, pa.string())], ["bytes", "path"]),
                    "text": [f"a picture of thing number {number + i} on a table" for i in range(GROUP)],
                    "part": pa.array(np.full(GROUP, (shard * GROUPS + group) * 10 // (SHARDS * GROUPS))),
                }
            )
            score = random.normal(0.25, 0.05, GROUP).astype(np.float32)
            score[random.random(GROUP) < 0.001] = np.nan
            shard_scores.append(score)
            joined = table.append_column("clip_score", pa.array(score, mask=np.isnan(score)))
            for name, layout in layouts.items():
                part = joined if name.startswith("joined") else table
                if name not in writers:
                    if "compression" in layout:
                        layout = layout | {"compression": {k: v for k, v in image_alone.items() if k.split(".")[0] in part.column_names}}
                    writers[name] = pq.ParquetWriter(files[name], part.schema, **layout)
                writers[name].write_table(part, row_group_size=GROUP)
        for writer in writers.values():
            writer.close()
        scores.append(np.concatenate(shard_scores))
    shards = [data / name / f"part-{shard:05}.parquet" for name in ("plain", "paged") for shard in range(SHARDS)]
    synthetic_store.make(binary, data / "scores", shards, scores * 2)
    good = np.concatenate(scores)
    good = np.sort(good[~np.isnan(good)])
    keep = (2 * 3 * len(good) + 10) // 20  # round half up of 0.3 x good, as --keep does
    assert good[-keep] > good[-keep - 1], "equal scores at the cut: another seed"
    facts = {"rows": SHARDS * GROUPS * GROUP, "good": len(good), "keep": keep, "cut": float(good[-keep])}
    facts["bytes"] = {name: sum(p.stat().st_size for p in (data / name).glob("*.parquet")) for name in layouts}
    (data / "facts.json").write_text(json.dumps(facts))
    print(facts, file=sys.stderr)


# --- contenders


CASES = {
    "keep": ("Keep 0.3, page cache warm", ["--keep", KEEP], "clip_score >= {cut}"),
    "cold": ("Keep 0.3, page cache dropped", ["--keep", KEEP], "clip_score >= {cut}"),
    "ram": ("Keep 0.3, output in RAM", ["--keep", KEEP], "clip_score >= {cut}"),
    "all": ("Keep 1.0: every good row, a column added", ["--keep", "1.0"], "clip_score IS NOT NULL"),
    "keep-unsynced": ("Keep 0.3, page cache warm, nothing synced", ["--keep", KEEP], "clip_score >= {cut}"),
    "all-unsynced": ("Keep 1.0, nothing synced", ["--keep", "1.0"], "clip_score IS NOT NULL"),
    "part": ('Whole row groups: `--where "part < 3"`', ["--where", "part < 3"], "part < 3 AND clip_score IS NOT NULL"),
}


def condition(case, data):
    cut = json.loads((data / "facts.json").read_text())["cut"]
    return cut, CASES[case][2].format(cut=f"{cut!r}::FLOAT")


def duckdb_job(case, joined, codec, out):
    import duckdb

    base = duckdb.connect()
    base.execute(f"SET threads={THREADS}")
    where = condition(case, joined.parent)[1]
    # A row group is a thousand rows as in the input; DuckDB's default of 122,880 would hold all the images at one time.
    form = f"FORMAT parquet, COMPRESSION {codec}, ROW_GROUP_SIZE 2048"
    return lambda: base.execute(f"COPY (SELECT * FROM read_parquet('{joined}/*.parquet') WHERE {where}) TO '{out}' ({form})")


def polars_job(case, joined, codec, out):
    import polars as pl

    cut, score = condition(case, joined.parent)[0], pl.col("clip_score")
    kept = {"all": score.is_not_null(), "part": (pl.col("part") < 3) & score.is_not_null()}.get(case.split("-")[0], score >= cut)
    frame = pl.scan_parquet(f"{joined}/*.parquet").filter(kept)
    return lambda: frame.sink_parquet(out, compression=codec, row_group_size=GROUP)


def pyarrow_job(case, joined, codec, out):
    import numpy as np
    import pyarrow as pa
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    pa.set_cpu_count(THREADS)
    cut, score = condition(case, joined.parent)[0], ds.field("clip_score")
    kept = {"all": score.is_valid(), "part": (ds.field("part") < 3) & score.is_valid()}.get(case.split("-")[0], score >= pa.scalar(np.float32(cut)))
    codec = "none" if codec == "uncompressed" else codec

    def work():
        scanner = ds.dataset(sorted(joined.glob("*.parquet"))).scanner(filter=kept, batch_size=GROUP, batch_readahead=2, fragment_readahead=1)
        waiting, rows = [], 0
        with pq.ParquetWriter(out, scanner.projected_schema, compression=codec, use_dictionary=["text"]) as writer:
            for batch in scanner.to_batches():
                waiting, rows = [*waiting, batch], rows + batch.num_rows
                if rows >= GROUP:
                    writer.write_table(pa.Table.from_batches(waiting), row_group_size=rows)
                    waiting, rows = [], 0
            if rows:
                writer.write_table(pa.Table.from_batches(waiting), row_group_size=rows)

    return work


PEERS = {"duckdb": duckdb_job, "polars": polars_job, "pyarrow": pyarrow_job}


def peer(name, case, joined, codec, out):
    os.environ["POLARS_MAX_THREADS"] = str(THREADS)
    work = PEERS[name](case, joined, codec, out)
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    with open(out) as file:
        os.fsync(file.fileno())
    print(json.dumps({"job_seconds": seconds, "sync_seconds": time.perf_counter() - began, "version": __import__(name).__version__}))


def digest(path):
    """Rows of an output, in their order, and a hash of keys and images."""
    import pyarrow.parquet as pq

    file, hashed, rows = pq.ParquetFile(path), hashlib.sha256(), 0
    for batch in file.iter_batches(batch_size=256, columns=["uid", "image.bytes"]):
        rows += len(batch)
        for uid, image in zip(batch["uid"].to_pylist(), batch["image"].field("bytes")):
            hashed.update(uid.encode())
            hashed.update(image.as_buffer())
    print(json.dumps({"rows": rows, "hash": hashed.hexdigest()[:16], "bytes": path.stat().st_size, "groups": file.metadata.num_row_groups}))


UNSYNCED = """
int fsync(int file) { return 0; }
int fdatasync(int file) { return 0; }
int sync_file_range(int file, long from, long bytes, unsigned flags) { return 0; }
"""


def unsynced(folder):
    """The environment of a process that syncs no file."""
    library = folder / "unsynced.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library], input=UNSYNCED, text=True, check=True)
    return os.environ | {"LD_PRELOAD": str(library)}


def drop_cache():
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def read_all(folder):
    """Into the page cache."""
    for path in sorted(folder.glob("*.parquet")):
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 24):
                pass


def case_table(case, options, data):
    title, selection, _ = CASES[case]
    out = Path(options.ram, f"clip-filter-emit-{os.getpid()}") if case == "ram" else data / "out"
    out.mkdir(exist_ok=True)
    contenders, files = {}, {}
    environment = unsynced(out) if case.endswith("unsynced") else None

    def add(name, command, file):
        files[name] = file

        def contender():
            # One output at a time; the space of the one before is free and its pages are written.
            for old in files.values():
                old.unlink(missing_ok=True)
            os.sync()
            if case == "cold":
                drop_cache()
            done = rounds.run(command, environment)
            if done and name not in digests:
                digests[name] = rounds.run([sys.executable, __file__, "--digest", file]).said
            return done

        contenders[name] = contender

    digests = {}
    for layout in ("plain", "paged"):
        file = out / f"ours-{layout}.parquet"
        command = [options.binary, data / layout, file, "--scores", data / "scores", "--threads", THREADS, "--memory-limit", LIMIT, *selection, "--json", "--overwrite"]
        add(f"clip-filter, {layout}", command, file)
    for tool in PEERS:
        for layout, codec in (("plain", "snappy"), ("plain", "uncompressed"), ("paged", "uncompressed")):
            file = out / f"{tool}-{layout}-{codec}.parquet"
            add(f"{tool}, {layout}, {codec}", [sys.executable, __file__, "--peer", tool, case, data / f"joined-{layout}", codec, file], file)
    if case != "cold":
        for layout in ("plain", "paged", "joined-plain", "joined-paged"):
            read_all(data / layout)
    done = rounds.interleaved(contenders, options.rounds, options.patience)
    for file in files.values():
        file.unlink(missing_ok=True)
    if environment:
        (out / "unsynced.so").unlink()
    if case == "ram":
        out.rmdir()

    same = len({(d["rows"], d["hash"]) for d in digests.values()}) == 1
    own = {layout: rounds.least(done[f"clip-filter, {layout}"], "job") for layout in ("plain", "paged")}
    lines = [f"### {title}\n", "| | s (min) | s (median) | cpu s | fsync after | peak RSS | ours ÷ this | ours ÷ this with fsync | output |", "|---|---|---|---|---|---|---|---|---|"]
    for name, runs in done.items():
        if not runs:
            lines.append(f"| {name} | fails | | | | | | | |")
            continue
        sync = "within", "", ""
        if not name.startswith("clip"):
            least = min(one.job + one.said["sync_seconds"] for one in runs)
            ours = own[name.split(", ")[1]]
            sync = f"{min(one.said['sync_seconds'] for one in runs):.2f}", f"{ours / rounds.least(runs, 'job'):.2f}", f"{ours / least:.2f}"
        size = f"{digests[name]['bytes'] / 1e9:.2f} GB, {digests[name]['groups']} groups"
        lines.append(f"| {name} | {rounds.least(runs, 'job'):.2f} | {rounds.median(runs, 'job'):.2f} | {rounds.least(runs, 'cpu'):.2f} | {sync[0]} | {rounds.peak(runs):.0f} MiB | {sync[1]} | {sync[2]} | {size} |")
    lines.append("")
    for layout, seconds in own.items():
        peers = {name: runs for name, runs in done.items() if name.endswith(f"{layout}, uncompressed") and runs}
        fastest = min(peers, key=lambda name: rounds.least(peers[name], "job"))
        synced = min(peers, key=lambda name: min(one.job + one.said["sync_seconds"] for one in peers[name]))
        against = rounds.least(peers[fastest], "job"), min(one.job + one.said["sync_seconds"] for one in peers[synced])
        middle = rounds.median(done[f"clip-filter, {layout}"], "job") / min(rounds.median(runs, "job") for runs in peers.values())
        lines.append(
            f"- {layout}: {seconds / against[0]:.2f} of the fastest that writes the same codec ({fastest.split(',')[0]}), by medians {middle:.2f}; "
            f"{seconds / against[1]:.2f} with its output synced ({synced.split(',')[0]})"
        )
    lines.append(f"\n{'The same rows, order and bytes everywhere' if same else 'OUTPUTS DIFFER'}: {next(iter(digests.values()))['rows']:,} rows.")
    versions = {name.split(",")[0]: runs[-1].said["version"] for name, runs in done.items() if runs and "version" in runs[-1].said}
    return "\n".join(lines), same, versions


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--binary", type=Path, default=results.ROOT / "target/release/clip-filter")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--ram", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--patience", type=float, default=20, help="seconds to wait before each measurement for other work on the machine to pause")
    parser.add_argument("--dry", action="store_true", help="do not touch RESULTS.md")
    options = parser.parse_args()
    data, options.binary, stamp = options.data.absolute(), options.binary.absolute(), results.stamp()
    if not (data / "facts.json").exists():
        subprocess.run([sys.executable, __file__, "--generate", str(data), str(options.binary)], check=True)
    facts = json.loads((data / "facts.json").read_text())
    parts, versions, right = [], {}, True
    for case in options.cases.split(","):
        part, same, used = case_table(case, options, data)
        print(part, "\n")
        parts.append(part)
        versions, right = versions | used, right and same
    sizes = ", ".join(f"{name} {size / 1e9:.2f} GB" for name, size in facts["bytes"].items())
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    text = (
        f"## Writing the selected rows\n\n{stamp}, after it {os.getloadavg()[0]:.1f}; binary of {time.strftime('%Y-%m-%d %H:%M', time.localtime(options.binary.stat().st_mtime))}\n\n`python benches/emit.py DIR --rounds {options.rounds}`; {named}, Python {sys.version.split()[0]}. "
        f"{facts['rows']:,} rows of 50 to 100 kB in {SHARDS} shards of {GROUPS} row groups ({sizes}); {THREADS} threads each; `clip-filter IN OUT --scores DIR --memory-limit {LIMIT}` "
        "reads shards and scores, and syncs its output within its time; peers, without a limit, find clip_score in the shards already, and do not sync: what that takes afterwards is named. "
        "Named are the layout that is read (`plain`: snappy and dictionaries, `paged`: images stored as they are, with a page index) and, of peers, the codec that is written; clip-filter always stores "
        "images as they are. Ratios are within a layout.\n\n"
    )
    if not options.dry:
        results.replace("emit", text + "\n\n".join(parts))
    sys.exit(not right)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--generate", data, binary]:
            generate(Path(data), Path(binary))
        case ["--peer", name, job, data, codec, out]:
            peer(name, job, Path(data), codec, Path(out))
        case ["--digest", path]:
            digest(Path(path))
        case _:
            main()
