"""Reads score stores of clip-filter with every tool that is installed: `python store.py STORE...`.

One line per tool; exit code 1 when any fails.
"""

import sys
import traceback
from pathlib import Path

from tools import PACKAGES, ROWS, installed, version

COLUMNS = ["shard", "row", "status", "reason", "width", "height", "clip_score", "image_embedding", "text_embedding"]


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def with_pyarrow(_, files):
    import pyarrow.parquet as pq

    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def with_duckdb(duckdb, files):
    listing = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    result = duckdb.connect().execute(f"SELECT * FROM read_parquet([{listing}])")
    names = [column[0] for column in result.description]
    return [dict(zip(names, row)) for row in result.fetchall()]


def with_polars(polars, files):
    return [row for file in files for row in polars.read_parquet(file).to_dicts()]


def with_datasets(datasets, files):
    datasets.disable_progress_bars()
    cache = str(files[0].parent / ".datasets-cache")
    return list(datasets.load_dataset("parquet", data_files=[str(file) for file in files], split="train", cache_dir=cache))


READERS = {"pyarrow": with_pyarrow, "duckdb": with_duckdb, "polars": with_polars, "datasets": with_datasets}


def check_rows(rows):
    check(len(rows) == ROWS, f"{len(rows)} rows")
    check(list(rows[0]) == COLUMNS, f"columns {list(rows[0])}")
    for row in rows:
        check(row["status"] == "ok" and row["reason"] is None, f"status {row['status']}")
        check(-1.0001 <= row["clip_score"] <= 1.0001, f"clip_score {row['clip_score']}")
        pairs = zip(row["image_embedding"], row["text_embedding"])
        cosine = sum(float(a) * float(b) for a, b in pairs)
        check(abs(cosine - row["clip_score"]) < 0.005, f"embeddings give {cosine}, not {row['clip_score']}")


def main():
    stores = [Path(name) for name in sys.argv[1:]]
    failed = False
    for tool in PACKAGES:
        module = installed(tool)
        if not module:
            continue
        for store in stores:
            try:
                check_rows(READERS[tool](module, sorted([*store.glob("scores/*.parquet"), *store.glob("bundles/*.parquet")])))
            except Exception as error:
                failed = True
                print(f"failed {tool} {store.name}: {type(error).__name__}: {error}")
                if not isinstance(error, AssertionError):
                    traceback.print_exc()
        print(f"{'failed' if failed else 'ok'} {tool} {version(tool)} read {len(stores)} stores")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
