"""Daft: rows scored by a function of its own."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import clip_filter

daft = pytest.importorskip("daft", reason="python/tests/engines.txt")


def test_rows_of_a_data_frame_are_scored(large_shards):
    rows = daft.read_parquet(large_shards)
    score = clip_filter.DaftScorer("mock", ["clip_score", "status", "image_embedding"], threads=1, batch_size=50)
    found = rows.with_column("clip", score(rows["image"], rows["text"])).select("n", "clip").sort("n").to_arrow()
    expected = clip_filter.Scorer("mock", ["clip_score", "status", "image_embedding"])(
        pa.concat_tables(map(pq.read_table, large_shards))
    )
    assert found["n"].to_pylist() == list(range(768))
    clip = found["clip"].combine_chunks()
    for name in ("clip_score", "status", "image_embedding"):
        assert clip.field(name).to_pylist() == expected[name].to_pylist()


def test_bytes_are_images_and_bad_rows_have_no_score(table):
    images = [image and image["bytes"] for image in table["image"].to_pylist()]
    rows = daft.from_pydict({"a": images, "b": table["text"].to_pylist()})
    score = clip_filter.DaftScorer("mock", concurrency=2)
    found = rows.select(score(rows["a"], rows["b"]).alias("clip")).to_pydict()["clip"]
    expected = clip_filter.Scorer("mock")(table)
    assert [one["status"] for one in found] == expected["status"].to_pylist()
    assert sum(one["clip_score"] is None for one in found) == 4


def test_what_makes_no_sense_is_refused_at_once():
    for columns, options in [(["sas"], {}), (["clip_score"], {"kep": 1}), (["clip_score"], {"image_column": "jpg"})]:
        with pytest.raises(clip_filter.UsageError):
            clip_filter.DaftScorer("mock", columns, **options)
