"""Ray: rows scored by actors of Ray Data, and shards scored on a cluster."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import ray

from ._errors import FailedError, UsageError
from ._parts import PartsJob, PartsSummary, failed
from ._progress import logger
from ._scorer import Scorer

# Shares for each task that runs at a time: what a machine that is lost had not finished is little.
_PARTS_PER_SLOT = 4


class RayScorer:
    """A :class:`clip_filter.Scorer` in an actor, for ``Dataset.map_batches(RayScorer, batch_format="pyarrow", ...)``.

    The model is loaded when the actor starts, and uses as many threads as the actor has CPUs (``num_cpus``) unless
    ``threads`` says otherwise; of GPUs it sees those of the actor.

    Args:
        model, columns, **options: Those of :class:`clip_filter.Scorer`, as ``fn_constructor_kwargs``.

    Raises:
        UsageError: An option is unknown, a column is unknown or depends on all rows.
        FailedError: The model cannot be loaded.
    """

    def __init__(
        self, model: str = "bundled", columns: Sequence[str] = ("clip_score", "status"), **options: Any
    ) -> None:
        cpus = _cpus_of_this_worker()
        if cpus is not None:
            options.setdefault("threads", cpus)
        self._scorer = Scorer(model, columns, **options)
        self._scorer.load()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """``batch`` with the columns added; as many rows, in the same order.

        Raises:
            UsageError: ``batch_format`` is not ``"pyarrow"``.
            FailedError: The model fails. A bad row is no failure: its score is null.
        """
        if not isinstance(batch, pa.Table):
            raise UsageError(
                f"failed to score a batch of type {type(batch).__name__}",
                'map_batches(RayScorer, batch_format="pyarrow", ...)',
            )
        return self._scorer(batch)


def score(
    inputs: Any,
    scores: str | os.PathLike,
    *,
    parts: int | None = None,
    num_cpus: float | None = None,
    num_gpus: float = 0,
    retries: int = 3,
    ray_options: dict[str, Any] | None = None,
    **options: Any,
) -> PartsSummary:
    """Scores shards on a Ray cluster, as ``clip-filter score --part I/N`` for each part and then ``clip-filter merge``.

    The store is, byte for byte, the one that :func:`clip_filter.score` makes on one machine of the same kind. A part whose
    machine is lost is run again, elsewhere; what it had committed stays, and so it does when the call is made again.

    Args:
        inputs: Paths or URLs that all machines see, one or a list.
        scores: The directory or URL of the store, which all machines see.
        parts: Shares of the work; four for each task that the cluster has room for, if not given.
        num_cpus: Cores, and threads, of a task; those of the smallest machine if not given, so that one task runs on each
            machine at a time. With ``num_gpus`` its share of them.
        num_gpus: GPUs of a task.
        retries: How often a part is run again after a machine was lost, or after it failed.
        ray_options: Other options of the tasks, as ``{"resources": {"scorer": 1}}``.
        **options: Those of :func:`clip_filter.score`. Files that they name are there on every machine, and so is this
            package. ``max_bad_rows`` counts the rows of all parts.

    Returns:
        What was done.

    Raises:
        UsageError: An option is unknown or goes with no share, or an input is no path.
        FailedError: A part failed each time; the other parts are done.
        TooManyBadRowsError: All was done, and there are more bad rows than ``max_bad_rows``.
    """
    if not ray.is_initialized():
        ray.init()
    cpus = num_cpus if num_cpus is not None else _cpus_of_a_task(num_gpus)
    options.setdefault("threads", max(1, int(cpus)))
    job = PartsJob(inputs, scores, parts or _parts(cpus, num_gpus), options)
    run = ray.remote(_run).options(
        num_cpus=cpus,
        num_gpus=num_gpus,
        max_retries=retries,
        retry_exceptions=[FailedError],
        **{"scheduling_strategy": "SPREAD", **(ray_options or {})},
    )
    done = _all_of({run.remote(job, part): part for part in range(job.parts)})
    merge = ray.remote(_merge).options(num_cpus=0, max_retries=retries)
    return job.summary(done, _cause_of(merge.remote(job)))


def _run(job: PartsJob, part: int) -> dict[str, Any]:
    return job.run(part)


def _merge(job: PartsJob) -> dict[str, Any]:
    return job.merge()


def _all_of(tasks: dict[ray.ObjectRef, int]) -> list[dict[str, Any]]:
    """What the tasks gave, once all have ended; the first failure, if there is one."""
    done: list[dict[str, Any]] = []
    failures: list[tuple[int, BaseException]] = []
    open_tasks = list(tasks)
    try:
        while open_tasks:
            ready, open_tasks = ray.wait(open_tasks)
            for task in ready:
                try:
                    done.append(_cause_of(task))
                    logger.info("part %d of %d is scored", tasks[task], len(tasks))
                except Exception as failure:
                    logger.warning("part %d of %d failed: %s", tasks[task], len(tasks), failure)
                    failures.append((tasks[task], failure))
    except BaseException:
        for task in open_tasks:
            ray.cancel(task)
        raise
    if failures:
        part, failure = failures[0]
        raise failed(part, failure) from failure
    return done


def _cause_of(task: ray.ObjectRef) -> Any:
    """What a task gave; what it raised, as it was raised there."""
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as failure:
        raise failure.cause from None


def _cpus_of_this_worker() -> int | None:
    """Whole cores that Ray gave to this actor or task; None where it gave none, or this is none."""
    if not ray.is_initialized() or ray.get_runtime_context().worker.mode != ray.WORKER_MODE:
        return None
    cpus = ray.get_runtime_context().get_assigned_resources().get("CPU")
    return None if not cpus else max(1, int(cpus))


def _machines(num_gpus: float) -> list[dict[str, float]]:
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fit = [one for one in resources if one.get("CPU", 0) >= 1 and one.get("GPU", 0) >= num_gpus]
    if not fit:
        raise FailedError(
            f"failed to find a machine of the cluster with a core and {num_gpus} GPUs",
            "ray status says what the cluster has",
            "resources",
        )
    return fit


def _cpus_of_a_task(num_gpus: float) -> int:
    share = [one["CPU"] * num_gpus / one["GPU"] if num_gpus else one["CPU"] for one in _machines(num_gpus)]
    return max(1, int(min(share)))


def _parts(cpus: float, num_gpus: float) -> int:
    def slots(one: dict[str, float]) -> float:
        of_cpus = one["CPU"] // cpus if cpus else 1
        return min(of_cpus, one["GPU"] // num_gpus) if num_gpus else of_cpus

    return _PARTS_PER_SLOT * max(1, int(sum(slots(one) for one in _machines(num_gpus))))
