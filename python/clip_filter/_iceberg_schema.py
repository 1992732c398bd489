"""Whether files and a table of Iceberg mean the same by their columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ._errors import UsageError

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table

# Where pyarrow keeps the number that a writer of Iceberg gave to a column.
_FIELD_ID = b"PARQUET:field_id"


def check_read(schema: Schema, path: str, file: pa.Schema, partition: dict[str, Any]) -> None:
    """Refuses a file whose columns, by their names, are not those that the table means by its numbers.

    Raises:
        UsageError: A column was renamed, dropped, or added with a default since the file was written.
    """
    columns = {field.field_id: field for field in schema.fields}
    names = {field.name: field for field in schema.fields}
    numbers = {}
    for field in file:
        number = (field.metadata or {}).get(_FIELD_ID)
        if number is None:
            # A file that was added as it lay: names are what counts.
            number = names[field.name].field_id if field.name in names else None
        numbers[field.name] = None if number is None else int(number)
    for name, number in numbers.items():
        there = columns.get(number)
        if there is None:
            raise _changed(path, f"it has the column '{name}', and the table has dropped it")
        if there.name != name:
            raise _changed(path, f"its column '{name}' is '{there.name}' in the table")
    for number, field in columns.items():
        is_there = number in numbers.values() or field.name in partition
        if not is_there and getattr(field, "initial_default", None) is not None:
            raise _changed(path, f"it lacks the column '{field.name}', which has a default")
    for name, field in file_structs(file):
        _check_within(schema, path, name, field)


def file_structs(file: pa.Schema) -> list[tuple[str, pa.Field]]:
    """Columns that have fields within, of structs alone."""
    return [(field.name, field) for field in file if pa.types.is_struct(field.type)]


def _check_within(schema: Schema, path: str, name: str, field: pa.Field) -> None:
    for inner in field.type:
        full = f"{name}.{inner.name}"
        number = (inner.metadata or {}).get(_FIELD_ID)
        if number is not None and schema.find_column_name(int(number)) != full:
            there = schema.find_column_name(int(number)) or "dropped"
            raise _changed(path, f"its column '{full}' is '{there}' in the table")
        if pa.types.is_struct(inner.type):
            _check_within(schema, path, full, inner)


def _changed(path: str, what: str) -> UsageError:
    return UsageError(
        f"failed to read a file of the table by the names of its columns: {what}\n  file: {path}",
        "rewrite the data files of the table, so that they have its columns of today",
    )


def check_appended(table: Table, path: str, file: pa.Schema) -> None:
    """Refuses a file that does not fit the table.

    Raises:
        UsageError: With each column that is missing, of another type, unknown to the table, or null where it must not be.
    """
    from pyiceberg.io.pyarrow import pyarrow_to_schema

    if any(_FIELD_ID in (field.metadata or {}) for field in file):
        raise UsageError(
            f"failed to add a file to the table {'.'.join(table.name())}: its columns have the numbers of some other table\n"
            f"  file: {path}",
            "write it with clip_filter",
        )
    wrong = []
    mapping = table.schema().name_mapping
    fields = {field.name: field for field in file}
    version = table.format_version
    for field in table.schema().fields:
        given = fields.pop(field.name, None)
        if given is None:
            if field.required:
                wrong.append(f"'{field.name}' is missing, and the table wants it in every row")
            continue
        try:
            converted = pyarrow_to_schema(pa.schema([given]), name_mapping=mapping, format_version=version)
        except (TypeError, ValueError) as failure:
            wrong.append(f"'{field.name}' is {given.type}, and {field.field_type} in the table: {failure}")
            continue
        there = converted.fields[0].field_type
        if str(there) != str(field.field_type) and not _is_promoted(there, field.field_type):
            wrong.append(f"'{field.name}' is {given.type}, and {field.field_type} in the table")
        elif field.required and given.nullable:
            wrong.append(f"'{field.name}' may be null, and must not be in the table")
    wrong += [f"'{name}' is no column of the table" for name in fields]
    if wrong:
        raise UsageError(
            f"failed to add a file to the table {'.'.join(table.name())}: {'; '.join(wrong)}\n  file: {path}",
            "with table.update_schema() as update: update.union_by_name(...), for columns that the table lacks",
        )


def _is_promoted(given: Any, there: Any) -> bool:
    from pyiceberg.exceptions import ResolveError
    from pyiceberg.schema import promote

    try:
        return promote(given, there) == there
    except ResolveError:
        return False
