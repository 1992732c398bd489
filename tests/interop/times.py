"""Rows of FILE that fulfil each CONDITION, by DuckDB: a line of row numbers each."""

import sys

import duckdb

connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
connection.execute(f"CREATE VIEW pairs AS SELECT * FROM '{sys.argv[1]}'")
for condition in sys.argv[2:]:
    rows = connection.execute(f"SELECT n FROM pairs WHERE {condition} ORDER BY n").fetchall()
    print(" ".join(str(row) for (row,) in rows))
