"""Columns of every type that pyarrow, DuckDB and Polars write come back as they were.

`python every_type.py write DIR` writes shards of 10 rows to DIR/inputs; `python every_type.py check DIR` compares, with the tool that wrote it, what
was made of each in DIR/copied (all rows), DIR/rewritten, DIR/sql (rows 0 to 6) and DIR/online (all rows, an Arrow stream). A line for
each that differs; exit code 1 if there is one.
"""

import datetime as dt
import decimal
import json
import sys
import traceback
import uuid
from pathlib import Path

from tools import installed

ROWS = 10
KEPT = {"copied": ROWS, "rewritten": 7, "sql": 7, "online": ROWS}
# A BMP of one pixel.
PICTURE = bytes.fromhex("424d3a0000000000000036000000280000000100000001000000010018000000000004000000130b0000130b00000000000000000000102030ff")


def pairs(pa):
    return {
        "n": pa.array(range(ROWS), pa.int64()),
        "image": pa.array([PICTURE] * ROWS, pa.binary()),
        "text": pa.array([f"picture {row}" for row in range(ROWS)]),
    }


def values(pa):
    """Column by name: ten values with a null among them."""
    numbers = [None if row == 3 else row for row in range(ROWS)]
    some = lambda make: [None if row is None else make(row) for row in numbers]
    day = dt.date(1969, 12, 28)
    moment = dt.datetime(1969, 12, 31, 23, 59, 57, 123000)
    columns = {"null": pa.nulls(ROWS), "bool": pa.array(some(lambda row: row % 2 == 0))}
    for bits in (8, 16, 32, 64):
        low = -(2 ** (bits - 1))
        columns[f"int{bits}"] = pa.array(some(lambda row: low + row), getattr(pa, f"int{bits}")())
        columns[f"uint{bits}"] = pa.array(some(lambda row: 2**bits - 1 - row), getattr(pa, f"uint{bits}")())
    columns["float16"] = pa.array(some(lambda row: row / 4), pa.float16())
    columns["float32"] = pa.array(some(lambda row: row / 3), pa.float32())
    columns["float64"] = pa.array(some(lambda row: row / 3), pa.float64())
    for kind, precision in (("decimal32", 7), ("decimal64", 18), ("decimal128", 4), ("decimal128", 15), ("decimal128", 38), ("decimal256", 60)):
        make = lambda row: decimal.Decimal(row - 5).scaleb(-2)
        columns[f"{kind}_{precision}"] = pa.array(some(make), getattr(pa, kind)(precision, 2))
    columns["date32"] = pa.array(some(lambda row: day + dt.timedelta(row)), pa.date32())
    columns["date64"] = pa.array(some(lambda row: day + dt.timedelta(row)), pa.date64())
    for unit in ("s", "ms"):
        columns[f"time32_{unit}"] = pa.array(some(lambda row: row * 1000), pa.int32()).cast(pa.time32(unit))
    for unit in ("us", "ns"):
        columns[f"time64_{unit}"] = pa.array(some(lambda row: row * 1001), pa.int64()).cast(pa.time64(unit))
    for unit in ("s", "ms", "us", "ns"):
        whole = moment.replace(microsecond=0)
        columns[f"timestamp_{unit}"] = pa.array(some(lambda row: whole + dt.timedelta(seconds=row)), pa.timestamp(unit))
        columns[f"timestamp_{unit}_zone"] = pa.array(some(lambda row: whole + dt.timedelta(seconds=row)), pa.timestamp(unit, "Europe/Berlin"))
        columns[f"duration_{unit}"] = pa.array(some(lambda row: row - 5), pa.int64()).cast(pa.duration(unit))
    text = some(lambda row: f"wört {row}")
    for kind in ("string", "large_string", "string_view"):
        columns[kind] = pa.array(text, getattr(pa, kind)())
    octets = some(lambda row: bytes([255, row, 0]))
    for kind in ("binary", "large_binary", "binary_view"):
        columns[kind] = pa.array(octets, getattr(pa, kind)())
    columns["fixed_size_binary"] = pa.array(octets, pa.binary(3))
    for key in (pa.int8(), pa.uint8(), pa.int32(), pa.int64()):
        columns[f"dictionary_{key}"] = pa.array(text).dictionary_encode().cast(pa.dictionary(key, pa.string()))
    columns["dictionary_of_numbers"] = columns["int64"].dictionary_encode()
    columns["dictionary_of_bytes"] = columns["binary"].dictionary_encode()
    columns["uuid"] = pa.array(some(lambda row: uuid.UUID(int=row).bytes), pa.uuid())
    columns["json"] = pa.array(some(lambda row: json.dumps({"row": row})), pa.json_())
    columns["bool8"] = pa.array(some(lambda row: row % 2), pa.bool8())
    return columns


