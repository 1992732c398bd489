"""Scores rows as they come, in any process."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from . import _native
from ._errors import FailedError
from ._progress import Hearing
from ._stream import ipc_batches

# Rows that are scored in one call: enough for decoding and encoding to overlap, few enough to hold.
_PORTION_ROWS = 1024
_PORTION_BYTES = 64 << 20

# A forked child that waits for a model, and in so many seconds has used less processor time than this, waits for a lock that
# nobody will open: its parent's threads are not there.
_IDLE_SECS = 5.0
_IDLE_PROCESSOR_SECS = 0.05

_alive: weakref.WeakSet[Scorer] = weakref.WeakSet()
# What a forked child has of its parent: its threads are not there, so that it is never ended, either.
_left_behind: list[object] = []
# Whether this process, or the one that it was forked of, has loaded a model.
_has_loaded = False
_is_forked = False


def _after_fork() -> None:
    global _is_forked
    _is_forked = _has_loaded
    for scorer in _alive:
        _left_behind.append(scorer._native)
        scorer._native = None


os.register_at_fork(after_in_child=_after_fork)


class Scorer:
    """A model that adds columns to rows: for ``map_batches``, ``mapInArrow`` and loops.

    It can be pickled; the model is loaded by the first rows in each process, and its threads end with the object. A
    forked child loads its own.

    Args:
        model: As ``--model``: ``bundled``, a directory, or ``hf:org/name``.
        columns: What is added, in this order: ``clip_score`` (float32, null on a bad row), ``status``, ``reason``,
            ``width``, ``height``, ``image_embedding``, ``text_embedding`` (lists of float32, unit length).
        **options: Those of the command line of model, columns, pictures and resources: ``device="cuda:0"``,
            ``image_column="jpg"``, ``threads=4``, ``prefix="b32_"``.

    Raises:
        UsageError: An option is unknown, or selects; a column is unknown, or depends on all rows.
    """

    def __init__(
        self, model: str = "bundled", columns: Sequence[str] = ("clip_score", "status"), **options: Any
    ) -> None:
        self._columns = list(columns)
        self._options = {"model": model, **options}
        self._native: _native.Scoring | None = None
        self._opened()
        _alive.add(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"_columns": self._columns, "_options": self._options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _native=None)
        _alive.add(self)

    def __repr__(self) -> str:
        return f"Scorer(model={self._options['model']!r}, columns={self._columns!r})"

    def _opened(self) -> _native.Scoring:
        if self._native is None:
            self._native = _native.Scoring(self._columns, self._options)
        return self._native

    def output_schema(self, schema: pa.Schema) -> pa.Schema:
        """Columns of scored rows: those of ``schema``, then the added ones. Needs no model.

        Raises:
            UsageError: ``schema`` has a column of an added name.
            FailedError: It is not clear which columns hold images and captions.
        """
        return pa.ipc.open_stream(self._opened().schema(_ipc(schema, None))).schema

    def __call__(self, rows: pa.RecordBatch | pa.Table) -> pa.RecordBatch | pa.Table:
        """``rows`` with the columns added; as many, in the same order.

        Raises:
            FailedError: The model cannot be loaded, or fails. A bad row is no failure: its score is null.
        """
        batches = [rows] if isinstance(rows, pa.RecordBatch) else rows.to_batches()
        schema = self.output_schema(rows.schema)
        scored = pa.Table.from_batches(self.map(batches), schema)
        if isinstance(rows, pa.Table):
            return scored
        whole = scored.combine_chunks().to_batches()
        return whole[0] if whole else pa.RecordBatch.from_pylist([], schema)

    def map(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Scored batches of the rows of ``batches``, in their order, cut anew: at most 1,024 rows or 64 MiB in one."""
        for portion in _portions(batches):
            yield from self._scored(portion)

    def load(self) -> None:
        """Loads the model now, rather than with the first rows.

        Raises:
            FailedError: It cannot be loaded.
        """
        global _has_loaded
        self._opened().load(_Idle() if _is_forked else Hearing(None))
        _has_loaded = True

    def _scored(self, rows: pa.RecordBatch) -> list[pa.RecordBatch]:
        self.load()
        return ipc_batches(self._opened().score(_ipc(rows.schema, rows), _Idle() if _is_forked else None))


class _Idle:
    """Ends a wait in a forked child in which nothing is done: its parent may have held a lock of ONNX Runtime."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._since, self._used = time.monotonic(), time.process_time()

    def __call__(self, lines: list[str], counts: tuple) -> None:
        if time.process_time() - self._used > _IDLE_PROCESSOR_SECS:
            self._start()
        elif time.monotonic() - self._since > _IDLE_SECS:
            hint = "start processes with spawn, or make the Scorer in the child only"
            raise FailedError(
                f"failed to use a model in a forked process: it does not answer\n  try: {hint}", hint, "runtime"
            )


def _ipc(schema: pa.Schema, batch: pa.RecordBatch | None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        if batch is not None:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _portions(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        if held and not batch.schema.equals(held[0].schema):
            yield _joined(held)
            held, rows, size = [], 0, 0
        for piece in _pieces(batch):
            if held and (rows + piece.num_rows > _PORTION_ROWS or size + piece.nbytes > _PORTION_BYTES):
                yield _joined(held)
                held, rows, size = [], 0, 0
            held.append(piece)
            rows += piece.num_rows
            size += piece.nbytes
    if held:
        yield _joined(held)


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    most = _PORTION_ROWS
    if batch.num_rows and batch.nbytes > _PORTION_BYTES:
        most = max(1, min(most, batch.num_rows * _PORTION_BYTES // batch.nbytes))
    for start in range(0, batch.num_rows, most):
        yield batch.slice(start, most)


def _joined(held: list[pa.RecordBatch]) -> pa.RecordBatch:
    return held[0] if len(held) == 1 else pa.concat_batches(held)
