"""Rows while they are scored and filtered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from . import _native
from ._errors import UsageError
from ._inputs import Inputs
from ._progress import Hearing
from ._summary import Summary


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


class Stream:
    """Rows that are kept, scored and filtered while they are read.

    Every ``iter()`` and every ``__arrow_c_stream__()`` begins a pass of its own with the first row. It can be pickled if
    its inputs are paths.
    """

    def __init__(self, inputs: Any, progress: Any = None, **options: Any) -> None:
        self._inputs = Inputs(inputs)
        self._progress = progress
        self._options = {**options, "online": True}
        self._summary: Summary | None = None
        # What cannot be meant is refused where it is written.
        self._job()

    def _job(self) -> _native.Job:
        return _native.Job(None, [*self._inputs.paths, "-"], self._options)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Batches, in the order of rows, as they are scored.

        Leaving the loop early stops the work.

        Raises:
            FailedError: Scoring failed. What was given before are good rows; they are not all.
        """
        batches = self._batches()
        try:
            yield from batches
            self._summary = Summary._of_json(batches.facts)
        finally:
            batches.close()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The same as an Arrow C stream; an error of scoring is one of the stream."""
        return self.reader().__arrow_c_stream__(requested_schema)

    def reader(self) -> pa.RecordBatchReader:
        """The same as a RecordBatchReader."""
        batches = self._batches()

        def rows() -> Iterator[pa.RecordBatch]:
            yield from batches
            self._summary = Summary._of_json(batches.facts)

        return pa.RecordBatchReader.from_batches(batches.schema, rows())

    def _batches(self) -> Batches:
        return read_batches(self._job(), self._progress, keep=self._inputs)

    @property
    def schema(self) -> pa.Schema:
        """Columns: all of the inputs, ``clip_score``, and those that ``add`` names. Needs the model to be loaded."""
        batches = self._batches()
        try:
            return batches.schema
        finally:
            batches.close()

    @property
    def summary(self) -> Summary | None:
        """What the last pass that was read to its end did; None before there is one."""
        return self._summary


def stream(inputs: Any, *, progress: Any = None, **options: Any) -> Stream:
    """Pairs that are kept, scored and filtered in one pass while somebody reads them.

    As ``clip-filter IN... - --online``: ``keep`` holds within 0.02 over any 10,000 rows, by a threshold that is learned on
    the way; nothing is stored.

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