def nested(pa, name, column):
    """The same values in lists, structs and maps."""
    if isinstance(column.type, pa.BaseExtensionType):
        return {}
    last = lambda count: [None if row == 2 else min(row, count) for row in range(count + 1)]
    item = column
    fields = {
        f"list_{name}": pa.ListArray.from_arrays(pa.array(last(ROWS), pa.int32()), item),
        f"large_list_{name}": pa.LargeListArray.from_arrays(pa.array(last(ROWS), pa.int64()), item),
        f"struct_{name}": pa.StructArray.from_arrays([item, pa.array(range(ROWS))], ["a", "b"], mask=pa.array([row == 5 for row in range(ROWS)])),
        f"map_{name}": pa.MapArray.from_arrays(pa.array(range(ROWS + 1), pa.int32()), pa.array([str(row) for row in range(ROWS)]), item),
    }
    fields[f"deep_{name}"] = pa.ListArray.from_arrays(pa.array(range(ROWS + 1), pa.int32()), fields[f"struct_{name}"])
    return fields


def write_pyarrow(pa, folder):
    import pyarrow.parquet as pq

    flat = values(pa)
    for declared in (True, False):
        suffix = "" if declared else "-undeclared"
        writable = {}
        for name, column in flat.items():
            for key, array in {name: column, **nested(pa, name, column)}.items():
                try:
                    pq.write_table(pa.table({key: array}), folder / "probe", store_schema=declared)
                    pq.read_table(folder / "probe")
                    writable[key] = array
                except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
                    print(f"left out: pyarrow does not write {key} ({error})")
        (folder / "probe").unlink()
        table = pa.table({**pairs(pa), **writable})
        pq.write_table(table, folder / f"pyarrow{suffix}.parquet", store_schema=declared, write_page_index=True)
    old = {name: column for name, column in flat.items() if name.startswith("timestamp")}
    pq.write_table(pa.table({**pairs(pa), **old}), folder / "pyarrow-96_bits.parquet", use_deprecated_int96_timestamps=True, write_page_index=True)
    lists = {name: pa.array([[row] * (row % 3) for row in range(ROWS)], pa.list_(pa.int32())) for name in ("old_lists",)}
    pq.write_table(pa.table({**pairs(pa), **lists}), folder / "pyarrow-old_lists.parquet", use_compliant_nested_type=False, write_page_index=True)


