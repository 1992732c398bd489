#!/usr/bin/env bash
# polars 2.1.0, pyarrow 26.0.1.
# Guess: a reader of a folder of Parquet passes over names that begin with `_` or `.`, as Spark, pyarrow and pandas do.
# Seen:  Polars goes by the bytes in them. An empty `_SUCCESS` is passed over; one of two bytes, `_manifest.json` or a hidden file
#        makes the whole folder an error ("directory contained paths with different file extensions").
# Documented: no (the error says to use a glob).
# Hurts: whoever writes a manifest beside the parts of a data set locks Polars users out, while an empty marker passes every test.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet polars==2.1.0 pyarrow==26.0.1
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
from pathlib import Path

import polars
import pyarrow.dataset

folder = Path("kept")
folder.mkdir()
polars.DataFrame({"n": [1, 2, 3]}).write_parquet(folder / "part-00000.parquet")


def rows(name, content):
    marker = folder / name
    marker.write_bytes(content)
    try:
        found = polars.scan_parquet("kept/").collect().height
    except polars.exceptions.InvalidOperationError as error:
        found = "different file extensions" in str(error) and "error"
    other = pyarrow.dataset.dataset("kept", format="parquet").count_rows()
    marker.unlink()
    return found, other


seen = {"empty": rows("_SUCCESS", b""), "with bytes": rows("_SUCCESS", b"ok"), "json": rows("_manifest.json", b"{}"), "hidden": rows(".manifest", b"{}")}
print(seen)
assert seen == {"empty": (3, 3), "with bytes": ("error", 3), "json": ("error", 3), "hidden": ("error", 3)}
PYTHON
