"""The shares of a scoring job: what each worker of a cluster does, and what all of them have done."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from . import _native
from ._commands import merge, score
from ._errors import Error, FailedError, TooManyBadRowsError, UsageError

# Before the path of a list of files.
_LIST = "files:"
# Options that name files: made absolute where they are there, since workers run in other directories.
_FILES = ("adapters", "class_names", "config", "files", "model", "onnxruntime", "target", "text_model", "uids")


@dataclasses.dataclass(frozen=True)
class PartsSummary:
    """What the shares of a scoring job did, together."""

    parts: int
    """Shares of the work."""
    shards: int
    """Shards of the merged store."""
    rows_in: int
    """Rows of all shards that could be read."""
    rows_bad: int
    """Rows that could not be scored."""
    bad: dict[str, int]
    """The bad rows by reason."""
    rows_scored: int
    """Rows that were encoded by the attempts that ended well; the others were in the store."""
    bad_shards: list[dict[str, Any]]
    """Shards that were left out because they cannot be read."""
    warnings: list[str]
    """What the reader should know, one line each."""


class PartsJob:
    """A scoring job in ``parts`` shares; it is pickled on its way to the workers.

    Raises:
        UsageError: An input is data and no path, an option is unknown, or goes with no share of the work.
    """

    def __init__(self, inputs: Any, scores: str | os.PathLike, parts: int, options: dict[str, Any]) -> None:
        if parts < 1:
            raise UsageError(f"failed to divide the work into {parts} parts", "parts=8")
        for taken in ("part", "trace"):
            if options.get(taken) is not None:
                raise UsageError(f"failed to score with {taken}={options[taken]!r}: each worker has its own")
        self.paths = [_absolute(path) for path in _paths(inputs)]
        self.scores = _absolute(os.fspath(scores))
        self.parts = parts
        self.options = {name: _elsewhere(name, value) for name, value in options.items()}
        # Counted over all shares.
        self.max_bad_rows = self.options.pop("max_bad_rows", None)
        # What cannot be meant is refused where it is written.
        _native.Job("score", self.paths, {"scores": self.scores, "part": f"0/{parts}", **self.options})

    def run(self, part: int) -> dict[str, Any]:
        """Scores one share in this process; its summary as a ``dict``."""
        options = {**self.options, "part": f"{part}/{self.parts}"}
        return score(self.paths, self.scores, **options).to_dict()

    def merge(self) -> dict[str, Any]:
        """Puts together what the shares have scored, in this process."""
        return merge(self.scores)

    def summary(self, parts: Sequence[dict[str, Any]], merged: dict[str, Any]) -> PartsSummary:
        """What all shares have done.

        Raises:
            TooManyBadRowsError: All was done, and there are more bad rows than ``max_bad_rows``.
        """
        bad = sum((Counter(part["bad"]) for part in parts), Counter())
        summary = PartsSummary(
            parts=self.parts,
            shards=merged["shards"],
            rows_in=sum(part["rows_in"] for part in parts),
            rows_bad=sum(part["rows_bad"] for part in parts),
            bad=dict(bad),
            rows_scored=sum(part["rows_scored"] for part in parts),
            bad_shards=_once(shard for part in parts for shard in part["bad_shards"]),
            warnings=_once(line for part in parts for line in part["warnings"]),
        )
        if self.max_bad_rows is not None and summary.rows_bad > self.max_bad_rows:
            raise TooManyBadRowsError(f"{summary.rows_bad} rows are bad ({summary.bad})", summary)
        return summary


def failed(part: int, failure: BaseException) -> Error:
    """The error of a whole job, for that of one of its shares."""
    hint = getattr(failure, "hint", None) or "call it again: what is scored stays"
    return FailedError(f"failed to score part {part}: {failure}", hint, getattr(failure, "kind", "runtime"))


def _paths(inputs: Any) -> list[str]:
    given = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    for one in given:
        if not isinstance(one, (str, os.PathLike)):
            raise UsageError(
                f"failed to score an input of type {type(one).__name__} on other machines",
                "write it to files that all of them see, and give their paths; or use Scorer on its rows",
            )
    return [os.fspath(one) for one in given]


def _absolute(path: str) -> str:
    """The same path from any directory; a URL as it is."""
    if path.startswith(_LIST):
        return _LIST + _absolute(path.removeprefix(_LIST))
    return path if "://" in path else os.path.join(os.getcwd(), path)


def _elsewhere(name: str, value: Any) -> Any:
    if name not in _FILES:
        return value
    if isinstance(value, (list, tuple)):
        return [_elsewhere(name, one) for one in value]
    is_here = isinstance(value, (str, os.PathLike)) and os.path.exists(value)
    return os.path.abspath(value) if is_here else value


def _once(given: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for one in given:
        if one not in found:
            found.append(one)
    return found
