"""The commands, each as a function: options are named as the flags, with ``_`` for ``-``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from . import _native
from ._errors import TooManyBadRowsError, UsageError
from ._inputs import Inputs
from ._progress import Hearing, Progress
from ._stream import read_batches
from ._summary import Summary

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._options import ExplainOptions, FilterOptions, ReportOptions, ScoreOptions, SqlOptions

# The last path is where a run would write; a dry run does not.
_UNWRITTEN = "unwritten/"
_Tell = bool | Callable[[Progress], object] | None


def filter(
    inputs: Any,
    output: str | os.PathLike | None = None,
    *,
    progress: _Tell = None,
    **options: Unpack[FilterOptions],
) -> Summary:
    """Keeps the pairs of ``inputs`` whose captions fit best, and writes them to ``output``.

    As ``clip-filter IN... OUT``.

    Args:
        inputs: Parquet files, directories, globs, brace ranges or URLs, one or a list; or pyarrow Tables, datasets,
            RecordBatchReaders, Hugging Face Datasets, anything with ``__arrow_c_stream__``.
        output: A ``.parquet`` file, or a directory of parts. None with ``dry_run=True``.
        progress: A function that gets a ``Progress`` about ten times a second; True for a bar (needs tqdm).
        **options: Those of the command line (``clip-filter --help``): ``keep=0.3``, ``where="width >= 200"``,
            ``scores="scores/"``, ``dry_run=True``, ``add=["sas"]``. What is not given comes from the environment
            (``CLIP_FILTER_KEEP``) and from the file ``config`` names.

    Returns:
        What was done.

    Raises:
        UsageError: An option is unknown, or does not fit.
        FailedError: An input, the model or the output failed; what was at the output before is still there.
        TooManyBadRowsError: All was done, and there are more bad rows than ``max_bad_rows``.
        KeyboardInterrupt: Within a second of Ctrl-C; the same call goes on from the scores that were committed.
    """
    given = Inputs(inputs)
    if options.get("online"):
        raise UsageError("failed to filter in one pass: that gives rows and no file", "stream(inputs, keep=0.3)")
    if output is None and not options.get("dry_run") and len(given.paths) != 1:
        # The last of them would be taken for it.
        raise UsageError("failed to find the output: none was given", 'output="kept/", or dry_run=True')
    if output is None and options.get("dry_run"):
        output = _UNWRITTEN
    paths = given.paths + ([] if output is None else [os.fspath(output)])
    return _summary(None, paths, options, progress)


def score(
    inputs: Any, scores: str | os.PathLike, *, progress: _Tell = None, **options: Unpack[ScoreOptions]
) -> Summary:
    """Scores ``inputs`` and keeps the scores in the directory or URL ``scores``; nothing is selected.

    As ``clip-filter score IN... --scores DIR``. Arguments and exceptions are those of :func:`filter`.
    """
    return _summary("score", Inputs(inputs).paths, {"scores": scores, **options}, progress)


def report(
    inputs: Any,
    output: str | os.PathLike | None = None,
    *,
    progress: _Tell = None,
    **options: Unpack[ReportOptions],
) -> dict[str, Any]:
    """What a selection keeps and cuts, and why, as facts; as a page, too, if ``output`` names an HTML file.

    As ``clip-filter report PATH... [-o FILE] --json``. ``inputs`` is a score store, shards with ``scores=...``, or an
    output of :func:`filter`. Exceptions are those of :func:`filter`.
    """
    return json.loads(_run("report", Inputs(inputs).paths, {"output": output, **options}, progress))


def explain(
    row: str | None, inputs: Any = (), *, progress: _Tell = None, **options: Unpack[ExplainOptions]
) -> dict[str, Any]:
    """Which rule decided about one row, with its scores, ranks and neighbours.

    As ``clip-filter explain SHARD:ROW ... --json``; ``row`` is None where ``where`` names it.
    """
    paths = ([] if row is None else [row]) + Inputs(inputs).paths
    return json.loads(_run("explain", paths, options, progress))


def inspect(paths: Any, **options: Any) -> dict[str, Any]:
    """What shards, a score store or a model are, without running a model. As ``clip-filter inspect PATH... --json``."""
    return json.loads(_run("inspect", Inputs(paths).paths, options, None))


def adapt(scores: str | os.PathLike, output: str | os.PathLike, inputs: Any = (), **options: Any) -> dict[str, Any]:
    """Fits adapters to the pairs of a score store, for ``adapters=output``; the record of the fit.

    As ``clip-filter adapt [IN...] --scores DIR -o FILE --json``.
    """
    options = {"scores": scores, "output": output, **options}
    return json.loads(_run("adapt", Inputs(inputs).paths, options, None))


def merge(
    scores: str | os.PathLike | None = None, *, output: str | os.PathLike | None = None, **options: Any
) -> dict[str, Any]:
    """Puts together what workers have scored with ``score(..., part="I/N")``; shards and rows of the store.

    With ``output``, and no ``scores``, makes visible what they have written with ``filter(..., part="I/N")``; its parts,
    files and rows.

    As ``clip-filter merge --scores DIR --json`` or ``--output OUT``. Raises ``FailedError`` where shards or parts are missing,
    with their names.
    """
    given = {"scores": scores, "output": output}
    given = {name: os.fspath(path) for name, path in given.items() if path is not None}
    return json.loads(_run("merge", (), {**given, **options}, None))


def sql(
    query: str | None = None,
    *,
    input: Any = None,
    reader: bool = False,
    progress: _Tell = None,
    **options: Unpack[SqlOptions],
) -> pa.Table | pa.RecordBatchReader:
    """The rows of one query, or of ``recipe="..."``.

    As ``clip-filter sql QUERY --input [NAME=]PATH ... --scores DIR``.

    Args:
        query: One SELECT. Scores are columns of the tables; what is not stored is encoded when a query asks for it.
        input: Tables: a dict of names to inputs as :func:`filter` takes them; or inputs of the table ``pairs``.
        reader: Return a RecordBatchReader, whose rows are made while they are read, and hold no table in memory.
        progress: As for :func:`filter`.
        **options: Those of ``clip-filter sql``. ``recipe="..."`` with ``param={"n": 10}``; ``output="out.parquet"`` writes
            the rows there and returns their number as a table of one row.

    Raises:
        As :func:`filter`; from the reader while it is read. A query that fails never ends in fewer rows.
    """
    named = input if isinstance(input, dict) else {"pairs": () if input is None else input}
    tables = {name: Inputs(given) for name, given in named.items()}
    options["input"] = [f"{name}={path}" for name, table in tables.items() for path in table.paths] or None
    paths = [] if query is None else [query]
    if options.get("output") is not None:
        written = json.loads(_run("sql", paths, options, progress))
        return pa.table({"rows": [written["rows"]], "output": [written["output"]]})
    rows = read_batches(_native.Job("sql", paths, options), progress, keep=tables)
    result = pa.RecordBatchReader.from_batches(rows.schema, rows)
    return result if reader else result.read_all()


def _run(command: str | None, paths: list[str], options: dict[str, Any], progress: _Tell) -> str:
    facts, _ = _native_run(command, paths, options, progress)
    return facts


def _summary(command: str | None, paths: list[str], options: dict[str, Any], progress: _Tell) -> Summary:
    facts, too_many_bad = _native_run(command, paths, options, progress)
    summary = Summary._of_json(facts)
    if too_many_bad:
        reasons = ", ".join(f"{rows} {reason}" for reason, rows in summary.bad.items())
        raise TooManyBadRowsError(f"{summary.rows_bad} rows are bad ({reasons})", summary)
    return summary


def _native_run(command: str | None, paths: list[str], options: dict[str, Any], progress: _Tell) -> tuple[str, bool]:
    job = _native.Job(command, paths, options)
    with Hearing(progress) as hear:
        return job.run(hear)
