#!/usr/bin/env bash
# duckdb 2.0.1, pyarrow 26.0.1, polars 2.1.0, datafusion 55.0.0 (Python).
# Guess: a column of 32-bit hashes that DuckDB exports with PARQUET_VERSION v2 is read by every Parquet reader.
# Seen:  the column is stored as DELTA_BINARY_PACKED. The differences of neighbouring hashes need 33 bits, and DuckDB writes the
#        least one of a block so, where the format has it wrap around in 32. pyarrow ends with "Unexpected end of stream", DataFusion
#        with "'min_delta' too large"; DuckDB itself and polars read every value. Differences that fit 32 bits are fine, so a
#        column of small numbers, or a sorted one, hides it.
# Documented: the format asks for arithmetic that wraps; that this writer does not is not.
# Hurts: perceptual hashes, bucket numbers and random keys beside pictures: the whole column, and a scan that asks for all columns,
#        is lost to two families of readers, and looks like a damaged download. Export with v1, or as BIGINT.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile datafusion==55.0.0 polars==2.1.0 pyarrow==26.0.1 duckdb==2.0.1
cd "$dir"
venv/bin/python - <<'PY'
import datafusion
import duckdb
import polars as pl
import pyarrow.parquet as pq

READERS = {
    "duckdb": lambda path: duckdb.sql(f"SELECT count(DISTINCT v) FROM '{path}'").fetchall()[0][0],
    "polars": lambda path: pl.read_parquet(path)["v"].n_unique(),
    "pyarrow": lambda path: len(pq.read_table(path)["v"].unique()),
    "datafusion": lambda path: datafusion.SessionContext().read_parquet(path).distinct().count(),
}


def count(reader, path):
    try:
        return READERS[reader](path)
    except BaseException as error:
        text = str(error)
        known = [words for words in ("Unexpected end of stream", "'min_delta' too large") if words in text]
        return known[0] if known else text[:120]


hashes = "((hash(n) % 4294967296)::BIGINT - 2147483648)::INTEGER"
columns = {
    "hashes, v2": (hashes, "v2"),
    "hashes, v1": (hashes, "v1"),
    "hashes as BIGINT, v2": (f"{hashes}::BIGINT", "v2"),
    "small numbers, v2": ("(hash(n) % 100000)::INTEGER", "v2"),
}
seen = {}
for name, (value, version) in columns.items():
    duckdb.sql(f"COPY (SELECT {value} AS v FROM range(20000) t(n)) TO 'v.parquet' (FORMAT parquet, PARQUET_VERSION {version})")
    encoding = pq.ParquetFile("v.parquet").metadata.row_group(0).column(0).encodings[0]
    seen[name] = {reader: count(reader, "v.parquet") for reader in READERS}
    print(f"{name} ({encoding}): {seen[name]}")
whole = seen["hashes, v1"]["duckdb"]
assert set(seen["hashes, v1"].values()) == set(seen["hashes as BIGINT, v2"].values()) == {whole}, seen
assert len(set(seen["small numbers, v2"].values())) == 1, seen
broken = seen["hashes, v2"]
assert broken["duckdb"] == broken["polars"] == whole, broken
assert broken["pyarrow"] == "Unexpected end of stream" and broken["datafusion"] == "'min_delta' too large", broken
PY
