"""Iceberg tables through PyIceberg: what they hold is filtered, what is written is added to them."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from . import _commands
from ._errors import FailedError, UsageError
from ._iceberg_schema import check_appended, check_read
from ._summary import Summary

if TYPE_CHECKING:
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.manifest import DataFile
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table import FileScanTask, Table

# The name of a run in the summary of the snapshot that it made.
RUN_ID = "clip-filter.run-id"
# Types of which a list of files has values.
_SAYABLE = frozenset({"boolean", "int", "long", "float", "double", "string"})
# Pairs of a file's metadata that have its path in them: the command line, and Arrow's schema, which has all pairs.
_OF_THE_PLACE = (b"clip_filter.command", b"ARROW:schema")
# How often a commit is tried that others were ahead of.
_TRIES = 10


def plan(
    table: Table,
    path: str | os.PathLike,
    *,
    row_filter: str | BooleanExpression | None = None,
    snapshot_id: int | None = None,
) -> int:
    """Writes the files of a table as a list, which commands read as ``files:path``; how many there are.

    Deleted rows are left out: those of delete files by position, and of deletion vectors.

    Args:
        table: A ``pyiceberg.table.Table``.
        path: Where the list is written, as JSON lines.
        row_filter: Which files; it must be decided by partitions alone. Conditions on rows are ``where`` of a command.
        snapshot_id: An older state of the table; the current one if not given.

    Raises:
        UsageError: ``row_filter`` is a condition on rows, or the table has what a list of files cannot say: columns that
            were renamed, dropped or added with a default since a file was written, partitions by value that files lack.
        FailedError: The table cannot be planned: PyIceberg reads no deletes by equality.
    """
    lines = list(_lines(table, row_filter, snapshot_id))
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return len(lines)


def filter(
    table: Table,
    output: str | os.PathLike | None = None,
    *,
    row_filter: str | BooleanExpression | None = None,
    snapshot_id: int | None = None,
    **options: Any,
) -> Summary:
    """Keeps the pairs of an Iceberg table whose captions fit best, and writes them to ``output``.

    Arguments and exceptions are those of :func:`plan` and :func:`clip_filter.filter`.
    """
    with tempfile.TemporaryDirectory(prefix="clip-filter-") as folder:
        path = os.path.join(folder, "files.jsonl")
        if plan(table, path, row_filter=row_filter, snapshot_id=snapshot_id) == 0:
            raise FailedError(f"failed to find a file of the table {_name(table)}", "is there a snapshot?", "input")
        return _commands.filter(f"files:{path}", output, **options)


def append(table: Table, outputs: Any, *, run_id: str | None = None) -> int | None:
    """Adds the files of a run to a table as they lie, in one snapshot; nothing is copied.

    The snapshot has the name of the run in its summary, as ``clip-filter.run-id``. A run of that name that is in the
    table's history already adds nothing, so that a job that was killed behind its commit may be run again.

    Args:
        table: A ``pyiceberg.table.Table``.
        outputs: The ``Summary`` of the run; or its files, or folders of them, one or a list.
        run_id: The name of the run; a hash of the ends of its files if not given, which say all but the values.

    Returns:
        The id of the snapshot that was made; None if the run was in the table.

    Raises:
        UsageError: The columns of a file are not those of the table; the message says which. Nothing is added.
        FailedError: There is no file, a file is in the table by another run, or the catalog refuses the commit.
    """
    from pyiceberg.exceptions import CommitFailedException

    paths = sorted(_files(outputs))
    if not paths:
        raise FailedError("failed to find a file to add to the table", "give what filter returned", "input")
    ends = [_end(table, path) for path in paths]
    run_id = run_id or _run_id(ends)
    for attempt in range(_TRIES):
        table.refresh()
        if _has_run(table, run_id):
            return None
        for path, end in zip(paths, ends):
            check_appended(table, path, end.schema.to_arrow_schema())
        once = _tried_once(table)
        try:
            once.add_files(paths, snapshot_properties={RUN_ID: run_id})
            table.refresh()
            return once.current_snapshot().snapshot_id
        except CommitFailedException as failure:
            # Somebody was ahead, perhaps with this very run.
            if attempt + 1 == _TRIES:
                raise _refused(table, failure) from failure
        except ValueError as failure:
            raise _refused(table, failure) from failure
    return None


def _lines(table: Table, row_filter: Any, snapshot_id: int | None) -> Iterator[dict[str, Any]]:
    from pyiceberg.expressions import AlwaysTrue

    scan = table.scan(snapshot_id=snapshot_id) if row_filter is None else table.scan(row_filter, snapshot_id=snapshot_id)
    try:
        tasks = list(scan.plan_files())
    except (NotImplementedError, ValueError) as failure:
        raise FailedError(
            f"failed to plan the table {_name(table)}: {failure}",
            "an engine that rewrites data files takes deletes away",
            "input",
        ) from failure
    schema = scan.projection()
    gone = _Deleted(table)
    for task in sorted(tasks, key=lambda task: task.file.file_path):
        if row_filter is not None and task.residual != AlwaysTrue():
            raise UsageError(
                f"failed to plan the table {_name(table)}: {row_filter} is decided row by row", 'where="..." as SQL'
            )
        values = _partition(table.specs()[task.file.spec_id], schema, task)
        check_read(schema, task.file.file_path, _end(table, task.file.file_path).schema.to_arrow_schema(), values)
        yield {"path": task.file.file_path, "partition": values, "left_out": gone.rows_of(task)}


def _partition(spec: PartitionSpec, schema: Schema, task: FileScanTask) -> dict[str, Any]:
    """Columns that have one value in all rows of the file, and that a list can say."""
    columns = {field.field_id: field for field in schema.fields}
    values = {}
    for number, field in enumerate(spec.fields):
        column = columns.get(field.source_id)
        is_sayable = column is not None and str(column.field_type) in _SAYABLE
        if is_sayable and str(field.transform) == "identity":
            values[column.name] = task.file.partition[number]
    return values


class _Deleted:
    """Positions of rows that delete files name; each is read once."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._read: dict[tuple[str, Any], dict[str, list[int]]] = {}

    def rows_of(self, task: FileScanTask) -> list[int]:
        found: set[int] = set()
        for deletes in task.delete_files:
            key = (deletes.file_path, getattr(deletes, "content_offset", None))
            if key not in self._read:
                self._read[key] = _positions(self._table, deletes)
            found.update(self._read[key].get(task.file.file_path, ()))
        return sorted(found)


