"""Rows of shards for PyTorch's loaders."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import torch
from torch.utils.data import IterableDataset, get_worker_info

from . import _native
from ._errors import UsageError
from ._inputs import Inputs
from ._progress import logger
from ._random import number, order
from ._stream import ipc_batches

# Workers of one process whose bad rows are counted apart.
_COUNTED_WORKERS = 256
# What a forked child has of its parent, never ended.
_left_behind: list[object] = []
# Bytes of rows that wait to be drawn, whatever `buffer_rows` says.
_BUFFER_BYTES = 256 << 20


class TorchDataset(IterableDataset):
    """Rows of Parquet shards, divided over ranks and workers, shuffled in bounded memory, resumed to the row.

    One row is a ``dict``: a picture is ``bytes`` or, with ``pixels``, a ``uint8`` tensor of ``[3, pixels, pixels]``
    (R G B); all else is what ``to_pylist`` of pyarrow makes of it.

    Args:
        inputs: As for :func:`clip_filter.filter`; an output of it, usually.
        columns: Columns of a row; all if not given.
        pixels: Edge in pixels: pictures are decoded, the shorter edge resized to it (bicubic as in Pillow, across first), the
            middle taken.
        shuffle: Draw shards in another order every epoch, and rows from a buffer.
        buffer_rows: Rows that wait to be drawn: at most this many, and at most 256 MiB of them.
        seed: Decides the order, with the epoch and nothing else.
        weights: A column that says how often a row is seen in an epoch. A fraction is a chance: of 2.3, twice, and a third
            time in 3 of 10 epochs.
        rank, world_size: Which part of the rows; those of ``torch.distributed``, or ``RANK`` and ``WORLD_SIZE``, if not given.
        transform: Called with every row; what it returns is the row.
        **options: Those of the command line of inputs and pictures: ``image_column``, ``orientation="apply"``,
            ``max_pixels``, ``on_bad_shard="skip"``.

    A row whose picture is missing or damaged is left out and counted in :attr:`bad_rows`. Ranks get different numbers of rows
    unless these divide evenly.

    Raises:
        UsageError: An option or a column is unknown.
        FailedError: A shard cannot be read: here, or from the loop where it is found to be damaged.
    """

    def __init__(
        self,
        inputs: Any,
        *,
        columns: Sequence[str] | None = None,
        pixels: int | None = None,
        shuffle: bool = False,
        buffer_rows: int = 1000,
        seed: int = 0,
        weights: str | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        transform: Callable[[dict[str, Any]], Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self._inputs = Inputs(inputs)
        self._options = options
        self._pixels = pixels
        self._shuffle = shuffle
        self._buffer_rows = max(1, buffer_rows if shuffle else 1)
        self._seed = seed
        self._weights = weights
        self._transform = transform
        self._rank, self._world_size = _place(rank, world_size)
        # Shared with workers, whichever way they are started.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        self._bad = torch.zeros((_COUNTED_WORKERS, len(_native.STATUSES)), dtype=torch.int64).share_memory_()
        self._shards: _native.Shards | None = None
        self._process = os.getpid()
        self._rows: _Rows | None = None
        self._pending: dict[str, Any] | None = None
        shards = self._open()
        for line in shards.told():
            logger.warning("%s", line)
        self._listed = shards.shards()
        names = pa.ipc.open_stream(shards.schema()).schema.names
        self._columns = list(names if columns is None else columns)
        missing = [name for name in [*self._columns, *([weights] if weights else [])] if name not in names]
        if missing:
            raise UsageError(f"failed to read the columns {missing}: there are {names}")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_shards": None, "_rows": None}

    def _open(self) -> _native.Shards:
        if self._process != os.getpid():
            # A forked child opens its own: what reads from object stores has threads.
            _left_behind.append(self._shards)
            self._shards, self._process = None, os.getpid()
        if self._shards is None:
            self._shards = _native.Shards(self._inputs.paths, self._pixels, self._options)
        return self._shards

    def set_epoch(self, epoch: int) -> None:
        """Draws the order of this epoch from the next ``iter()`` on, in workers that live on, too."""
        self._epoch[0] = epoch

    @property
    def bad_rows(self) -> dict[str, int]:
        """Rows that were left out so far by this rank and its workers, by reason."""
        counts = self._bad.sum(dim=0).tolist()
        return {name: rows for name, rows in zip(_native.STATUSES, counts) if rows}

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        rows = _Rows(self, self._rank * workers + worker, self._world_size * workers, worker)
        if self._pending is not None:
            rows.load_state_dict(self._pending)
            self._pending = None
        self._rows = rows
        return rows

    def state_dict(self) -> dict[str, Any]:
        """Where the loop is, exact to the row: for ``StatefulDataLoader``, or to be saved by hand without workers."""
        if self._pending is not None:
            return self._pending
        rows = self._rows or iter(self)
        return rows.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from there with the next ``iter()``.

        Raises:
            UsageError: (from the loop) The state is of other shards, another seed, or another number of workers.
        """
        self._pending = state
        self.set_epoch(state["epoch"])


