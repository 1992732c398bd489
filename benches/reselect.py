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
import statistics
import subprocess
import sys
import time
from pathlib import Path

import results
from memory import MIB, measured

ROWS, SHARDS, GROUP, LABELS = 10_000_000, 10, 100_000, 1000
KEEP, QUOTA, THREADS, LIMIT = 0.3, 1000, 2, "1GiB"


# --- the data, made in a process of its own


def generate(data, binary):
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    import synthetic_store

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


if __name__ == "__main__" and sys.argv[1] == "--generate":
    generate(Path(sys.argv[2]), Path(sys.argv[3]))
