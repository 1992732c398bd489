"""Selecting again from stored scores: 10 million rows, three jobs, against DuckDB and Polars; writes the `reselect` section.

    python benches/reselect.py DIR [--binary FILE] [--rounds 3] [--jobs top,threshold,quota]

DIR gets, once, `shards/` (ten Parquet files of pyarrow, zstd, row groups of 100,000 rows), `scores/` (a score store of them) and
`joined/` (the same shards with clip_score already a column: the peers' best case, since nothing is left to join). Jobs:

    top        the best 30 % by clip_score, exactly, equal scores by row order
    threshold  clip_score > T, where T keeps about 30 %
    quota      the best 1,000 of every label, equal scores by row order

Every measurement is a process of its own. A peer's seconds are those of its query alone: interpreter, imports and fsync are outside. Ours
are of the whole process, fsync included. All results of a job must hold the same rows: count and hash of the sorted uids.
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
import synthetic_store

ROWS, SHARDS, GROUP, LABELS = 10_000_000, 10, 100_000, 1000
KEEP, QUOTA, THREADS, LIMIT = 0.3, 1000, 2, "1GiB"


# --- the data, made in a process of its own


def generate(data, binary):
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    began = time.time()
    (data / "shards").mkdir(parents=True)
    (data / "joined").mkdir()
    random = np.random.default_rng(3)
    share = 1 / np.arange(1, LABELS + 1) ** 1.2
    share /= share.sum()
    words = [
        np.array([w.encode() for w in line.split("|")], object)
        for line in ("a man|a woman|two dogs|a brown horse|three children|an old boat|a red bus", "standing|running|sitting|waiting|jumping|resting", "on a beach|in the snow|beside a river|under a bridge|on a busy street", "at sunset|in the morning|on a rainy day|under a clear sky|at night")
    ]
    phrases = [b" ".join((a, b, c, d)) for a in words[0] for b in words[1] for c in words[2] for d in words[3]]
    shards, scores, rows = [], [], ROWS // SHARDS
    for number in range(SHARDS):
        hexes = pa.py_buffer(random.bytes(rows * 16).hex().encode())
        uid = pa.StringArray.from_buffers(rows, pa.py_buffer(np.arange(0, rows * 32 + 1, 32, dtype=np.int32)), hexes)
        stubs = pa.BinaryArray.from_buffers(pa.binary(), rows, [None, pa.py_buffer(np.arange(0, rows * 8 + 1, 8, dtype=np.int32)), pa.py_buffer(random.bytes(rows * 8))])
        image = pa.StructArray.from_arrays([stubs, pa.nulls(rows, pa.string())], ["bytes", "path"])
        text = pa.DictionaryArray.from_arrays(pa.array(random.integers(0, len(phrases), rows).astype(np.int32)), pa.array(phrases, pa.string())).cast(pa.string())
        score = np.round(random.normal(0.25, 0.05, rows), 6).astype(np.float32)
        score[random.random(rows) < 0.001] = np.nan
        table = pa.table(
            {"uid": uid, "image": image, "text": text, "label": pa.array(random.choice(LABELS, rows, p=share)), "original_width": pa.array(random.integers(64, 4096, rows))}
        )
        path = data / "shards" / f"part-{number:05}.parquet"
        plain = {"row_group_size": GROUP, "compression": "zstd", "use_dictionary": ["text", "label", "original_width"]}
        pq.write_table(table, path, **plain)
        joined = table.append_column("clip_score", pa.array(score, mask=np.isnan(score)))
        pq.write_table(joined, data / "joined" / path.name, **plain)
        shards.append(path)
        scores.append(score)
    synthetic_store.make(binary, data / "scores", shards, scores)
    good = np.concatenate(scores)
    good = np.sort(good[~np.isnan(good)])
    keep = (2 * 3 * len(good) + 10) // 20  # round half up of 0.3 x good, as --keep does
    facts = {"rows": ROWS, "good": len(good), "keep": int(keep), "threshold": round(float(np.quantile(good, 0.7)), 3), "cut": float(good[-keep])}
    facts["bytes"] = {name: sum(p.stat().st_size for p in (data / name).rglob("*") if p.is_file()) for name in ("shards", "scores", "joined")}
    (data / "facts.json").write_text(json.dumps(facts))
    print(facts, f"{time.time() - began:.0f} s", file=sys.stderr)


# --- peers, each job in a process of its own


def duckdb_job(job, data, form, out):
    import duckdb

    facts, (form, codec) = json.loads((data / "facts.json").read_text()), form.split("-")
    keep, good, threshold = facts["keep"], facts["good"], facts["threshold"]
    base = duckdb.connect()
    base.execute(f"SET threads={THREADS}")
    joined = f"read_parquet('{data}/joined/*.parquet', filename=true, file_row_number=true)"
    scattered = (
        f"(SELECT s.*, t.clip_score FROM read_parquet('{data}/shards/*.parquet', filename=true, file_row_number=true) s "
        f"JOIN read_parquet('{data}/scores/scores/*.parquet') t ON t.shard = s.filename AND t.row = s.file_row_number)"
    )
    pairs = joined if form == "joined" else scattered
    scores = joined if form == "joined" else f"read_parquet('{data}/scores/scores/*.parquet')"
    value = lambda sql: base.execute(sql).fetchone()[0]
    write = lambda sql: base.execute(f"COPY ({sql}) TO '{out}' (FORMAT parquet, COMPRESSION {codec})")

    def cut():
        return value(f"SELECT quantile_disc(clip_score, 1 - {keep}::DOUBLE / {good}) FROM {scores}")

    def top(columns):
        at = f"{cut()!r}::FLOAT"
        ties = keep - value(f"SELECT count(*) FROM {scores} WHERE clip_score > {at}")
        tied = f"SELECT {columns} FROM {pairs} WHERE clip_score = {at} ORDER BY filename, file_row_number LIMIT {ties}"
        write(f"SELECT {columns} FROM {pairs} WHERE clip_score > {at} UNION ALL ({tied})")

    def quota():
        # Without the cuts the window sorts ten million rows, which takes four times as long.
        source = joined if form == "joined" else f"(SELECT label, clip_score FROM {scattered})"
        cuts = f"SELECT label, list_min(max(clip_score, {QUOTA})) AS cut FROM {source} GROUP BY label"
        place = "row_number() OVER (PARTITION BY label ORDER BY clip_score DESC, filename, file_row_number)"
        write(f"WITH cuts AS ({cuts}) SELECT uid, label, clip_score FROM {pairs} JOIN cuts USING (label) WHERE clip_score >= cut QUALIFY {place} <= {QUOTA}")

    return {
        "select": cut,
        "top": lambda: top("uid, clip_score"),
        "all": lambda: top("* EXCLUDE (filename, file_row_number)"),
        "threshold": lambda: write(f"SELECT uid, clip_score FROM {pairs} WHERE clip_score > {threshold}"),
        "quota": quota,
    }[job]


def polars_job(job, data, form, out):
    import polars as pl

    facts, (form, codec) = json.loads((data / "facts.json").read_text()), form.split("-")
    keep, good, threshold = facts["keep"], facts["good"], facts["threshold"]
    score, shards = pl.col("clip_score"), synthetic_store.lists(data / "scores")[2]
    if form == "joined":
        pairs = scores = pl.scan_parquet(f"{data}/joined/*.parquet")
    else:  # side by side by position, which only holds for a store without gaps
        scores = pl.scan_parquet([shard["scores"] for shard in shards]).select("clip_score")
        pairs = pl.concat([pl.scan_parquet([shard["path"] for shard in shards]), scores], how="horizontal")
    write = lambda frame: frame.sink_parquet(out, compression=codec)

    def cut(values=None):
        values = scores.select("clip_score").collect()["clip_score"] if values is None else values
        return values.quantile((good - keep) / (good - 1), "nearest")

    def top(columns):
        values = scores.select("clip_score").collect()["clip_score"]
        at = cut(values)
        last = (values == at).arg_true()[keep - (values > at).sum() - 1]
        kept = pairs.with_row_index("__i").filter((score > at) | ((score == at) & (pl.col("__i") <= last)))
        write(kept.select(columns))

    def quota():
        cuts = pairs.select("label", "clip_score").group_by("label").agg(score.top_k(QUOTA).min().alias("cut")).collect()
        able = pairs.select("uid", "label", "clip_score").join(cuts.lazy(), on="label", maintain_order="left").filter(score >= pl.col("cut")).collect()
        write(able.lazy().filter(score.rank("ordinal", descending=True).over("label") <= QUOTA).select("uid", "label", "clip_score"))

    return {
        "select": cut,
        "top": lambda: top(["uid", "clip_score"]),
        "all": lambda: top(pl.exclude("__i")),
        "threshold": lambda: write(pairs.filter(score > threshold).select("uid", "clip_score")),
        "quota": quota,
    }[job]


PEERS = {"duckdb": duckdb_job, "polars": polars_job}


def peer(name, job, data, form, out):
    """Runs a job of a peer; seconds of the query, and of the fsync that it leaves to the system."""
    os.environ["POLARS_MAX_THREADS"] = str(THREADS)
    work = PEERS[name](job, data, form, out)
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    if out.exists():
        with open(out) as file:
            os.fsync(file.fileno())
    print(json.dumps({"job_seconds": seconds, "sync_seconds": time.perf_counter() - began, "version": __import__(name).__version__}))


def digest(path):
    """Rows of a result and a hash of their sorted uids."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    uids = pq.read_table(path, columns=["uid"])["uid"].combine_chunks()
    ordered = uids.take(pc.sort_indices(uids)).cast("string")
    hashed = hashlib.sha256(ordered.buffers()[2].to_pybytes()[: len(ordered) * 32])
    print(json.dumps({"rows": len(ordered), "hash": hashed.hexdigest()[:16], "bytes": path.stat().st_size}))


