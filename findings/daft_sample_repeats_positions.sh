#!/usr/bin/env bash
# daft 0.7.26.
# Guess: `sample(fraction=0.01, seed=7)` draws each row by itself: of 80 rows drawn from 8 files hardly two share their position.
# Seen:  the seed starts anew for every piece that is read (a row group), so the same positions are drawn from each: 80 rows,
#        one position. The fraction is rounded up per piece: 5 % of 100 files of 7 rows is 100 rows, 14 %. In-memory data
#        of one piece and a sample without a seed are drawn as guessed.
# Documented: no (`seed: random seed`).
# Hurts: files written alike (sorted by source, class or score, or a positive beside its negatives) give a sample of one kind; a
#        threshold estimated from it is off by far more than its size says, and asking for 1 % of small files gives far more.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile daft==0.7.26 pyarrow==25.0.1
cd "$dir"
venv/bin/python - <<'PY'
import os

import daft
import pyarrow as pa
import pyarrow.parquet as pq

daft.set_runner_native()
for folder, files, rows in (("large", 8, 1000), ("small", 100, 7)):
    os.mkdir(folder)
    for file in range(files):
        shard = pa.table({"file": [file] * rows, "position": range(rows)})
        pq.write_table(shard, f"{folder}/{file:05}.parquet", row_group_size=100)


def sample(data, **options):
    return data.sample(**options).to_pydict()["position"]


large = daft.read_parquet("large/*.parquet")
seeded = [p % 100 for p in sample(large, fraction=0.01, seed=7)]
unseeded = [p % 100 for p in sample(large, fraction=0.01)]
memory = [p % 100 for p in sample(daft.from_pydict({"position": list(range(8000))}), fraction=0.01, seed=7)]
small = sample(daft.read_parquet("small/*.parquet"), fraction=0.05, seed=7)
for name, drawn in (("8 files, seed 7", seeded), ("8 files, no seed", unseeded), ("in memory, seed 7", memory)):
    print(f"{name}: {len(drawn)} rows at {len(set(drawn))} positions of their hundred")
print(f"5 % of 100 files of 7 rows: {len(small)} of 700 rows")
assert len(seeded) == 80 and len(set(seeded)) == 1
assert len(set(unseeded)) > 20 and len(set(memory)) > 20
assert len(small) == 100
PY
