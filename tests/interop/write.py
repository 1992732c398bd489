"""Writes the first rows of the sample as Parquet with every tool that is installed: `python write.py DIR [SAMPLE]`.

File names say what is in them (`pyarrow-binary_view.parquet`); `read.py` finds the input of an output by the name.
"""

import sys
from pathlib import Path

from tools import ROWS, SAMPLE, installed, version


def sample(pa, path):
    """uid, image bytes and caption of rows that are all sound."""
    pq = __import__("pyarrow.parquet").parquet
    table = pq.read_table(path, columns=["uid", "image", "text"])
    sound = [row for row in table.to_pylist() if row["image"] and (row["image"]["bytes"] or b"")[:3] in (b"\xff\xd8\xff", b"\x89PN") and row["text"]]
    return sound[:ROWS]


def with_pyarrow(pa, rows, folder):
    pq = __import__("pyarrow.parquet").parquet
    uid = pa.array([r["uid"] for r in rows])
    struct = pa.array([r["image"] for r in rows], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    binary = pa.array([r["image"]["bytes"] for r in rows], pa.binary())
    text = pa.array([r["text"] for r in rows])
    extra = pa.array(range(len(rows)), pa.int32())

    def save(name, image, caption, names=("image", "text"), **options):
        table = pa.table({"uid": uid, names[0]: image, names[1]: caption, "extra": extra})
        pq.write_table(table, folder / f"pyarrow-{name}.parquet", **options)

    save("hf_struct", struct, text)
    save("binary", binary, text)
    save("large_binary", binary.cast(pa.large_binary()), text.cast(pa.large_string()), ("jpg", "caption"))
    save("dictionary", binary, text.dictionary_encode(), ("image_bytes", "TEXT"))
    for codec in ("zstd", "snappy", "gzip", "lz4", "brotli", "none"):
        save(f"codec_{codec}", binary, text, compression=codec)
    save("page_v2", binary, text, data_page_version="2.0", version="2.6")
    save("row_groups", struct, text, row_group_size=5, data_page_size=4096, write_page_index=True)
    save("plain", binary, text, use_dictionary=False, write_statistics=False, store_schema=False)
    for name, image, caption in (("binary_view", "binary_view", "string"), ("string_view", "binary", "string_view")):
        try:
            kinds = {"binary": pa.binary(), "string": pa.string(), "binary_view": pa.binary_view(), "string_view": pa.string_view()}
            save(name, pa.array(binary.to_pylist(), kinds[image]), pa.array(text.to_pylist(), kinds[caption]))
        except (AttributeError, pa.ArrowNotImplementedError) as error:
            (folder / f"pyarrow-{name}.parquet").unlink(missing_ok=True)
            print(f"skipped pyarrow {name} ({type(error).__name__})")
    partitioned = folder / "pyarrow-hive"
    pq.write_to_dataset(pa.table({"uid": uid, "image": binary, "text": text, "extra": extra, "part": [i % 2 for i in range(len(rows))]}), partitioned, partition_cols=["part"])


def with_duckdb(duckdb, rows, folder):
    db = duckdb.connect()
    db.execute("CREATE TABLE t (uid VARCHAR, image BLOB, text VARCHAR, extra INTEGER)")
    db.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", [(r["uid"], r["image"]["bytes"], r["text"], i) for i, r in enumerate(rows)])
    target = lambda name: str(folder / f"duckdb-{name}.parquet").replace("'", "''")
    db.execute(f"COPY (SELECT * FROM t ORDER BY extra) TO '{target('binary')}' (FORMAT parquet, COMPRESSION zstd)")
    db.execute(f"COPY (SELECT uid, {{'bytes': image, 'path': uid || '.jpg'}} AS image, text, extra FROM t ORDER BY extra) TO '{target('struct')}' (FORMAT parquet)")
    db.execute(f"COPY (SELECT * FROM t ORDER BY extra) TO '{target('v2')}' (FORMAT parquet, PARQUET_VERSION v2)")


def with_polars(polars, rows, folder):
    columns = {"uid": [r["uid"] for r in rows], "image": [r["image"]["bytes"] for r in rows], "text": [r["text"] for r in rows], "extra": range(len(rows))}
    frame = polars.DataFrame(columns, schema={"uid": polars.String, "image": polars.Binary, "text": polars.String, "extra": polars.Int32})
    frame.write_parquet(folder / "polars-binary.parquet")
    frame.with_columns(polars.col("text").cast(polars.Categorical)).write_parquet(folder / "polars-categorical.parquet", row_group_size=7)
    frame.with_columns(polars.struct(polars.col("image").alias("bytes"), polars.lit(None, polars.String).alias("path")).alias("image")).write_parquet(folder / "polars-struct.parquet", compression="lz4")


def with_datasets(datasets, rows, folder):
    datasets.disable_progress_bars()
    features = datasets.Features({"uid": datasets.Value("string"), "image": datasets.Image(), "text": datasets.Value("string"), "extra": datasets.Value("int32")})
    columns = {"uid": [r["uid"] for r in rows], "image": [r["image"] for r in rows], "text": [r["text"] for r in rows], "extra": list(range(len(rows)))}
    datasets.Dataset.from_dict(columns, features=features).to_parquet(str(folder / "datasets-image.parquet"))


WRITERS = {"pyarrow": with_pyarrow, "duckdb": with_duckdb, "polars": with_polars, "datasets": with_datasets}


def main():
    folder = Path(sys.argv[1])
    source = Path(sys.argv[2]) if len(sys.argv) > 2 else SAMPLE
    pyarrow = installed("pyarrow")
    if pyarrow is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    rows = sample(pyarrow, source)
    for tool, write in WRITERS.items():
        module = pyarrow if tool == "pyarrow" else installed(tool)
        if module:
            write(module, rows, folder)
            print(f"ok {tool} {version(tool)} wrote {len(list(folder.glob(tool + '-*')))} inputs of {len(rows)} rows")


if __name__ == "__main__":
    main()