def unwidened(pa, kind):
    """`kind` with every dictionary's key as one type: a wider key is as good."""
    if pa.types.is_dictionary(kind):
        return pa.dictionary(pa.int32(), unwidened(pa, kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([kind.field(at).with_type(unwidened(pa, kind.field(at).type)) for at in range(kind.num_fields)])
    if pa.types.is_map(kind):
        return pa.map_(kind.key_type, unwidened(pa, kind.item_type))
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(unwidened(pa, kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(unwidened(pa, kind.value_type)))
    return kind


def plain_type(pa, kind):
    """`kind` as queries and streams have it: dictionaries as their values, one kind of text, bytes, lists and dates, and no extensions."""
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(pa, kind.storage_type)
    if pa.types.is_dictionary(kind):
        return plain_type(pa, kind.value_type)
    if pa.types.is_struct(kind):
        return pa.struct([(kind.field(at).name, plain_type(pa, kind.field(at).type)) for at in range(kind.num_fields)])
    if pa.types.is_map(kind):
        return pa.map_(plain_type(pa, kind.key_type), plain_type(pa, kind.item_type))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(plain_type(pa, kind.value_type))
    same = {pa.large_string(): pa.string(), pa.string_view(): pa.string(), pa.large_binary(): pa.binary(), pa.binary_view(): pa.binary(), pa.date64(): pa.date32()}
    return same.get(kind, kind)


def check_pyarrow(pa, source, path, rows):
    import pyarrow.ipc as ipc
    import pyarrow.parquet as pq

    before = pq.read_table(source).slice(0, rows)
    shown = plain_type if path.parent.name in ("sql", "online") else unwidened
    after = ipc.open_stream(path.read_bytes()).read_all() if path.suffix == ".arrows" else pq.read_table(path)
    for name in before.column_names:
        if name not in after.column_names:
            yield f"{name} is missing"
            continue
        (ours, theirs) = (after[name], before[name])
        if "96_bits" in source.name:
            if ours.type == theirs.type or pa.types.is_timestamp(ours.type):
                ours, theirs = (column.cast(pa.timestamp("us")) if pa.types.is_timestamp(column.type) else column for column in (ours, theirs))
        elif shown(pa, ours.type) != shown(pa, theirs.type):
            yield f"{name}: {theirs.type} became {ours.type}"
            continue
        if not same(pa, ours, theirs):
            yield f"{name}: {theirs.slice(0, 4)} became {ours.slice(0, 4)}".replace("\n", "")
    if path.suffix == ".parquet":
        stored = [leaves(pq.ParquetFile(file).schema, before.column_names) for file in (source, path)]
        if "96_bits" not in source.name:
            # How wide a decimal is stored is the writer's, where a query has made it.
            alike = lambda a, b: a == b or path.parent.name == "sql" and "Decimal" in a[2] and (a[0], a[2]) == (b[0], b[2])
            yield from (f"stored as {a}, then as {b}" for a, b in zip(*stored) if not alike(a, b))


def same(pa, ours, theirs):
    """Whether the values are, whatever dictionaries they stand in."""
    stored = lambda column: column.cast(column.type.storage_type) if isinstance(column.type, pa.BaseExtensionType) else column
    ours, theirs = stored(ours), stored(theirs)
    return (ours.type == theirs.type and ours.equals(theirs)) or ours.to_pylist() == theirs.to_pylist()


def leaves(schema, names):
    columns = (schema.column(at) for at in range(len(schema.names)))
    return [(column.path, column.physical_type, str(column.logical_type)) for column in columns if column.path.split(".")[0] in names]


def write_duckdb(duckdb, folder):
    db = duckdb.connect()
    db.sql("CREATE TABLE three AS SELECT row_number() OVER () - 1 AS place, * FROM test_all_types()")
    kept = []
    for name, kind in db.sql("SELECT column_name, column_type FROM (DESCRIBE three)").fetchall():
        if name == "place":
            continue
        try:
            db.execute(f"COPY (SELECT \"{name}\" FROM three) TO '{folder / 'probe'}' (FORMAT parquet)")
            db.execute(f"SELECT * FROM read_parquet('{folder / 'probe'}')").fetchall()
            kept.append(f'"{name}"')
        except duckdb.Error as error:
            print(f"left out: DuckDB does not write {name} {kind} ({str(error).splitlines()[0]})")
    more = {"json": "'{\"row\": 1}'::JSON", "variant": "{'a': n}::VARIANT", "uuids": "[uuid()]", "odd_interval": "INTERVAL (n) MONTH + INTERVAL 2 DAY"}
    for name, value in more.items():
        try:
            db.execute(f"COPY (SELECT {value} AS v FROM range(3) t(n)) TO '{folder / 'probe'}' (FORMAT parquet)")
            kept.append(f"{value} AS more_{name}")
        except duckdb.Error as error:
            print(f"left out: DuckDB does not write {name} ({str(error).splitlines()[0]})")
    (folder / "probe").unlink()
    picture = "unhex('" + PICTURE.hex() + "')"
    for version in ("v1", "v2"):
        # Of dates that are far apart v2 writes differences that pyarrow cannot read either.
        columns = [name for name in kept if version == "v1" or name != '"date_array"']
        db.execute(
            f"COPY (SELECT n, {picture} AS image, 'picture ' || n AS text, {', '.join(columns)} FROM range({ROWS}) t(n) JOIN three ON place = n % 3 ORDER BY n) "
            f"TO '{folder / f'duckdb-{version}.parquet'}' (FORMAT parquet, PARQUET_VERSION {version})"
        )


def check_duckdb(duckdb, source, path, rows):
    if path.suffix == ".arrows":
        return
    db = duckdb.connect()
    types = [dict(db.execute(f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM '{file}')").fetchall()) for file in (source, path)]
    for name, kind in types[0].items():
        if path.parent.name == "sql" and kind.startswith("GEOMETRY"):
            # What makes it one is said of the file, not of the column.
            continue
        if types[1].get(name) != kind:
            yield f"{name}: {kind} became {types[1].get(name)}"
            continue
        differ = f"""SELECT count(*) FROM (SELECT n, "{name}" v FROM '{source}' WHERE n < {rows}) a JOIN (SELECT n, "{name}" v FROM '{path}') b USING (n)
                     WHERE a.v::VARCHAR IS DISTINCT FROM b.v::VARCHAR"""
        count = db.execute(differ).fetchone()[0]
        if count:
            yield f"{name}: {count} of {rows} values differ"


def write_polars(pl, folder):
    day = dt.date(2020, 2, 29)
    moment = dt.datetime(2020, 2, 29, 12, 0, 0, 1)
    some = lambda make: [None if row == 3 else make(row) for row in range(ROWS)]
    columns = {
        "categorical": pl.Series(some(lambda row: f"word {row % 4}"), dtype=pl.Categorical),
        "enum": pl.Series(some(lambda row: "ab"[row % 2]), dtype=pl.Enum(["a", "b", "c"])),
        "decimal": pl.Series(some(lambda row: decimal.Decimal(row)), dtype=pl.Decimal(20, 3)),
        "date": pl.Series(some(lambda row: day), dtype=pl.Date),
        "time": pl.Series(some(lambda row: dt.time(1, 2, 3, row)), dtype=pl.Time),
        "list": pl.Series(some(lambda row: [row] * (row % 3)), dtype=pl.List(pl.Int16)),
        "array": pl.Series(some(lambda row: [row, 1.5]), dtype=pl.Array(pl.Float32, 2)),
        "struct": pl.Series(some(lambda row: {"a": row, "b": str(row)})),
        "binary": pl.Series(some(lambda row: bytes([row]))),
        "text": pl.Series(some(lambda row: f"text {row}")),
        "words": pl.Series(some(lambda row: ["x", str(row)]), dtype=pl.List(pl.Categorical)),
    }
    for unit in ("ms", "us", "ns"):
        columns[f"moment_{unit}"] = pl.Series(some(lambda row: moment), dtype=pl.Datetime(unit))
        columns[f"zoned_{unit}"] = pl.Series(some(lambda row: moment), dtype=pl.Datetime(unit)).dt.replace_time_zone("Asia/Tokyo")
        columns[f"span_{unit}"] = pl.Series(some(lambda row: dt.timedelta(seconds=row)), dtype=pl.Duration(unit))
    for bits in (8, 16, 32, 64):
        columns[f"i{bits}"] = pl.Series(some(lambda row: row), dtype=getattr(pl, f"Int{bits}"))
        columns[f"u{bits}"] = pl.Series(some(lambda row: row), dtype=getattr(pl, f"UInt{bits}"))
    kept = {}
    for name, column in columns.items():
        try:
            pl.DataFrame({name: column}).write_parquet(folder / "probe")
            if pl.read_parquet(folder / "probe")[name].dtype == column.dtype:
                kept[f"v_{name}"] = column
            else:
                print(f"left out: Polars does not read back its {name}")
        except Exception as error:
            print(f"left out: Polars does not write {name} ({error})")
    (folder / "probe").unlink()
    base = {"n": list(range(ROWS)), "image": [PICTURE] * ROWS, "text": [f"picture {row}" for row in range(ROWS)]}
    pl.DataFrame({**base, **kept}).write_parquet(folder / "polars.parquet")


def plain(pl, dtype):
    """A query has categories as what they stand for."""
    if isinstance(dtype, pl.List):
        return pl.List(plain(pl, dtype.inner))
    return pl.String if dtype in (pl.Categorical, pl.Enum) else dtype


def check_polars(pl, source, path, rows):
    before = pl.read_parquet(source).head(rows)
    after = pl.read_ipc_stream(path) if path.suffix == ".arrows" else pl.read_parquet(path)
    for name in before.columns:
        if name not in after.columns:
            yield f"{name} is missing"
        elif (path.parent.name == "sql" and plain(pl, before[name].dtype) or before[name].dtype) != after[name].dtype:
            yield f"{name}: {before[name].dtype} became {after[name].dtype}"
        elif after[name].to_list() != before[name].to_list():
            yield f"{name}: {before[name].to_list()[:4]} became {after[name].to_list()[:4]}"


TOOLS = {"pyarrow": (write_pyarrow, check_pyarrow), "duckdb": (write_duckdb, check_duckdb), "polars": (write_polars, check_polars)}


def main():
    command, folder = sys.argv[1], Path(sys.argv[2])
    bad = 0
    for tool, (write, check) in TOOLS.items():
        module = installed(tool)
        if not module:
            continue
        if command == "write":
            (folder / "inputs").mkdir(parents=True, exist_ok=True)
            write(module, folder / "inputs")
            continue
        for source in sorted((folder / "inputs").glob(f"{tool}*.parquet")):
            for way, rows in KEPT.items():
                path = (folder / way / source.name).with_suffix(".arrows" if way == "online" else ".parquet")
                try:
                    wrong = list(check(module, source, path, rows))
                except Exception:
                    wrong = [traceback.format_exc(limit=1).strip().splitlines()[-1]]
                bad += len(wrong)
                for line in wrong:
                    print(f"{way} {source.stem}: {line}")
    sys.exit(1 if bad else 0)


main()
