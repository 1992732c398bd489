"""Rows that are scored as they come, in this process and in others."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import time

import pyarrow as pa
import pytest

import clip_filter


def test_scores_are_those_of_a_run(table, sample):
    run = pa.table(clip_filter.stream(sample, model="mock", min_score=-1, on_error="keep", add=["status", "width"]))
    scorer = clip_filter.Scorer("mock", columns=["clip_score", "status", "width"])
    scored = scorer(table)
    assert scored.select(table.schema.names).equals(table)
    for name in ("clip_score", "status"):
        assert scored[name].to_pylist() == run[name].to_pylist()
    assert scored.schema.equals(scorer.output_schema(table.schema))
    assert scored["status"].to_pylist().count("ok") == 232


def test_batches_are_cut_anew_and_rows_stay_in_order(good):
    scorer = clip_filter.Scorer("mock", columns=["clip_score"], prefix="x_")
    whole = scorer(good)
    for rows in (1, 7, 100, 5000):
        small = list(scorer.map(good.to_batches(max_chunksize=rows)))
        assert pa.Table.from_batches(small).equals(whole.combine_chunks())
    assert "x_clip_score" in whole.schema.names
    batch = good.to_batches()[0]
    assert isinstance(scorer(batch), pa.RecordBatch)
    assert scorer(batch.slice(0, 0)).num_rows == 0
    assert list(scorer.map([])) == []
    many = pa.concat_tables([good] * 6).combine_chunks()
    cut = list(scorer.map(many.to_batches()))
    assert max(batch.num_rows for batch in cut) <= 1024 and sum(batch.num_rows for batch in cut) == many.num_rows


def test_what_makes_no_sense_is_refused_at_once(good):
    for columns, options in [
        (["sas"], {}),
        (["nothing"], {}),
        ([], {}),
        (["clip_score"], {"keep": 0.3}),
        (["clip_score"], {"scores": "s"}),
        (["clip_score"], {"devise": "cpu"}),
    ]:
        with pytest.raises(clip_filter.UsageError):
            clip_filter.Scorer("mock", columns=columns, **options)
    with pytest.raises(clip_filter.UsageError, match="'n'|clip_score"):
        clip_filter.Scorer("mock")(good.append_column("clip_score", good["n"]))
    with pytest.raises(clip_filter.FailedError):
        clip_filter.Scorer("nowhere/at/all")(good)
    with pytest.raises(clip_filter.Error):
        clip_filter.Scorer("mock").output_schema(pa.schema([("n", pa.int64())]))


def _score(scorer, table):
    return scorer(table)["clip_score"].to_pylist()


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("model", ["mock", "bundled"])
def test_other_processes_score_the_same(method, model, good):
    """Whether the model was loaded before the fork or not."""
    few = good.slice(0, 9)
    scorer = clip_filter.Scorer(model, columns=["clip_score"], reproducible=True)
    expected = _score(pickle.loads(pickle.dumps(scorer)), few)
    scorer(few)
    with multiprocessing.get_context(method).Pool(2) as pool:
        results = [pool.apply_async(_score, (scorer, few)) for _ in range(2)]
        assert [one.get(timeout=120) for one in results] == [expected, expected]
    # And the parent goes on.
    assert _score(scorer, few) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="it forks")
def test_a_plain_fork_scores_or_raises(good):
    few = good.slice(0, 3)
    scorer = clip_filter.Scorer("mock", columns=["clip_score"])
    expected = _score(scorer, few)
    child = os.fork()
    if child == 0:
        os._exit(0 if _score(scorer, few) == expected else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_forked_child_that_waits_for_nothing_raises(monkeypatch):
    """As it would for a lock that its parent's thread held."""
    from clip_filter import _scorer

    monkeypatch.setattr(_scorer, "_IDLE_SECS", 0.2)
    idle = _scorer._Idle()
    with pytest.raises(clip_filter.FailedError, match="forked"):
        for _ in range(100):
            idle([], ())
            time.sleep(0.05)


def test_a_forked_child_that_works_is_let_work(monkeypatch):
    from clip_filter import _scorer

    monkeypatch.setattr(_scorer, "_IDLE_SECS", 0.2)
    monkeypatch.setattr(_scorer, "_IDLE_PROCESSOR_SECS", 0.001)
    idle = _scorer._Idle()
    end = time.process_time() + 0.6
    while time.process_time() < end:
        idle([], ())
