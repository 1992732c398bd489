"""Spark: shards scored by its tasks; rows are scored by ``df.mapInArrow(scorer.map, spark.schema(scorer, df))``."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ._errors import FailedError, UsageError
from ._parts import PartsJob, PartsSummary, failed
from ._scorer import Scorer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

# Shares for each core, or whatever else tasks are given: what an executor that is lost had not finished is little.
_PARTS_PER_SLOT = 4
# Before the text of an exception of this package in a traceback.
_OURS = re.compile(r"(org[.\w]*: )?clip_filter\.[\w.]+: ")
_DONE = "part long, summary string, failure binary"


def schema(scorer: Scorer, rows: DataFrame) -> StructType:
    """The columns of ``rows.mapInArrow(scorer.map, ...)``: those of ``rows``, then those of the scorer.

    Raises:
        UsageError: ``rows`` has a column of an added name.
        FailedError: It is not clear which columns hold images and captions.
    """
    from pyspark.sql.pandas.types import from_arrow_type, to_arrow_schema
    from pyspark.sql.types import StructField, StructType

    given = to_arrow_schema(rows.schema)
    added = list(scorer.output_schema(given))[len(given) :]
    return StructType(
        [*rows.schema.fields, *(StructField(field.name, from_arrow_type(field.type)) for field in added)]
    )


def score(
    inputs: Any,
    scores: str | os.PathLike,
    *,
    spark: SparkSession | None = None,
    parts: int | None = None,
    **options: Any,
) -> PartsSummary:
    """Scores shards as tasks of Spark, as ``clip-filter score --part I/N`` for each part and then ``clip-filter merge``.

    The store is, byte for byte, the one that :func:`clip_filter.score` makes on one machine of the same kind. A part whose
    executor is lost, or that fails, is run again by Spark (``spark.task.maxFailures``); what it had committed stays, and so
    it does when the call is made again.

    Args:
        inputs: Paths or URLs that all executors see, one or a list. They are read by this package and not by Spark:
            ``s3://`` and not ``s3a://``.
        scores: The directory or URL of the store, which all executors see.
        spark: The session; the active one if not given, or a new one.
        parts: Shares of the work; if not given, four for each task that the cluster runs at a time, or 32 where it does not
            say how many these are (Spark Connect).
        **options: Those of :func:`clip_filter.score`. ``threads`` is ``spark.task.cpus`` if not given. Files that options name
            are there on every executor, and so is this package. ``max_bad_rows`` counts the rows of all parts.

    Returns:
        What was done.

    Raises:
        UsageError: An option is unknown or goes with no share, or an input is no path.
        FailedError: A part failed as often as Spark lets it.
        TooManyBadRowsError: All was done, and there are more bad rows than ``max_bad_rows``.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    session = spark or SparkSession.builder.getOrCreate()
    cpus = int(session.conf.get("spark.task.cpus", "1") or 1)
    options.setdefault("threads", cpus)
    job = PartsJob(inputs, scores, parts or _parts(session, cpus), options)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for part in batch.column(0).to_pylist():
                yield _ran(job, part)

    def merge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            yield _told(-1, job.merge)

    try:
        done = _of(session.range(0, job.parts, 1, job.parts).mapInArrow(run, _DONE).collect())
        merged = _of(session.range(0, 1, 1, 1).mapInArrow(merge, _DONE).collect())
    except PySparkException as failure:
        raise FailedError(
            f"failed to score with Spark: {_said(failure)}", "call it again: what is scored stays", "runtime"
        ) from failure
    return job.summary(done, merged[0])


def _ran(job: PartsJob, part: int) -> pa.RecordBatch:
    """One share; what Spark shall try again is raised, what makes no sense is told."""

    def run() -> dict[str, Any]:
        try:
            return job.run(part)
        except UsageError:
            raise
        except Exception as failure:
            raise failed(part, failure) from failure

    return _told(part, run, FailedError)


def _told(part: int, run: Any, *again: type[Exception]) -> pa.RecordBatch:
    summary, failure = None, None
    try:
        summary = json.dumps(run())
    except again:
        raise
    except Exception as raised:
        failure = pickle.dumps(raised)
    return pa.record_batch(
        [pa.array([part], pa.int64()), pa.array([summary], pa.string()), pa.array([failure], pa.binary())],
        names=["part", "summary", "failure"],
    )


def _of(rows: list[Any]) -> list[dict[str, Any]]:
    for row in rows:
        if row.failure is not None:
            raise pickle.loads(bytes(row.failure))
    return [json.loads(row.summary) for row in rows]


def _said(failure: Exception) -> str:
    """Our lines in what Spark tells of a task; its first line where there are none."""
    lines = str(failure).splitlines()
    first = next((number for number, line in enumerate(lines) if _OURS.match(line.strip())), None)
    if first is None:
        return next((line.strip() for line in lines if line.strip()), type(failure).__name__)
    facts = itertools.takewhile(lambda line: line.startswith("  "), lines[first + 1 :])
    return "\n".join([_OURS.sub("", lines[first].strip()), *facts])


def _parts(session: SparkSession, cpus: int) -> int:
    try:
        slots = session.sparkContext.defaultParallelism // cpus
    except Exception:  # Spark Connect has no context.
        slots = 8
    return _PARTS_PER_SLOT * max(1, slots)
