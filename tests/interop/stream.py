"""Reads an Arrow IPC stream of clip-filter from standard input with pyarrow, and copies of it with DuckDB and Polars if they are installed.

`python stream.py ROWS` checks the number of rows and the columns; exit code 1 when anything differs.
"""

import io
import sys

from tools import installed, version

COLUMNS = ["uid", "image", "text", "rank", "clip_score", "status"]


def check(tool, names, rows, scores):
    expected = int(sys.argv[1])
    if names != COLUMNS or rows != expected or not all(-1 <= score <= 1 for score in scores):
        sys.exit(f"{tool}: columns {names}, {rows} rows (expected {expected})")
    print(f"{tool} {version(tool)}: {rows} rows")


def main():
    stream = sys.stdin.buffer.read()
    pyarrow = installed("pyarrow")
    if pyarrow:
        import pyarrow.ipc

        table = pyarrow.ipc.open_stream(io.BytesIO(stream)).read_all()
        check("pyarrow", table.column_names, table.num_rows, table["clip_score"].to_pylist())
        if not all(image["bytes"] for image in table["image"].to_pylist()):
            sys.exit("pyarrow: images are missing")
    duckdb = installed("duckdb")
    if pyarrow and duckdb:
        reader = pyarrow.ipc.open_stream(io.BytesIO(stream))
        rows = duckdb.from_arrow(reader).fetchall()
        check("duckdb", COLUMNS, len(rows), [row[4] for row in rows])
    polars = installed("polars")
    if polars:
        frame = polars.read_ipc_stream(io.BytesIO(stream))
        check("polars", frame.columns, frame.height, frame["clip_score"].to_list())


main()