def _positions(table: Table, deletes: DataFile) -> dict[str, list[int]]:
    """Positions of deleted rows, by data file."""
    from pyiceberg.manifest import DataFileContent, FileFormat

    if deletes.content != DataFileContent.POSITION_DELETES:
        raise FailedError(f"failed to read deletes by equality: {deletes.file_path}", None, "input")
    with table.io.new_input(deletes.file_path).open() as file:
        if deletes.file_format == FileFormat.PUFFIN:
            from pyiceberg.table.deletion_vector import deletion_vectors_from_puffin_file
            from pyiceberg.table.puffin import PuffinFile

            vectors = deletion_vectors_from_puffin_file(PuffinFile(file.read()))
            return {vector.referenced_data_file: vector.to_vector().to_pylist() for vector in vectors}
        if deletes.file_format != FileFormat.PARQUET:
            raise FailedError(f"failed to read deletes in {deletes.file_format}: {deletes.file_path}", None, "input")
        rows = pq.read_table(file, columns=["file_path", "pos"])
    found: dict[str, list[int]] = {}
    for path, position in zip(rows["file_path"].to_pylist(), rows["pos"].to_pylist()):
        found.setdefault(path, []).append(position)
    return found


def _files(outputs: Any) -> Iterable[str]:
    given = outputs.outputs if isinstance(outputs, Summary) else outputs
    for one in given if isinstance(given, (list, tuple)) else [given]:
        path = os.fspath(one)
        if "://" in path:
            yield path
        elif os.path.isdir(path):
            for folder, _, names in os.walk(os.path.abspath(path)):
                yield from (os.path.join(folder, name) for name in names if name.endswith(".parquet"))
        else:
            yield os.path.abspath(path)


def _end(table: Table, path: str) -> pq.FileMetaData:
    with table.io.new_input(path).open() as file:
        return pq.read_metadata(file)


def _run_id(ends: list[pq.FileMetaData]) -> str:
    """The same for what is the same but for where it lies, and where its input's list of files lay."""
    digests = sorted(hashlib.sha256(_said(end).encode()).hexdigest() for end in ends)
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:32]


def _said(end: pq.FileMetaData) -> str:
    """What the end of a file says of its rows and of how they were chosen."""
    pairs = sorted((key, value) for key, value in (end.metadata or {}).items() if key not in _OF_THE_PLACE)
    groups = [end.row_group(number).to_dict() for number in range(end.num_row_groups)]
    return repr((end.schema.to_arrow_schema().remove_metadata().to_string(), pairs, groups))


def _has_run(table: Table, run_id: str) -> bool:
    """Whether the run is in the history of the current state; a snapshot that was rolled back is not."""
    from pyiceberg.table.snapshots import ancestors_of

    ancestors = ancestors_of(table.current_snapshot(), table.metadata)
    return any(one.summary is not None and one.summary.additional_properties.get(RUN_ID) == run_id for one in ancestors)


def _tried_once(table: Table) -> Table:
    """The same table for one attempt to commit: PyIceberg's next one would not look whether the run is there by now."""
    properties = {**table.metadata.properties, "commit.retry.num-retries": "0"}
    metadata = table.metadata.model_copy(update={"properties": properties})
    return type(table)(table.name(), metadata, table.metadata_location, table.io, table.catalog, table.config)


def _refused(table: Table, failure: Exception) -> FailedError:
    return FailedError(f"failed to add files to the table {_name(table)}: {failure}", None, "output")


def _name(table: Table) -> str:
    return ".".join(table.name())
