"""Daft: a class whose instances score columns of data frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from daft import DataType, Expression, Series, udf

from ._errors import UsageError
from ._scorer import Scorer

_IMAGE, _TEXT = "image", "text"


def DaftScorer(  # noqa: N802 - used as the class that it gives an instance of
    model: str = "bundled",
    columns: Sequence[str] = ("clip_score", "status"),
    *,
    concurrency: int = 1,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
    batch_size: int = 512,
    **options: Any,
) -> Any:
    """A function of Daft that scores pairs: ``score = DaftScorer("mock"); df.with_column("clip", score(df["image"], df["text"]))``.

    Args:
        model, columns, **options: Those of :class:`clip_filter.Scorer`. Columns are named here, so that ``image_column`` and
            ``text_column`` are none of them.
        concurrency: Processes, each with a model of its own.
        num_cpus, num_gpus: Of each process; ``threads`` is ``num_cpus`` if not given.
        batch_size: Most rows of a call.

    Returns:
        A function of two expressions, of images (bytes, or structs of ``bytes`` and ``path``) and captions. It gives a
        struct with a field for each of ``columns``, as many rows and in the same order: ``.get("clip_score")``. A bad row is
        no failure: its score is null.

    Raises:
        UsageError: An option is unknown, a column is unknown or depends on all rows.
    """
    for name in ("image_column", "text_column", "prefix"):
        if name in options:
            raise UsageError(f"failed to score with {name}: columns are arguments of the function")
    if num_cpus is not None:
        options.setdefault("threads", max(1, int(num_cpus)))
    options |= {"image_column": _IMAGE, "text_column": _TEXT}
    scorer = Scorer(model, columns, **options)
    given = pa.schema([(_IMAGE, pa.binary()), (_TEXT, pa.string())])
    added = list(scorer.output_schema(given))[len(given) :]
    fields = {field.name: DataType.from_arrow_type(field.type) for field in added}
    of_class = udf(
        return_dtype=DataType.struct(fields), num_cpus=num_cpus, num_gpus=num_gpus, batch_size=batch_size
    )(_Scoring)
    return of_class.with_init_args(scorer).with_concurrency(concurrency)


class _Scoring:
    """What runs in the processes of Daft."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def __call__(self, images: Series, captions: Series) -> pa.Array:
        rows = pa.table({_IMAGE: _plain(images.to_arrow()), _TEXT: _plain(captions.to_arrow())})
        scored = self._scorer(rows).drop([_IMAGE, _TEXT]).combine_chunks()
        return pa.StructArray.from_arrays(
            [column.combine_chunks() for column in scored.columns], fields=list(scored.schema)
        )


def _plain(column: Any) -> Any:
    """The column as Parquet has it."""
    return column.storage if isinstance(column, pa.ExtensionArray) else column