class _Rows(Iterator[Any]):
    """Rows of one reader in one epoch."""

    def __init__(self, dataset: TorchDataset, reader: int, readers: int, worker: int) -> None:
        self._dataset = dataset
        self._reader, self._readers, self._worker = reader, readers, worker
        self._start(int(dataset._epoch[0]))

    def _start(self, epoch: int) -> None:
        self._epoch = epoch
        self._units = _units(self._dataset, epoch, self._reader, self._readers)
        self._unit = 0
        # The next row of the unit, and which of its repetitions; where reading goes on.
        self._row: int | None = None
        self._copy = 0
        self._draws = 0
        self._buffer: list[_Waiting] = []
        self._buffer_bytes = 0
        self._wanted: list[list[int]] = []
        self._source: Iterator[_Waiting] | None = None

    def state_dict(self) -> dict[str, Any]:
        dataset = self._dataset
        return {
            "epoch": self._epoch,
            "unit": self._unit,
            "row": self._row,
            "copy": self._copy,
            "draws": self._draws,
            "buffer": self._wanted or [[one.shard, one.row, one.copy] for one in self._buffer],
            "of": _identity(dataset, self._readers),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        own = _identity(self._dataset, self._readers)
        for what, value in own.items():
            if state["of"].get(what) != value:
                raise UsageError(
                    f"failed to go on from a state: its {what} is {state['of'].get(what)!r}, here it is {value!r}",
                    "make the dataset as it was when the state was taken",
                )
        self._start(state["epoch"])
        self._unit, self._row, self._copy = state["unit"], state["row"], state["copy"]
        self._draws = state["draws"]
        self._wanted = [list(one) for one in state["buffer"]]

    def __next__(self) -> Any:
        dataset = self._dataset
        if self._source is None:
            self._source = self._read()
            self._refill()
        while True:
            self._fill()
            if not self._buffer:
                raise StopIteration
            row = self._made(self._drawn())
            if row is not None:
                return row if dataset._transform is None else dataset._transform(row)

    def _drawn(self) -> _Waiting:
        buffer = self._buffer
        at = 0
        if self._dataset._shuffle:
            at = number(self._dataset._seed, self._epoch, self._reader, self._draws) % len(buffer)
            self._draws += 1
        # The last one takes its place: nothing is moved.
        drawn, buffer[at] = buffer[at], buffer[-1]
        buffer.pop()
        self._buffer_bytes -= drawn.size
        return drawn

    def _fill(self) -> None:
        most = self._dataset._buffer_rows
        while len(self._buffer) < most and (self._buffer_bytes < _BUFFER_BYTES or not self._buffer):
            waiting = next(self._source, None)
            if waiting is None:
                return
            self._buffer.append(waiting)
            self._buffer_bytes += waiting.size

    def _read(self) -> Iterator[_Waiting]:
        dataset = self._dataset
        while self._unit < len(self._units):
            shard, first, end = self._units[self._unit]
            for row, values, size in _rows_of(dataset, shard, self._row or first, end):
                times = _times(dataset, values, self._epoch, shard, row)
                while self._copy < times:
                    copy = self._copy
                    # Where to go on is known before the row is given.
                    self._row, self._copy = row, copy + 1
                    yield _Waiting(shard, row, copy, size, values)
                self._row, self._copy = row + 1, 0
            self._unit, self._row, self._copy = self._unit + 1, None, 0

    def _refill(self) -> None:
        """Reads again what waited when a state was taken."""
        found: dict[tuple[int, int], tuple[dict[str, Any], int]] = {}
        wanted = sorted({(shard, row) for shard, row, _ in self._wanted})
        at = 0
        while at < len(wanted):
            shard, first = wanted[at]
            rows = {row for of, row in wanted[at:] if of == shard}
            for row, values, size in _rows_of(self._dataset, shard, first, max(rows) + 1):
                if row in rows:
                    found[shard, row] = (values, size)
            at += len(rows)
        for shard, row, copy in self._wanted:
            values, size = found[shard, row]
            self._buffer.append(_Waiting(shard, row, copy, size, values))
            self._buffer_bytes += size
        self._wanted = []

    def _made(self, waiting: _Waiting) -> dict[str, Any] | None:
        """The row as a loop gets it, or None if it is a bad one."""
        dataset = self._dataset
        shards = dataset._open()
        values = {name: waiting.values[name] for name in dataset._columns}
        image = shards.image()
        if image is None or image not in values:
            return values
        given, fault = _picture(shards, waiting.shard, values[image])
        if fault is None and dataset._pixels is None:
            fault = shards.fault(given)
        elif fault is None:
            given, fault = shards.pixels(given)
        if fault is not None:
            slot = self._worker % _COUNTED_WORKERS
            dataset._bad[slot, _native.STATUSES.index(fault)] += 1
            return None
        values[image] = given
        if dataset._pixels is not None:
            edge = dataset._pixels
            pixels = torch.frombuffer(bytearray(given), dtype=torch.uint8)
            values[image] = pixels.view(edge, edge, 3).permute(2, 0, 1).contiguous()
        return values


class _Waiting:
    """A row that waits to be drawn."""

    __slots__ = ("shard", "row", "copy", "size", "values")

    def __init__(self, shard: int, row: int, copy: int, size: int, values: dict[str, Any]) -> None:
        self.shard, self.row, self.copy, self.size, self.values = shard, row, copy, size, values


def _rows_of(
    dataset: TorchDataset, shard: int, first: int, end: int
) -> Iterator[tuple[int, dict[str, Any], int]]:
    """Position, values and bytes of the rows of a shard from ``first`` to before ``end``."""
    columns = {*dataset._columns, *([dataset._weights] if dataset._weights else [])}
    rows = dataset._open().read(shard, first, sorted(columns))
    while (data := rows.next()) is not None:
        for batch in ipc_batches(data):
            size = batch.nbytes // batch.num_rows
            for values in batch.to_pylist():
                row = values.pop("__row")
                if row >= end:
                    return
                yield row, values, size


def _times(dataset: TorchDataset, values: dict[str, Any], epoch: int, shard: int, row: int) -> int:
    if dataset._weights is None:
        return 1
    weight = values[dataset._weights]
    if weight is None or not weight > 0:
        return 0
    whole = math.floor(weight)
    chance = number(dataset._seed, epoch, shard, row) / 2**64
    return whole + (chance < weight - whole)


def _picture(shards: _native.Shards, shard: int, value: Any) -> tuple[bytes | None, str | None]:
    if isinstance(value, dict):
        if value.get("bytes") is None and value.get("path"):
            return shards.file(shard, value["path"])
        value = value.get("bytes")
    return (None, "null_image") if value is None else (value, None)


def _units(dataset: TorchDataset, epoch: int, reader: int, readers: int) -> list[tuple[int, int, int]]:
    """Stretches of rows of this reader, in order: shards, or equal parts of them where there are fewer than readers."""
    listed = dataset._listed
    parts = math.ceil(readers / max(1, len(listed)))
    units = []
    for shard, (_, _, rows) in enumerate(listed):
        bounds = [rows * part // parts for part in range(parts + 1)]
        units += [(shard, first, end) for first, end in zip(bounds, bounds[1:]) if end > first]
    if dataset._shuffle:
        units = [units[at] for at in order(len(units), dataset._seed, epoch)]
    return units[reader::readers]


def _identity(dataset: TorchDataset, readers: int) -> dict[str, Any]:
    """What a state is only good for."""
    listed = "\n".join(f"{fingerprint} {rows}" for _, fingerprint, rows in dataset._listed)
    return {
        "shards": hashlib.sha256(listed.encode()).hexdigest()[:16],
        "seed": dataset._seed,
        "shuffle": dataset._shuffle,
        "buffer_rows": dataset._buffer_rows,
        "weights": dataset._weights,
        "number of readers": readers,
    }


def _place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    if (rank is None) != (world_size is None):
        raise UsageError("failed to divide the rows: rank and world_size go together")
    if rank is None:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        else:
            rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if not 0 <= rank < world_size:
        raise UsageError(f"failed to divide the rows: rank {rank} is not one of {world_size}")
    return rank, world_size
