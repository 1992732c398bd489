#!/usr/bin/env bash
# deltalake 1.6.6, polars 2.1.0, pyiceberg 0.12.0, pyarrow 26.0.1 (Python).
# Guess: a Delta or Iceberg table to which rows were only ever appended reads in the order of the appends, or in no order at all.
# Seen:  each is read newest append first, by deltalake, its SQL, polars and pyiceberg alike, and the same each time; rows of one
#        append stay in order. So every append moves the place of all rows that were there, and `limit` gives the newest.
# Documented: no order is promised.
# Hurts: a loader that resumes by row count ("skip the 6 rows seen") after the table has grown: it skips the new rows, which
#        it has not seen, and repeats old ones. Keep a version or a key, not a place.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile deltalake==1.6.6 polars==2.1.0 'pyiceberg[sql-sqlite,pyarrow]==0.12.0' pyarrow==26.0.1
cd "$dir"
venv/bin/python -W ignore - <<'PY'
import os

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from pyiceberg.catalog.sql import SqlCatalog

os.mkdir("iceberg")
home = os.path.join(os.getcwd(), "iceberg")
catalog = SqlCatalog("c", uri=f"sqlite:///{home}/c.db", warehouse=f"file://{home}")
catalog.create_namespace("n")
iceberg = catalog.create_table("n.t", schema=pa.schema([("row", pa.int64())]))


def append(start):
    rows = pa.table({"row": range(start, start + 3)})
    write_deltalake("delta", rows, mode="append")
    iceberg.append(rows)


def read():
    delta = DeltaTable("delta")
    sql = QueryBuilder().register("t", delta).execute("SELECT * FROM t")
    return {
        "deltalake": delta.to_pyarrow_table()["row"].to_pylist(),
        "deltalake SQL": pa.table(sql)["row"].to_pylist(),
        "polars": pl.scan_delta("delta").collect()["row"].to_list(),
        "pyiceberg": iceberg.scan().to_arrow()["row"].to_pylist(),
    }


for start in (0, 3):
    append(start)
seen = read()
append(6)
grown = read()
for reader in grown:
    after = grown[reader][6:]
    print(f"{reader}: {seen[reader]}, after one more append {grown[reader]}; skipping the 6 seen leaves {after}")
    assert seen[reader] == [3, 4, 5, 0, 1, 2]
    assert grown[reader] == [6, 7, 8, 3, 4, 5, 0, 1, 2]
PY