# --- ours


def queries(facts):
    """What each job is in our SQL."""
    good, keep = facts["good"], facts["keep"]
    cut = f"(SELECT percentile_cont({good - keep} / CAST({good - 1} AS DOUBLE)) WITHIN GROUP (ORDER BY clip_score) FROM pairs)"
    place = "row_number() OVER (PARTITION BY label ORDER BY clip_score DESC, __shard, __row)"
    return {
        "top": f"WITH tied AS (SELECT __shard AS s, __row AS r, clip_score AS cut, row_number() OVER (ORDER BY __shard, __row) AS place FROM pairs WHERE clip_score = {cut}), "
        f"last AS (SELECT s, r, cut FROM tied WHERE place = {keep} - (SELECT count(*) FROM pairs WHERE clip_score > {cut})) "
        "SELECT uid, clip_score FROM last, pairs WHERE clip_score > cut OR (clip_score = cut AND (__shard < s OR (__shard = s AND __row <= r)))",
        "top, all of equal scores": f"SELECT uid, clip_score FROM pairs WHERE clip_score >= {cut}",
        "threshold": f"SELECT uid, clip_score FROM pairs WHERE clip_score > {facts['threshold']}",
        "quota, in one": f"SELECT uid, label, clip_score FROM (SELECT uid, label, clip_score, {place} AS place FROM pairs WHERE clip_score IS NOT NULL) WHERE place <= {QUOTA}",
        # Partitioned by the column of the cuts: by that of the pairs, DataFusion 55 sorts all of them before it joins.
        "quota, kth_best": f"SELECT uid, label, clip_score FROM (SELECT uid, label, clip_score, {place.replace('label', 'cut_label')} AS place FROM (SELECT label AS cut_label, kth_best(clip_score, {QUOTA}) AS cut FROM pairs GROUP BY label) "
        f"JOIN pairs ON (label = cut_label) AND clip_score >= cut) WHERE place <= {QUOTA}",
    }


