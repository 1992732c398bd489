"""Ray: actors of Ray Data, and a cluster of two nodes of which one is killed."""

from __future__ import annotations

import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import clip_filter
from conftest import stored

ray = pytest.importorskip("ray", reason="python/tests/engines.txt")

# A row takes this long on one node, so that there is a middle to kill it in.
SLOW = "mock:sleep=10"


@pytest.fixture
def cluster():
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1, resources={"second": 1})
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def _alone(shards, scores):
    clip_filter.score(shards, scores, model="mock")
    clip_filter.merge(scores)
    return stored(scores)


def _wait(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_a_node_that_is_killed_takes_nothing_with_it(cluster, large_shards, tmp_path):
    import threading

    scores = tmp_path / "scores"
    killed = []

    def kill():
        # Both nodes have a shard in work.
        _wait(lambda: len(list(scores.rglob("claim"))) == 2)
        killed.append(len(list(scores.rglob("*.parquet"))))
        (second,) = cluster.worker_nodes
        cluster.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    summary = clip_filter.ray.score(large_shards, scores, model=SLOW, num_cpus=1, parts=4)
    killer.join()
    assert killed and killed[0] < 8
    _wait(lambda: sum(node["Alive"] for node in ray.nodes()) == 1)
    assert (summary.parts, summary.shards, summary.rows_in, summary.rows_bad) == (4, 8, 768, 0)
    assert stored(scores) == _alone(large_shards, tmp_path / "alone")
    again = clip_filter.ray.score(large_shards, scores, model="mock")
    assert (again.parts, again.rows_in, again.rows_scored) == (4, 768, 0)


def test_an_output_is_written_by_tasks(cluster, large_shards, tmp_path):
    scores, kept, whole = tmp_path / "scores", tmp_path / "kept", tmp_path / "whole.parquet"
    clip_filter.ray.score(large_shards, scores, model="mock", num_cpus=1, parts=2)
    options = {"scores": scores, "keep": 0.4, "model": "mock"}
    clip_filter.filter(large_shards, dry_run=True, **options)
    write = ray.remote(clip_filter.filter)
    parts = [write.remote(large_shards, kept, part=f"{part}/4", **options) for part in range(4)]
    assert len({summary.rows_kept for summary in ray.get(parts)}) == 1
    assert not kept.exists()
    clip_filter.merge(output=kept)
    clip_filter.filter(large_shards, whole, **options)
    assert pq.read_table(kept).equals(pq.read_table(whole))


def test_rows_of_a_dataset_are_scored_by_actors(cluster, large_shards):
    rows = ray.data.read_parquet(large_shards)
    scored = rows.map_batches(
        clip_filter.RayScorer,
        fn_constructor_kwargs={"model": "mock", "columns": ["clip_score", "status"]},
        batch_format="pyarrow",
        batch_size=50,
        concurrency=1,
        num_cpus=1,
    )
    found = pa.concat_tables(ray.get(scored.to_arrow_refs())).sort_by("n")
    expected = clip_filter.Scorer("mock")(pa.concat_tables(map(pq.read_table, large_shards)))
    assert found.num_rows == 768
    for name in ("n", "clip_score", "status"):
        assert found[name].to_pylist() == expected[name].to_pylist()


def test_what_goes_wrong_is_told_as_it_is_on_one_machine(cluster, large_shards, sample, good, tmp_path):
    with pytest.raises(clip_filter.UsageError):
        clip_filter.ray.score(good, tmp_path / "scores", model="mock")
    with pytest.raises(clip_filter.UsageError):
        clip_filter.ray.score(sample, tmp_path / "scores", kep=0.3)
    with pytest.raises(clip_filter.FailedError, match="nowhere"):
        clip_filter.ray.score(tmp_path / "nowhere", tmp_path / "scores", model="mock", parts=2, retries=1)
    with pytest.raises(clip_filter.TooManyBadRowsError) as bad:
        clip_filter.ray.score([sample, *large_shards], tmp_path / "s", model="mock", max_bad_rows=3)
    assert bad.value.summary.rows_bad == 4
    assert clip_filter.merge(tmp_path / "s")["rows"] == 768 + 236
    with pytest.raises(clip_filter.UsageError, match="of type dict") as refused:
        clip_filter.RayScorer("mock")({"image": []})
    assert "batch_format" in refused.value.hint
