"""Datasets of Lance: scores are added, and images are not written again."""

from __future__ import annotations

import os
import pathlib

import pyarrow as pa
import pytest

import clip_filter

lance = pytest.importorskip("lance", reason="python/tests/engines.txt")


def _files(folder) -> dict[str, tuple[int, int]]:
    """Data files, by name: their size and when they were written."""
    root = pathlib.Path(folder) / "data"
    facts = {path: os.stat(path) for path in root.rglob("*") if path.is_file()}
    return {str(path): (fact.st_size, fact.st_mtime_ns) for path, fact in facts.items()}


def _expected(table, name="clip_score"):
    return clip_filter.Scorer("mock")(table)[name].to_pylist()


def test_scores_become_columns_and_images_stay_where_they_are(table, tmp_path):
    rows = table.replace_schema_metadata()
    dataset = lance.write_dataset(rows, tmp_path / "d.lance", max_rows_per_file=100)
    before = _files(tmp_path / "d.lance")
    assert len(before) == 3
    scored = clip_filter.lance.add_scores(dataset, "mock", batch_size=16)
    after = _files(tmp_path / "d.lance")
    assert {name: after[name] for name in before} == before
    added = sum(size for name, (size, _) in after.items() if name not in before)
    assert added < 30_000 < sum(size for size, _ in before.values())
    read = lance.dataset(tmp_path / "d.lance").to_table()
    assert read.schema.names == [*rows.schema.names, "clip_score", "status"] == scored.schema.names
    assert read["clip_score"].to_pylist() == _expected(table)
    assert read["status"].to_pylist() == _expected(table, "status")
    assert read.select(rows.schema.names).to_pylist() == rows.to_pylist()
    with pytest.raises(clip_filter.UsageError, match="clip_score"):
        clip_filter.lance.add_scores(dataset, "mock")
    clip_filter.lance.add_scores(tmp_path / "d.lance", "mock", ["clip_score"], prefix="again_")
    assert lance.dataset(tmp_path / "d.lance").to_table()["again_clip_score"].to_pylist() == _expected(table)


def test_deleted_rows_are_left_out(good, tmp_path):
    rows = good.replace_schema_metadata()
    dataset = lance.write_dataset(rows, tmp_path / "d.lance", max_rows_per_file=100)
    dataset.delete("n % 7 = 0")
    clip_filter.lance.add_scores(dataset, "mock")
    read = lance.dataset(tmp_path / "d.lance").to_table(columns=["n", "clip_score"])
    expected = _expected(good)
    left = [n for n in range(232) if n % 7]
    assert read["n"].to_pylist() == left
    assert read["clip_score"].to_pylist() == [expected[n] for n in left]


def test_images_may_lie_in_a_blob_column(good, tmp_path):
    data = pa.array([image["bytes"] for image in good["image"].to_pylist()], pa.large_binary())
    field = pa.field("jpg", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
    schema = pa.schema([field, pa.field("caption", pa.string()), pa.field("n", pa.int64())])
    rows = pa.table([data, good["text"], good["n"]], schema=schema)
    dataset = lance.write_dataset(rows, tmp_path / "d.lance", max_rows_per_file=100)
    dataset.delete("n < 10")
    clip_filter.lance.add_scores(dataset, "mock", batch_size=32)
    read = lance.dataset(tmp_path / "d.lance").to_table(columns=["n", "clip_score"])
    assert read["n"].to_pylist() == list(range(10, 232))
    assert read["clip_score"].to_pylist() == _expected(good)[10:]


def test_a_dataset_without_pairs_is_refused(tmp_path):
    dataset = lance.write_dataset(pa.table({"n": [1, 2]}), tmp_path / "d.lance")
    with pytest.raises(clip_filter.UsageError, match="image"):
        clip_filter.lance.add_scores(dataset, "mock")
    with pytest.raises(clip_filter.UsageError, match="'jpg'"):
        clip_filter.lance.add_scores(dataset, "mock", image_column="jpg")
