"""Filters image-text data by how well captions fit their images, in bounded memory.

Functions are the commands of ``clip-filter``; their options are its flags, with ``_`` for ``-``.
"""

import logging as _logging
import os as _os
import sys as _sys

# ONNX Runtime reads this before it is loaded, and would send usage events without it.
_os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Where ONNX Runtime is looked for: beside this package.
if _sys.executable:
    _os.environ.setdefault("CLIP_FILTER_PYTHON", _sys.executable)

from ._commands import adapt, explain, filter, inspect, report, score, sql
from ._errors import Error, FailedError, Interrupted, TooManyBadRowsError, UsageError
from ._native import VERSION as __version__
from ._progress import Progress
from ._scorer import Scorer
from ._stream import Stream, stream
from ._summary import Summary

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
    "report",
    "score",
    "sql",
    "stream",
]


def __getattr__(name: str) -> object:
    # PyTorch takes seconds to import, and not everybody has it.
    if name == "TorchDataset":
        from .torch import TorchDataset

        return TorchDataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
