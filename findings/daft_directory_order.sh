#!/usr/bin/env bash
# daft 0.7.26.
# Guess: a directory or a glob of shards is read in the order of the names, as most readers do.
# Seen:  in the order in which the file system lists them, which differs between disks and copies. Row numbers, `limit` and the
#        first rows follow it. So does the schema, which is that of the file listed first: if that file lacks `clip_score`,
#        the column of all other files is lost without a word. An explicit list of paths is read as given.
# Documented: no (`path: Path to Parquet file`, with wildcards).
# Hurts: a row number kept from one machine means another row on the next; scored shards mixed with unscored lose their scores.
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
os.mkdir("shards")
for shard in (5, 2, 9, 0, 7, 11, 3, 8, 1, 10, 4, 6):  # no file system lists these by name by chance
    pq.write_table(pa.table({"shard": [shard] * 2}), f"shards/{shard:05}.parquet")
listed = [int(entry.name[:5]) for entry in os.scandir("shards")]
by_name = sorted(listed)


def read(source):
    return daft.read_parquet(source).to_pydict()["shard"][::2]


print("listed by the file system:", listed)
print("directory:                ", read("shards"))
print("glob:                     ", read("shards/*.parquet"))
print("list of paths:            ", read([f"shards/{s:05}.parquet" for s in by_name]))
assert listed != by_name
assert read("shards") == read("shards/*.parquet") == listed
assert read([f"shards/{s:05}.parquet" for s in by_name]) == by_name

for shard in listed[1:]:
    scored = pa.table({"shard": [shard] * 2, "clip_score": [0.3, 0.2]})
    pq.write_table(scored, f"shards/{shard:05}.parquet")
columns = daft.read_parquet("shards").column_names
print(f"11 of 12 shards have clip_score, the one listed first ({listed[0]}) has not: columns {columns}")
assert columns == ["shard"], columns
PY
