"""Shares of a scoring job, without a cluster."""

from __future__ import annotations

import pickle

import pyarrow.parquet as pq
import pytest

import clip_filter
from clip_filter._parts import PartsJob
from conftest import stored


def _job(inputs, scores, **options):
    return PartsJob(inputs, scores, 3, {"model": "mock", "threads": 1, **options})


def test_all_parts_make_the_store_that_one_process_makes(large_shards, tmp_path):
    job = pickle.loads(pickle.dumps(_job(large_shards, tmp_path / "scores")))
    done = [job.run(part) for part in (2, 0, 1)]
    summary = job.summary(done, job.merge())
    assert (summary.shards, summary.rows_in, summary.rows_bad, summary.rows_scored) == (8, 768, 0, 768)
    clip_filter.score(large_shards, tmp_path / "alone", model="mock")
    clip_filter.merge(tmp_path / "alone")
    assert stored(tmp_path / "scores") == stored(tmp_path / "alone")
    # Again, it finds all of it.
    again = job.summary([job.run(part) for part in range(3)], job.merge())
    assert (again.rows_in, again.rows_scored) == (768, 0)


def test_a_part_that_is_missing_is_named(large_shards, tmp_path):
    job = _job(large_shards, tmp_path / "scores")
    job.run(0)
    with pytest.raises(clip_filter.FailedError, match="some are missing"):
        job.merge()


def test_an_output_is_written_in_parts_and_appears_when_it_is_merged(large_shards, tmp_path):
    scores, kept, whole = tmp_path / "scores", tmp_path / "kept", tmp_path / "whole.parquet"
    clip_filter.score(large_shards, scores, model="mock")
    options = {"scores": scores, "keep": 0.4, "model": "mock"}
    assert clip_filter.filter(large_shards, dry_run=True, **options).rows_in == 768
    with pytest.raises(clip_filter.UsageError, match="find the output"):
        clip_filter.filter(large_shards, overwrite=True, **options)
    written = clip_filter.filter(large_shards, kept, part="1/2", **options)
    with pytest.raises(clip_filter.FailedError, match="parts are missing") as missing:
        clip_filter.merge(output=kept)
    assert "0/2" in str(missing.value) and not kept.exists()
    other = clip_filter.filter(large_shards, kept, part="0/2", **options)
    merged = clip_filter.merge(output=kept)
    clip_filter.filter(large_shards, whole, **options)
    assert pq.read_table(kept).equals(pq.read_table(whole))
    assert merged["rows"] == written.rows_written + other.rows_written == written.rows_kept
    assert merged["outputs"] == sorted(written.outputs + other.outputs)


def test_bad_rows_are_counted_over_all_parts(sample, large_shards, tmp_path):
    job = _job([sample, *large_shards], tmp_path / "scores", max_bad_rows=3)
    done = [job.run(part) for part in range(3)]
    with pytest.raises(clip_filter.TooManyBadRowsError) as bad:
        job.summary(done, job.merge())
    assert bad.value.summary.rows_bad == 4 == sum(bad.value.summary.bad.values())
    assert pickle.loads(pickle.dumps(bad.value)).summary == bad.value.summary


def test_paths_are_the_same_in_every_directory(large_shards, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files.jsonl").write_text("")
    inputs = ["large/", "s3://bucket/x/", "files:files.jsonl"]
    job = _job(inputs, "scores", target="gone.parquet", files=["files.jsonl"])
    assert job.paths == [f"{tmp_path}/large/", "s3://bucket/x/", f"files:{tmp_path}/files.jsonl"]
    assert job.scores == str(tmp_path / "scores")
    assert job.options["files"] == [str(tmp_path / "files.jsonl")] and job.options["target"] == "gone.parquet"


def test_what_cannot_be_divided_is_refused_at_once(good, sample, tmp_path):
    for inputs, options in [
        (good, {}),
        (sample, {"kep": 1}),
        (sample, {"part": "0/2"}),
        (sample, {"trace": "trace.json"}),
    ]:
        with pytest.raises(clip_filter.UsageError):
            _job(inputs, tmp_path / "scores", **options)
    with pytest.raises(clip_filter.UsageError):
        PartsJob(sample, tmp_path / "scores", 0, {})
