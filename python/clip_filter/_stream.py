"""Rows while they are scored and filtered."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from . import _native
from ._errors import UsageError
from ._inputs import Inputs
from ._progress import Hearing
from ._summary import Summary

# The output of an online run on the command line; here its rows are read instead.
_STDOUT = "-"


def ipc_batches(data: bytes) -> list[pa.RecordBatch]:
    """Batches with rows of an Arrow IPC stream in memory, without copying."""
    return [batch for batch in pa.ipc.open_stream(data) if batch.num_rows]


class Batches(Iterator[pa.RecordBatch]):
    """Batches of one pass over the rows of a command.

    The end is an end that the command has told; whatever else happens to it is raised here, and again at every further
    call, so that rows that are missing never look like the end.
    """

    def __init__(self, job: _native.Job, progress: Any, keep: Any = None) -> None:
        self._hear = Hearing(progress)
        self._rows = job.rows(self._hear)
        # Inputs that last as long as they are read.
        self._keep = keep
        self._pending: list[pa.RecordBatch] = []
        self._schema: pa.Schema | None = None
        self._failure: BaseException | None = None
        self._ended = False
        self.facts: str | None = None

    @property
    def schema(self) -> pa.Schema:
        """Columns of the batches; waits until they are known."""
        while self._schema is None:
            self._step()
        return self._schema

    def __next__(self) -> pa.RecordBatch:
        while not self._pending:
            if self._ended:
                raise StopIteration
            self._step()
        return self._pending.pop(0)

    def _step(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._ended:
            raise UsageError("failed to read rows: the stream has none")
        try:
            what, given = self._rows.next()
        except BaseException as failure:
            self._failure = failure
            self.close()
            raise
        if what == "schema":
            self._schema = pa.ipc.open_stream(given).schema
        elif what == "rows":
            self._pending.extend(ipc_batches(given))
        else:
            self.facts = given
            self._ended = True
            self.close()

    def close(self) -> None:
        """Stops the command, and waits until it has."""
        if not self._ended and self._failure is None:
            self._failure = UsageError("failed to read on: the stream was closed")
        self._rows.close()
        self._hear.__exit__()

    def __del__(self) -> None:
        if hasattr(self, "_rows"):
            self.close()


def read_batches(job: _native.Job, progress: Any, keep: Any = None) -> Batches:
    """Starts a command whose rows are read."""
    return Batches(job, progress, keep)


class _Kept:
    """A directory for what a selection keeps; it goes with this object."""

    def __init__(self) -> None:
        directory = tempfile.mkdtemp(prefix="clip-filter-")
        weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
        self.path = os.path.join(directory, "kept")

    def columns(self) -> list[str]:
        files = sorted(name for name in os.listdir(self.path) if name.endswith(".parquet"))
        return pq.read_schema(os.path.join(self.path, files[0])).names


class Stream:
    """Rows that are kept, scored and filtered while they are read; or, with ``scores``, once they are selected.

    Every ``iter()`` and every ``__arrow_c_stream__()`` begins a pass of its own with the first row. It can be pickled if
    its inputs are paths.
    """

    def __init__(self, inputs: Any, progress: Any = None, **options: Any) -> None:
        self._inputs = Inputs(inputs)
        self._progress = progress
        self._is_stored = options.get("scores") is not None
        self._options = options if self._is_stored else {**options, "online": True}
        self._summary: Summary | None = None
        # What cannot be meant is refused where it is written.
        self._job("kept" if self._is_stored else _STDOUT)

    def _job(self, output: str) -> _native.Job:
        return _native.Job(None, [*self._inputs.paths, output], self._options)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Batches, in the order of rows, as they are scored.

        Leaving the loop early stops the work.

        Raises:
            FailedError: Scoring failed. What was given before are good rows; they are not all.
        """
        batches = self._batches()
        try:
            yield from self._told(batches)
        finally:
            batches.close()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The same as an Arrow C stream; an error of scoring is one of the stream."""
        return self.reader().__arrow_c_stream__(requested_schema)

    def reader(self) -> pa.RecordBatchReader:
        """The same as a RecordBatchReader."""
        batches = self._batches()
        return pa.RecordBatchReader.from_batches(batches.schema, self._told(batches))

    def _told(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        yield from batches
        if not self._is_stored:
            self._summary = Summary._of_json(batches.facts)

    def _batches(self) -> Batches:
        if not self._is_stored:
            return read_batches(self._job(_STDOUT), self._progress, keep=self._inputs)
        kept = _Kept()
        with Hearing(self._progress) as hear:
            facts, _ = self._job(kept.path).run(hear)
        self._summary = Summary._of_json(facts)
        columns = ", ".join('"' + name.replace('"', '""') + '"' for name in kept.columns())
        job = _native.Job("sql", [f"SELECT {columns} FROM pairs"], {"input": [f"pairs={kept.path}"]})
        return read_batches(job, None, keep=kept)

    @property
    def schema(self) -> pa.Schema:
        """Columns: all of the inputs, ``clip_score``, and those that ``add`` names. Begins a pass to know them."""
        batches = self._batches()
        try:
            return batches.schema
        finally:
            batches.close()

    @property
    def summary(self) -> Summary | None:
        """What the last pass that was read to its end, or the last selection, did; None before there is one."""
        return self._summary


def stream(inputs: Any, *, progress: Any = None, **options: Any) -> Stream:
    """Pairs that are kept, scored and filtered in one pass while somebody reads them.

    As ``clip-filter IN... - --online``: ``keep`` holds within 0.02 over any 10,000 rows, by a threshold that is learned on
    the way; nothing is stored. With ``scores="scores/"`` the selection is that of :func:`clip_filter.filter`, exact and with all of
    its options; what it keeps lies in a temporary directory while it is read.

    Args:
        inputs: As for :func:`clip_filter.filter`.
        progress: As for :func:`clip_filter.filter`.
        **options: ``keep``, ``min_score`` or ``where``, and the other options of an online run.

    Returns:
        An object that pyarrow, pandas, Polars, DuckDB and training loops read: ``for batch in stream(...)`` gives
        ``pyarrow.RecordBatch``, ``pa.table(stream(...))`` all of it.

    Raises:
        UsageError: An option is unknown, or one pass cannot do it.
    """
    return Stream(inputs, progress, **options)
