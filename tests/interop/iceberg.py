"""The Python of docs/tables.md. `in`: makes the table lake.photos and plans it into files.jsonl, prints its keys. `out`:
registers kept/ and cut/, prints the keys of each as PyIceberg reads them, and those of one label."""

import os
import re
import sys

try:
    import pyarrow
    import pyarrow.parquet
    import pyiceberg
    import sqlalchemy
except ImportError:
    sys.exit(print("skipped: no Python with pyiceberg[sql-sqlite]"))

from tools import ROOT, ROWS, SAMPLE

here = os.getcwd()
os.environ["PYICEBERG_CATALOG__DEFAULT__URI"] = f"sqlite:///{here}/catalog.db"
os.environ["PYICEBERG_CATALOG__DEFAULT__WAREHOUSE"] = f"file://{here}/warehouse"
PAGE = re.findall(r"```python\n(.*?)```", (ROOT / "docs/tables.md").read_text(), re.DOTALL)


def tell(name, rows):
    print(name, ",".join(sorted(rows["uid"])), sep="\t")


def plan():
    from pyiceberg.catalog import load_catalog

    rows = pyarrow.parquet.read_table(SAMPLE).slice(0, ROWS).select(["uid", "image", "text"])
    rows = rows.append_column("label", pyarrow.array([row % 3 for row in range(ROWS)], pyarrow.int64()))
    rows = rows.replace_schema_metadata()
    catalog = load_catalog("default")
    catalog.create_namespace("lake")
    table = catalog.create_table("lake.photos", schema=rows.schema)
    for start in (0, 8, 16):
        table.append(rows.slice(start, 8))
    gone = rows["uid"][3].as_py()
    table.delete(f"uid == '{gone}'")
    exec(PAGE[0], {})
    tell("lake.photos", table.scan().to_arrow().to_pydict())


def register():
    names = {}
    for block in PAGE[1:]:
        exec(block, names)
        table = names["table"]
        tell(table.name()[-1], table.scan().to_arrow().to_pydict())
    found = table.scan(row_filter="label = 1").to_arrow().to_pydict()
    assert set(found["label"]) == {1}, found["label"]
    assert len(list(table.scan(row_filter="label = 1").plan_files())) == 1
    tell("label = 1", found)


{"in": plan, "out": register}[sys.argv[1]]()
