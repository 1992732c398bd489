"""Spark: rows scored by ``mapInArrow``, and a cluster of two executors of which one is killed."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import clip_filter
from conftest import stored

pyspark = pytest.importorskip("pyspark", reason="python/tests/engines.txt")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java 17", allow_module_level=True)

SLOW = "mock:sleep=10"


@pytest.fixture(scope="module")
def spark():
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local-cluster[2,1,1024]")
        .config("spark.ui.enabled", "false")
        .config("spark.executor.memory", "512m")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    yield session
    session.stop()


def _executors() -> list[int]:
    """Processes of executors that this session's master has started."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                line = file.read()
        except OSError:
            continue
        if b"CoarseGrainedExecutorBackend" in line and _is_below(int(name), os.getpid()):
            found.append(int(name))
    return found


def _is_below(process: int, ancestor: int) -> bool:
    while process > 1:
        if process == ancestor:
            return True
        with open(f"/proc/{process}/stat") as file:
            process = int(file.read().rsplit(")", 1)[1].split()[1])
    return False


def _wait(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_an_executor_that_is_killed_takes_nothing_with_it(spark, large_shards, tmp_path):
    scores = tmp_path / "scores"
    killed = []

    def kill():
        # Both executors have a shard in work.
        _wait(lambda: len(list(scores.rglob("claim"))) == 2)
        executors = _executors()
        os.kill(executors[0], signal.SIGKILL)
        killed.append((len(executors), len(list(scores.rglob("*.parquet")))))

    killer = threading.Thread(target=kill)
    killer.start()
    summary = clip_filter.spark.score(large_shards, scores, spark=spark, model=SLOW, parts=4)
    killer.join()
    ((executors, finished),) = killed
    assert executors == 2 and finished < 8
    assert (summary.parts, summary.shards, summary.rows_in, summary.rows_bad) == (4, 8, 768, 0)
    clip_filter.score(large_shards, tmp_path / "alone", model="mock")
    clip_filter.merge(tmp_path / "alone")
    assert stored(scores) == stored(tmp_path / "alone")
    again = clip_filter.spark.score(large_shards, scores, spark=spark, model="mock")
    assert (again.parts, again.rows_in, again.rows_scored) == (8, 768, 0)


def test_rows_of_a_data_frame_are_scored(spark, large_shards):
    rows = spark.read.parquet(*large_shards)
    scorer = clip_filter.Scorer("mock", columns=["clip_score", "status", "image_embedding"], threads=1)
    scored = rows.mapInArrow(scorer.map, clip_filter.spark.schema(scorer, rows))
    assert scored.columns == [*rows.columns, "clip_score", "status", "image_embedding"]
    found = {row.n: row for row in scored.drop("image").collect()}
    expected = scorer(pa.concat_tables(map(pq.read_table, large_shards))).to_pylist()
    assert len(found) == 768
    for row in expected:
        for name in ("clip_score", "status", "image_embedding"):
            assert found[row["n"]][name] == row[name]
    assert scored.where("clip_score > 0.2").count() == sum(row["clip_score"] > 0.2 for row in expected)


def test_what_goes_wrong_is_told_as_it_is_on_one_machine(spark, large_shards, sample, good, tmp_path):
    with pytest.raises(clip_filter.UsageError):
        clip_filter.spark.score(good, tmp_path / "scores", spark=spark)
    with pytest.raises(clip_filter.UsageError):
        clip_filter.spark.score(sample, tmp_path / "scores", spark=spark, kep=0.3)
    with pytest.raises(clip_filter.FailedError, match="nowhere") as failed:
        clip_filter.spark.score(tmp_path / "nowhere", tmp_path / "scores", spark=spark, model="mock", parts=1)
    assert pickle.loads(pickle.dumps(failed.value)).hint
    with pytest.raises(clip_filter.TooManyBadRowsError) as bad:
        clip_filter.spark.score([sample, *large_shards], tmp_path / "s", spark=spark, model="mock", max_bad_rows=3)
    assert bad.value.summary.rows_bad == 4
    assert clip_filter.merge(tmp_path / "s")["rows"] == 768 + 236


CONNECT = """
import sys
from pyspark.sql import SparkSession
import clip_filter
inputs, scores = sys.argv[1:]
spark = SparkSession.builder.remote("local[2]").getOrCreate()
summary = clip_filter.spark.score(inputs, scores, spark=spark, model="mock", parts=3)
assert (summary.shards, summary.rows_in) == (8, 768), summary
rows, scorer = spark.read.parquet(inputs), clip_filter.Scorer("mock", threads=1)
assert rows.mapInArrow(scorer.map, clip_filter.spark.schema(scorer, rows)).where("status = 'ok'").count() == 768
"""


def test_a_session_of_spark_connect_does_the_same(large_shards, tmp_path):
    pytest.importorskip("grpc_status", reason="python/tests/engines.txt")
    inputs, scores = os.path.dirname(large_shards[0]), str(tmp_path / "scores")
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable}
    # A process is of one kind or the other.
    run = subprocess.run([sys.executable, "-c", CONNECT, inputs, scores], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