def ours(binary, data, job, out):
    """Command lines of a job, by what to call them."""
    facts = json.loads((data / "facts.json").read_text())
    common = ["--scores", data / "scores", "--threads", THREADS, "--memory-limit", LIMIT]
    sql = lambda *words: [binary, "sql", "--input", f"pairs={data}/shards", *common, "--quiet", "--overwrite", "-o", out, *words]
    query = queries(facts)
    return {
        "select": {"--dry-run --keep": [binary, data / "shards", "--dry-run", "--keep", KEEP, *common, "--json"]},
        "all": {"--keep": [binary, data / "shards", out, "--keep", KEEP, *common, "--json", "--overwrite"]},
        "top": {"sql": sql(query["top"]), "sql, all of equal scores": sql(query["top, all of equal scores"]), "sql, recipe datacomp-clip-top30 (all columns)": sql("--recipe", "datacomp-clip-top30")},
        "threshold": {"sql": sql(query["threshold"])},
        "quota": {"sql, kth_best": sql(query["quota, kth_best"]), "sql, window only": sql(query["quota, in one"]), "sql, recipe class-quota (all columns)": sql("--recipe", "class-quota")},
    }[job]


# Rows that are meant to differ, and columns that do: not compared, and not in the ratio.
ASIDE = ("sql, all of equal scores", "sql, recipe datacomp-clip-top30 (all columns)", "sql, recipe class-quota (all columns)")
TITLES = {
    "select": "Deciding the best 30 %, nothing written (peers: the cut alone)",
    "top": "(a) Best 30 % exactly: uid, clip_score",
    "all": "(a) Best 30 % exactly: every column",
    "threshold": "(b) clip_score > T: uid, clip_score",
    "quota": "(c) Best 1,000 of every label: uid, label, clip_score",
}


