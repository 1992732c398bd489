#!/usr/bin/env bash
# datafusion 55.0.0 (Python), pyarrow 26.0.1, polars 2.1.0, duckdb 2.0.1, deltalake 1.6.6.
# Guess: NaN makes comparisons odd, but `SELECT score` gives back the NaN that is in the file.
# Seen:  where the other values of a Parquet file are all equal, DataFusion reads NaN as that value. Its writer keeps NaN out of
#        min and max (as Arrow's and polars' do); DataFusion sees min = max and no nulls, and puts the constant in the place of the
#        column without reading it. COPY then writes the wrong value down. -0.0 beside 0.0 changes in the same way in files by
#        DuckDB. Files by DuckDB with NaN are safe: they have no min and max. In deltalake, which is built on DataFusion, a plain
#        SELECT is right, and `delete("score < 0.3")` takes the NaN rows of such a file.
# Documented: no. A change that is open speaks of filters that are skipped or prune too much, not of the values that come out.
# Hurts: flags and coarse scores (0.0 or 1.0, NaN where the model failed), sorted or partitioned so that a shard has one value: rows
#        that were never scored become scored ones, on reading, with no filter at all. Store null for "no score".
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile datafusion==55.0.0 pyarrow==26.0.1 polars==2.1.0 duckdb==2.0.1 deltalake==1.6.6
cd "$dir"
venv/bin/python - <<'PY'
import datafusion
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, QueryBuilder, write_deltalake

nan = float("nan")


def table(*scores):
    return pa.table({"row": list(range(len(scores))), "score": pa.array(scores, pa.float32())})


def select(path, sql="SELECT score FROM t"):
    context = datafusion.SessionContext()
    context.register_parquet("t", path)
    return [str(round(row["score"], 3)) for row in context.sql(sql).to_pylist()]


flags = table(nan, 1.0, 1.0)
pq.write_table(flags, "arrow.parquet")
pl.from_arrow(flags).write_parquet("polars.parquet")
duckdb.sql("COPY (FROM flags) TO 'duckdb.parquet'")
pq.write_table(flags, "unbounded.parquet", write_statistics=False)
pq.write_table(table(nan, 1.0, 0.9), "varied.parquet")
pq.write_table(table(None, 1.0, 1.0), "null.parquet")
for name in ("arrow", "polars", "duckdb", "unbounded", "varied"):
    path = f"{name}.parquet"
    stored = [str(round(score, 3)) for score in pq.read_table(path)["score"].to_pylist()]
    assert [str(round(score, 3)) for score in pl.read_parquet(path)["score"]] == stored
    assert [str(round(score, 3)) for (score,) in duckdb.sql(f"SELECT score FROM '{path}'").fetchall()] == stored
    seen = select(path)
    print(f"{name}: stored {stored}, DataFusion reads {seen}")
    assert stored[0] == "nan" and seen == (["1.0", "1.0", "1.0"] if name in ("arrow", "polars") else stored)

context = datafusion.SessionContext()
context.register_parquet("t", "arrow.parquet")
context.register_parquet("n", "null.parquet")
kept = [row["row"] for row in context.sql('SELECT "row" FROM t WHERE score = 1.0').to_pylist()]
lost = context.sql("SELECT * FROM t WHERE isnan(score)").count()
context.sql("COPY (SELECT * FROM t) TO 'copy.parquet' STORED AS parquet").collect()
copied = pq.read_table("copy.parquet")["score"].to_pylist()
nulls = [row["score"] for row in context.sql("SELECT score FROM n").to_pylist()]
print(f"score = 1.0 keeps rows {kept}, isnan finds {lost}, a copy holds {copied}; with null for NaN: {nulls}")
assert (kept, lost, copied, nulls) == ([0, 1, 2], 0, [1.0, 1.0, 1.0], [None, 1.0, 1.0])

zeros = table(-0.0, 0.0)
duckdb.sql("COPY (FROM zeros) TO 'zeros.parquet'")
stored, seen = [str(score) for score in pq.read_table("zeros.parquet")["score"].to_pylist()], select("zeros.parquet")
print(f"zeros by DuckDB: stored {stored}, DataFusion reads {seen}")
assert stored == ["-0.0", "0.0"] and seen[0] == seen[1], (stored, seen)

left = {}
for name, scores in {"others equal": (nan, 0.1, 0.1), "others differ": (nan, 0.1, 0.2)}.items():
    write_deltalake(name, table(*scores))
    rows = pa.table(QueryBuilder().register("t", DeltaTable(name)).execute('SELECT "row" FROM t WHERE score < 0.3').read_all())
    assert sorted(rows["row"].to_pylist()) == [1, 2]
    DeltaTable(name).delete("score < 0.3")
    left[name] = DeltaTable(name).to_pyarrow_table()["row"].to_pylist()
    print(f"deltalake, {name}: SELECT finds rows 1 and 2, delete leaves {left[name]}")
assert left == {"others equal": [], "others differ": [0]}
PY
