"""Delta tables. `write`: makes tables in the working directory, and prints of each its name, the option that names a
version of it, and the keys that deltalake reads. `read DIR`: prints the keys of a table as each library reads them. `checkpoint DIR`: writes a checkpoint
of its newest version. `bucket URL`: prints the version, states and keys of a table in an object store."""

import os
import datetime
import sys

try:
    import deltalake
    import pyarrow
    import pyarrow.parquet
except ImportError:
    sys.exit(print("skipped: no Python with deltalake and pyarrow"))

from tools import ROWS, SAMPLE


def pairs():
    table = pyarrow.parquet.read_table(SAMPLE).slice(0, ROWS).select(["uid", "image", "text"])
    kinds = [None, "a b", "c/d", "e=f%20g", "ü"]
    days = [datetime.date(2026, 1, 1 + row % 2) for row in range(ROWS)]
    table = table.append_column("kind", pyarrow.array([kinds[row % 5] for row in range(ROWS)], pyarrow.string()))
    return table.append_column("day", pyarrow.array(days, pyarrow.date32())).replace_schema_metadata()


def tell(name, option="--version {}"):
    table = deltalake.DeltaTable(name)
    rows = table.to_pyarrow_table(columns=["uid", "kind"]).to_pylist()
    keys = sorted(f"{row['uid']}/{row['kind'] or '-'}" for row in rows)
    print(name, option.format(table.version()), ",".join(keys), sep="\t")


def write():
    rows = pairs()
    thirds = [rows.slice(start, 8) for start in (0, 8, 16)]
    gone = rows["uid"][3].as_py()
    for name, parts in [("plain", None), ("cut", ["kind", "day"])]:
        for third in thirds:
            deltalake.write_deltalake(name, third, mode="append", partition_by=parts)
            tell(name)
        deltalake.DeltaTable(name).delete(f"uid = '{gone}'")
        tell(name)
        deltalake.DeltaTable(name).create_checkpoint()
        deltalake.write_deltalake(name, thirds[0], mode="append")
        tell(name)
        deltalake.DeltaTable(name).optimize.compact()
        tell(name)
        deltalake.write_deltalake(name, thirds[1], mode="overwrite")
        deltalake.DeltaTable(name).create_checkpoint()
        tell(name, "")


def read(name):
    import polars

    import pyarrow.dataset

    table = deltalake.DeltaTable(name)
    files = pyarrow.dataset.dataset(table.file_uris()).to_table(columns=["uid"])
    rows = {
        "pyarrow": files["uid"].to_pylist(),
        "deltalake": table.to_pyarrow_table(columns=["uid"]).to_pydict()["uid"],
        "polars": polars.scan_delta(name).select("uid").collect()["uid"].to_list(),
    }
    for library, keys in rows.items():
        print(library, ",".join(sorted(keys)), sep="\t")


def bucket(url):
    table = deltalake.DeltaTable(url, storage_options={"AWS_ALLOW_HTTP": "true"})
    rows = table.to_pyarrow_table(columns=["uid", "status"]).to_pydict()
    print(table.version(), ",".join(set(rows["status"])), ",".join(sorted(rows["uid"])), sep="\t")


def checkpoint(name):
    deltalake.DeltaTable(name).create_checkpoint()
    print("done")


if __name__ == "__main__":
    {"write": write, "read": read, "bucket": bucket, "checkpoint": checkpoint}[sys.argv[1]](*sys.argv[2:])
    sys.stdout.flush()
    # Threads of the libraries do not always survive the end of the interpreter, after everything was done.
    os._exit(0)