def job_table(job, options, data):
    """Measures a job; its lines of Markdown, and whether all kept the same rows."""
    out = data / "out"
    out.mkdir(exist_ok=True)
    me, python = Path(__file__).absolute(), sys.executable
    contenders, files = {}, {}

    def add(name, command, file):
        file.unlink(missing_ok=True)
        files[name] = file
        contenders[name] = lambda: rounds.run(command)

    for number, name in enumerate(ours(options.binary, data, job, "")):
        file = out / f"ours-{number}.parquet"
        add(f"clip-filter {name}", ours(options.binary, data, job, file)[name], file)
    forms = ("joined-snappy",) if job == "select" else ("joined-snappy", "joined-zstd", "scattered-snappy")
    for tool in PEERS:
        for form in forms:
            file = out / f"{tool}-{form}.parquet"
            add(f"{tool} {form}", [python, me, "--peer", tool, job, data, form, file], file)
    done = rounds.interleaved(contenders, options.rounds, options.patience)

    digests = {name: rounds.run([python, me, "--digest", file]).said for name, file in files.items() if done[name] and file.exists()}
    compared = {name: (d["rows"], d["hash"]) for name, d in digests.items() if not name.endswith(ASIDE)}
    same = len(set(compared.values())) <= 1
    own = {name: runs for name, runs in done.items() if name.startswith("clip") and runs and not name.endswith(ASIDE)}
    own = min((rounds.least(runs, "job") for runs in own.values()), default=float("nan"))
    lines = [f"### {TITLES[job]}\n", "| | s (min) | s (median) | process s | cpu s | fsync after | peak RSS | ours ÷ this | rows | output |", "|---|---|---|---|---|---|---|---|---|---|"]
    for name, runs in done.items():
        if not runs:
            lines.append(f"| {name} | fails under {LIMIT} | | | | | | | | |")
            continue
        d, sync = digests.get(name, {}), [one.said["sync_seconds"] for one in runs if "sync_seconds" in one.said]
        ratio = "" if name.startswith("clip") else f"{own / rounds.least(runs, 'job'):.2f}"
        sync = f"{min(sync):.2f}" if sync and d else "within" if d else ""
        kept = f"{d['rows']:,} | {d['bytes'] / 1e6:.0f} MB" if d else " | "
        lines.append(f"| {name} | {rounds.least(runs, 'job'):.2f} | {rounds.median(runs, 'job'):.2f} | {rounds.least(runs, 'wall'):.2f} | {rounds.least(runs, 'cpu'):.2f} | {sync} | {rounds.peak(runs):.0f} MiB | {ratio} | {kept} |")
    if compared:
        lines.append(f"\n{'The same rows everywhere' if same else 'ROWS DIFFER'}: {', '.join(sorted({f'{rows:,} rows, {hashed}' for rows, hashed in compared.values()}))}.")
    versions = {name.split()[0]: runs[-1].said["version"] for name, runs in done.items() if runs and "version" in runs[-1].said}
    return "\n".join(lines), same, versions


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--binary", type=Path, default=results.ROOT / "target/release/clip-filter")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", default=",".join(TITLES))
    parser.add_argument("--patience", type=float, default=20, help="seconds to wait before each measurement for other work on the machine to pause")
    parser.add_argument("--dry", action="store_true", help="do not touch RESULTS.md")
    options = parser.parse_args()
    data, options.binary, stamp = options.data.absolute(), options.binary.absolute(), results.stamp()
    if not (data / "facts.json").exists():
        subprocess.run([sys.executable, __file__, "--generate", str(data), str(options.binary)], check=True)
    facts = json.loads((data / "facts.json").read_text())
    parts, versions, right = [], {}, True
    for job in options.jobs.split(","):
        part, same, used = job_table(job, options, data)
        print(part, "\n")
        parts.append(part)
        versions, right = versions | used, right and same
    sizes = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in facts["bytes"].items())
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    text = (
        f"## Selecting again from stored scores\n\n{stamp}, after it {os.getloadavg()[0]:.1f}; binary of {time.strftime('%Y-%m-%d %H:%M', time.localtime(options.binary.stat().st_mtime))}\n\n`python benches/reselect.py DIR --rounds {options.rounds}`; {named}, Python {sys.version.split()[0]}. "
        f"{facts['rows']:,} rows in {SHARDS} shards ({sizes}), files in the page cache, {THREADS} threads each; clip-filter with `--memory-limit {LIMIT}`, peers without a limit. "
        "A peer's seconds are its query's alone, ours are the process's, fsync within. `joined`: clip_score is a column of the shards already (nothing to join, the peers' best case); "
        "`scattered`: shards and files of scores as clip-filter reads them (DuckDB joins by shard and row, Polars puts them side by side). clip-filter writes zstd.\n\n"
    )
    if not options.dry:
        results.replace("reselect", text + "\n\n".join(parts))
    sys.exit(not right)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--generate", data, binary]:
            generate(Path(data), Path(binary))
        case ["--peer", name, job, data, form, out]:
            peer(name, job, Path(data), form, Path(out))
        case ["--digest", path]:
            digest(Path(path))
        case _:
            main()
