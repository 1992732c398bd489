"""What `write.py` and `read.py` share: the rows, and which tools are installed."""

import importlib
import importlib.metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "assets/sample.parquet"
ROWS = 24
PACKAGES = {"pyarrow": "pyarrow", "duckdb": "duckdb", "polars": "polars", "datasets": "datasets"}


def installed(tool):
    """The module, or None after a line that says it is missing."""
    try:
        return importlib.import_module(PACKAGES[tool])
    except ImportError:
        print(f"skipped {tool} (not installed)")
        return None


def version(tool):
    return importlib.metadata.version(PACKAGES[tool])
