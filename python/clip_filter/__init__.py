"""Filters image-text data by how well captions fit their images, in bounded memory.

Functions are the commands of ``clip-filter``; their options are its flags, with ``_`` for ``-``.
"""

import logging as _logging
import os as _os
import sys as _sys
from typing import TYPE_CHECKING

# ONNX Runtime reads this before it is loaded, and would send usage events without it.
_os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Where ONNX Runtime is looked for: beside this package.
if _sys.executable:
    _os.environ.setdefault("CLIP_FILTER_PYTHON", _sys.executable)

from ._commands import adapt, explain, filter, inspect, merge, report, score, sql
from ._errors import Error, FailedError, Interrupted, TooManyBadRowsError, UsageError
from ._native import VERSION as __version__
from ._progress import Progress
from ._scorer import Scorer
from ._stream import Stream, stream
from ._summary import Summary

if TYPE_CHECKING:
    from . import daft, iceberg, lance, ray, spark, torch
    from .daft import DaftScorer
    from .ray import RayScorer
    from .torch import TorchDataset

_logging.getLogger("clip_filter").addHandler(_logging.NullHandler())

__all__ = [
    "Error",
    "FailedError",
    "Interrupted",
    "Progress",
    "Scorer",
    "Stream",
    "Summary",
    "TorchDataset",
    "TooManyBadRowsError",
    "UsageError",
    "adapt",
    "explain",
    "filter",
    "inspect",
    "merge",
    "report",
    "score",
    "sql",
    "stream",
]


# What needs a package that takes seconds to import, and that not everybody has: the modules of their names.
_LATER = {"DaftScorer": "daft", "RayScorer": "ray", "TorchDataset": "torch"}
_MODULES = frozenset({"daft", "iceberg", "lance", "ray", "spark", "torch"})


def __getattr__(name: str) -> object:
    import importlib

    if name in _LATER:
        return getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
