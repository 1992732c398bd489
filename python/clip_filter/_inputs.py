"""Inputs as paths: those that are data in memory, or that somebody else reads, become a Parquet file that goes away again."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ._errors import UsageError

# pyarrow looks at the size of a page once per so many rows: pictures in pages of a thousand would be gigabytes.
_PAGE_ROWS = 16
_ROW_GROUP_BYTES = 64 << 20


class Inputs:
    """Paths of inputs, and the directory of those that had none; it goes with this object."""

    def __init__(self, given: Any) -> None:
        self._directory: str | None = None
        self.paths = [path for one in _each(given) for path in self._of(one)]

    def _of(self, given: Any) -> list[str]:
        if isinstance(given, (str, os.PathLike)):
            return [os.fspath(given)]
        files = _files_of_dataset(given)
        return files if files is not None else [self._spooled(given)]

    def _spooled(self, given: Any) -> str:
        schema, batches = _batches(given)
        if self._directory is None:
            self._directory = tempfile.mkdtemp(prefix="clip-filter-")
            weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)
        path = os.path.join(self._directory, f"given-{len(os.listdir(self._directory)):05}.parquet")
        _write(path, schema, batches)
        return path


def _each(given: Any) -> Iterable[Any]:
    return given if isinstance(given, (list, tuple)) else [given]


def _files_of_dataset(given: Any) -> list[str] | None:
    """Files of a pyarrow dataset that are local Parquet, all of which it reads."""
    import pyarrow.dataset as ds
    import pyarrow.fs as fs

    if not isinstance(given, ds.FileSystemDataset) or not isinstance(given.filesystem, fs.LocalFileSystem):
        return None
    is_parquet = isinstance(given.format, ds.ParquetFileFormat)
    # Folders that say something of their files are told apart by pyarrow, and files of two types brought together.
    plain = all(pq.read_schema(file).equals(given.schema) for file in given.files) if is_parquet else False
    return list(given.files) if plain else None


def _batches(given: Any) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    import pyarrow.dataset as ds

    if isinstance(given, ds.Dataset):
        return given.schema, given.to_batches(batch_size=256)
    if isinstance(given, ds.Scanner):
        return given.projected_schema, given.to_batches()
    if hasattr(given, "features") and hasattr(given, "with_format"):
        return _of_hugging_face(given)
    if hasattr(given, "__arrow_c_stream__"):
        reader = pa.RecordBatchReader.from_stream(given)
        return reader.schema, iter(reader)
    if isinstance(given, pa.RecordBatch):
        return given.schema, iter([given])
    raise UsageError(
        f"failed to read an input of type {type(given).__name__}",
        "give a path, a pyarrow Table, dataset or RecordBatchReader, or an object with __arrow_c_stream__",
    )


def _of_hugging_face(given: Any) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    if given.features is None:
        raise UsageError(
            "failed to read a Hugging Face dataset whose features are not known",
            "ds = ds.cast(features), or give the paths of its files",
        )
    schema = given.features.arrow_schema
    tables = given.with_format("arrow").iter(batch_size=256)
    return schema, (batch for table in tables for batch in table.cast(schema).to_batches())


def _write(path: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    held: list[pa.RecordBatch] = []
    bytes_held = 0
    # A page of pictures takes its pictures' bytes and no more.
    with pq.ParquetWriter(
        path, schema, compression="none", use_dictionary=False, write_batch_size=_PAGE_ROWS, data_page_size=1 << 20
    ) as writer:
        for batch in batches:
            held.append(batch)
            bytes_held += batch.nbytes
            if bytes_held >= _ROW_GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(held, schema))
                held, bytes_held = [], 0
        if held:
            writer.write_table(pa.Table.from_batches(held, schema))
