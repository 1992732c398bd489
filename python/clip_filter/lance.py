"""Lance datasets: scores become columns of them, and no image is written again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ._errors import UsageError
from ._scorer import Scorer

if TYPE_CHECKING:
    from lance import LanceDataset

# How Lance marks a column whose values lie apart, and are read by row.
_BLOB = b"lance-encoding:blob"
_ROW = "_rowid"
# Names by which columns are found, as on the command line.
_IMAGES = ("image", "image_bytes", "jpg", "jpeg", "png", "webp")
_TEXTS = ("text", "caption", "TEXT", "txt")


def add_scores(
    dataset: LanceDataset | str | os.PathLike,
    model: str = "bundled",
    columns: Sequence[str] = ("clip_score", "status"),
    *,
    batch_size: int = 256,
    **options: Any,
) -> LanceDataset:
    """Scores the rows of a Lance dataset and adds the scores to it as columns, in one new version.

    Only the new columns are written (``add_columns``). Images may lie in a blob column: they are fetched by row, a batch at a
    time.

    Args:
        dataset: A ``lance.LanceDataset``, or where one is.
        model, columns, **options: Those of :class:`clip_filter.Scorer`.
        batch_size: Rows that are held at a time, with their images.

    Returns:
        The dataset with the columns.

    Raises:
        UsageError: The dataset has a column of an added name, an option is unknown, or a column depends on all rows.
        FailedError: The model cannot be loaded, or fails; the dataset is as it was. A bad row is no failure: its score is null.
    """
    import lance

    if isinstance(dataset, (str, os.PathLike)):
        dataset = lance.dataset(os.fspath(dataset))
    image = _column(dataset.schema, options.get("image_column"), _IMAGES)
    text = _column(dataset.schema, options.get("text_column"), _TEXTS)
    scorer = Scorer(model, columns, **{**options, "image_column": image, "text_column": text})
    is_blob = _is_blob(dataset.schema.field(image))
    given = _pairs_schema(dataset.schema, image, text, is_blob)
    added = list(scorer.output_schema(given))[len(given) :]
    taken = [field.name for field in added if field.name in dataset.schema.names]
    if taken:
        raise UsageError(f"failed to add the columns {taken}: the dataset has them", 'prefix="new_", or drop_columns')
    schema = pa.schema([field.remove_metadata() for field in added])
    scorer.load()

    # The dataset itself is taken while columns are added to it.
    reading = dataset.checkout_version(dataset.version)

    def score(batch: pa.RecordBatch) -> pa.RecordBatch:
        # Threads of Lance, which this is called on, cannot ask it for blobs.
        pictures = fetch.submit(_blobs, reading, batch.column(_ROW), image).result() if is_blob else batch.column(image)
        pairs = pa.record_batch([pictures, batch.column(text)], schema=given)
        return scorer(pairs).select(schema.names).cast(schema)

    transform = lance.batch_udf(output_schema=schema)(score)
    with ThreadPoolExecutor(1) as fetch:
        columns_read = [_ROW, text] if is_blob else [image, text]
        dataset.add_columns(transform, read_columns=columns_read, batch_size=batch_size)
    return dataset


def _column(schema: pa.Schema, named: str | None, names: Sequence[str]) -> str:
    found = next((name for name in ([named] if named else names) if name in schema.names), None)
    if found is None:
        wanted = repr(named) if named else f"any of {', '.join(names)}"
        raise UsageError(f"failed to find a column: the dataset has no {wanted}", "image_column=..., text_column=...")
    return found


def _is_blob(field: pa.Field) -> bool:
    return (field.metadata or {}).get(_BLOB) == b"true" or getattr(field.type, "extension_name", "") == "lance.blob.v2"


def _pairs_schema(schema: pa.Schema, image: str, text: str, is_blob: bool) -> pa.Schema:
    pictures = pa.field(image, pa.large_binary()) if is_blob else schema.field(image)
    return pa.schema([pictures.remove_metadata(), schema.field(text).remove_metadata()])


def _blobs(dataset: LanceDataset, rows: pa.Array, image: str) -> pa.Array:
    """Values of a blob column, by row."""
    found = []
    for blob in dataset.take_blobs(image, ids=rows):
        if blob is None:
            found.append(None)
            continue
        with blob as file:
            found.append(file.readall())
    return pa.array(found, pa.large_binary())
