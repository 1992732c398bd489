"""Reads outputs of clip-filter back with every tool that is installed: `python read.py INPUT_DIR OUTPUT...`.

An output is checked against the input of the same name in INPUT_DIR. One line per tool and output; exit code 1 when any fails.
"""

import sys
import traceback
from pathlib import Path

from tools import PACKAGES, installed, version

IMAGES = ("image", "jpg", "jpeg", "png", "webp", "image_bytes")
EMBEDDINGS = ("image_embedding", "text_embedding")


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def data(cell):
    return cell["bytes"] if isinstance(cell, dict) else cell


def image_column(names):
    return next(name for name in IMAGES if name in names)


def check_rows(expected, names, rows):
    """Same rows in the same order with the same bytes, and a score each; `expected` is the input, as a list of dicts."""
    before = list(expected[0])
    check(names[: len(before)] == before, f"columns {names} do not begin with {before}")
    check("clip_score" in names[len(before) :], f"no clip_score after the input's columns: {names}")
    check(rows, "no rows were kept")
    place = {row["uid"]: i for i, row in enumerate(expected)}
    order = [place[row["uid"]] for row in rows]
    check(order == sorted(set(order)), "row order changed or a row came twice")
    image = image_column(before)
    for row in rows:
        source = expected[place[row["uid"]]]
        check(bytes(data(row[image])) == bytes(data(source[image])), f"image bytes of {row['uid']} changed")
        check(all(row[name] == source[name] for name in before if name != image), f"a value of {row['uid']} changed")
        check(row["clip_score"] is not None and -1.0001 <= row["clip_score"] <= 1.0001, f"clip_score of {row['uid']} is {row['clip_score']}")
        for name in EMBEDDINGS:
            if name in names:
                norm = sum(x * x for x in row[name]) ** 0.5
                check(isinstance(row[name], list) and abs(norm - 1) < 0.01, f"{name} of {row['uid']} has length {norm}")


def files(path):
    return sorted(path.glob("**/part-*.parquet")) if path.is_dir() else [path]


def with_pyarrow(_, path, expected):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.concat_tables([pq.ParquetFile(file).read() for file in files(path)])
    for name in EMBEDDINGS:
        if name in table.column_names:
            kind = table.schema.field(name).type
            check(pa.types.is_list(kind) and kind.value_type in (pa.float32(), pa.float16()), f"{name} is {kind}")
    check(pa.types.is_float32(table.schema.field("clip_score").type), "clip_score is no float")
    check_rows(expected, table.column_names, table.to_pylist())


def with_duckdb(duckdb, path, expected):
    listing = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files(path))
    result = duckdb.connect().execute(f"SELECT * FROM read_parquet([{listing}], hive_partitioning = false)")
    names = [column[0] for column in result.description]
    check_rows(expected, names, [dict(zip(names, row)) for row in result.fetchall()])


def with_polars(polars, path, expected):
    frame = polars.concat([polars.read_parquet(file, hive_partitioning=False) for file in files(path)])
    check_rows(expected, frame.columns, frame.to_dicts())


def with_datasets(datasets, path, expected):
    loaded = datasets.load_dataset("parquet", data_files=[str(file) for file in files(path)], split="train", cache_dir=str(path.parent / ".datasets-cache"))
    image = image_column(list(expected[0]))
    declared = isinstance(loaded.features[image], datasets.Image)
    check(declared or not path.name.startswith("datasets-"), "the Image feature is gone")
    if declared:
        check(all(picture.size[0] > 0 for picture in loaded[image]), "a picture does not decode")
        loaded = loaded.cast_column(image, datasets.Image(decode=False))
    check_rows(expected, loaded.column_names, [dict(row) for row in loaded])


READERS = {"pyarrow": with_pyarrow, "duckdb": with_duckdb, "polars": with_polars, "datasets": with_datasets}


def inputs(path):
    """The rows of an input, in order."""
    import pyarrow.parquet as pq

    if path.is_dir():
        return [row for file in sorted(path.glob("**/*.parquet")) for row in pq.ParquetFile(file).read().to_pylist()]
    return pq.ParquetFile(path).read().to_pylist()


def main():
    folder, outputs = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
    check(set(READERS) == set(PACKAGES), "a tool has no reader")
    if installed("pyarrow") is None:
        return 0
    failed = False
    for tool, read in READERS.items():
        module = installed(tool) if tool != "pyarrow" else True
        if not module:
            continue
        if tool == "datasets":
            module.disable_progress_bars()
        read_well = 0
        for path in outputs:
            try:
                read(module, path, inputs(folder / path.name))
                read_well += 1
            except Exception as error:
                failed = True
                print(f"failed {tool} {path.name}: {type(error).__name__}: {error}")
                if not isinstance(error, AssertionError):
                    traceback.print_exc()
        print(f"{'ok' if read_well == len(outputs) else 'failed'} {tool} {version(tool)} read {read_well} of {len(outputs)} outputs")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
