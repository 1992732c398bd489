"""Folders named as values. `types DIR`: writes cases to DIR/N and prints the type that DuckDB gives the column v of each.
`read DIR`: prints how many rows each value of the column `label` has for DuckDB, Polars and pyarrow."""

import pathlib
import sys

import duckdb
import polars
import pyarrow
import pyarrow.dataset
import pyarrow.parquet

CASES = [
    ["1", "-5"], ["007", "1"], ["0x10", "1"], ["0b11"], ["+1"], ["-01"], ["00", "0"], ["1.5"], ["true"], [" 1"],
    ["9223372036854775807"], ["9223372036854775808"], ["2024-01-02", "2024-1-2"], ["2024-01-02", "3"], ["2024-02-30"],
    ["2024 01 02"], ["12024-01-01"], ["2024-01-02 03:04:05"], ["2024-01-02T03:04:05.5"], ["2024-01-02 3:4"],
    ["2024-01-02 03"], ["2024-01-02", "2024-01-02 03:04:05"], ["2024-01-02%2003%3A04%3A05"], ["%31"], ["a%2Fb", "%zz"],
    ["__HIVE_DEFAULT_PARTITION__", "3"], ["__HIVE_DEFAULT_PARTITION__"], ["__HIVE_DEFAULT_PARTITION__", "2024-01-01"],
    ["NULL", "3"], ["NULL", "a"], ["", "3"], ["null", "3"],
]


def types(directory):
    for number, values in enumerate(CASES):
        for row, value in enumerate(values):
            folder = directory / str(number) / f"v={value}"
            folder.mkdir(parents=True)
            pyarrow.parquet.write_table(pyarrow.table({"n": [row]}), folder / "a.parquet")
        rows = duckdb.sql(f"SELECT n, v FROM read_parquet('{directory}/{number}/*/*.parquet', hive_partitioning = true) ORDER BY n")
        shown = ["null" if value is None else str(value) for _, value in rows.fetchall()]
        print(number, rows.types[1], *shown, sep="\t")


def read(directory):
    counts = {
        "duckdb": duckdb.sql(
            f"SELECT label, count(*) FROM read_parquet('{directory}/**/*.parquet', hive_partitioning = true) GROUP BY ALL").fetchall(),
        "polars": polars.scan_parquet(directory, hive_partitioning=True).group_by("label").len().collect().rows(),
    }
    table = pyarrow.dataset.dataset(directory, partitioning="hive").to_table()
    counted = table.group_by("label").aggregate([([], "count_all")]).to_pydict()
    counts["pyarrow"] = list(zip(counted["label"], counted["count_all"]))
    for name, found in counts.items():
        print(name, *sorted(f"{'null' if label is None else label}:{rows}" for label, rows in found), sep="\t")


{"types": types, "read": read}[sys.argv[1]](pathlib.Path(sys.argv[2]))
