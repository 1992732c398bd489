"""The commands as functions: what they do, and what they refuse."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import clip_filter
from conftest import ROOT


def test_filter_does_what_the_command_line_does(sample, tmp_path):
    ours, typed = tmp_path / "ours.parquet", tmp_path / "typed.parquet"
    summary = clip_filter.filter(sample, ours, model="mock", keep=0.3, add=["image_embedding", "status"], threads=2)
    assert (summary.rows_in, summary.rows_kept, summary.rows_bad) == (236, 70, 4)
    assert summary.rows_kept + summary.rows_cut + summary.rows_bad == summary.rows_in
    assert summary.outputs == [str(ours)]
    line = [sample, str(typed), "--model", "mock", "--keep", "0.3", "--add", "image_embedding,status", "--json", "-q"]
    done = subprocess.run([sys.executable, "-m", "clip_filter", *line], capture_output=True, text=True, check=True)
    assert pq.read_table(ours).equals(pq.read_table(typed))
    told = json.loads(done.stdout)
    assert told["rows_kept"] == summary.rows_kept
    known = {field.name for field in dataclasses.fields(summary)}
    assert set(told) - known == set(), "a fact that is new is a field of Summary, too"
    assert known - set(told) == {"rows_repeated", "candidates", "kept_fraction", "complete"}


def test_options_are_read_as_if_they_were_typed(sample, tmp_path):
    summary = clip_filter.filter(
        sample, dry_run=True, model="mock", where="width >= 0", keep_rows=10, memory_limit=1 << 30, overwrite=None
    )
    assert summary.rows_kept == 10 and summary.outputs == []
    with pytest.raises(clip_filter.UsageError) as refused:
        clip_filter.filter(sample, tmp_path / "o.parquet", kep=0.3)
    assert refused.value.hint == "keep" and refused.value.exit_code == 2
    assert isinstance(refused.value, ValueError)
    for options in [{"keep": 2}, {"keep": 0.2, "keep_rows": 3}, {"where": 3}, {"dry_run": "yes"}, {"keep": object()}]:
        with pytest.raises(clip_filter.UsageError):
            clip_filter.filter(sample, tmp_path / "o.parquet", model="mock", **options)
    assert not (tmp_path / "o.parquet").exists()


def test_the_environment_and_a_file_give_options_too(sample, tmp_path, monkeypatch):
    config = tmp_path / "run.toml"
    config.write_text('model = "mock"\nkeep-rows = 7\n')
    assert clip_filter.filter(sample, dry_run=True, config=config).rows_kept == 7
    monkeypatch.setenv("CLIP_FILTER_MODEL", "mock")
    monkeypatch.setenv("CLIP_FILTER_KEEP_ROWS", "5")
    assert clip_filter.filter(sample, dry_run=True).rows_kept == 5
    assert clip_filter.filter(sample, dry_run=True, keep_rows=3).rows_kept == 3


def test_errors_say_what_where_and_what_next(sample, tmp_path):
    output = tmp_path / "out.parquet"
    output.write_text("mine")
    with pytest.raises(clip_filter.FailedError) as failed:
        clip_filter.filter(sample, output, model="mock")
    assert failed.value.exit_code == 1 and failed.value.kind == "output"
    assert "out.parquet" in str(failed.value) and failed.value.hint
    assert output.read_text() == "mine"
    with pytest.raises(clip_filter.FailedError, match="nowhere.parquet"):
        clip_filter.filter(tmp_path / "nowhere.parquet", tmp_path / "o.parquet", model="mock")
    with pytest.raises(clip_filter.TooManyBadRowsError) as bad:
        clip_filter.filter(sample, tmp_path / "o.parquet", model="mock", max_bad_rows=3)
    assert bad.value.exit_code == 3 and bad.value.summary.rows_bad == 4
    assert (tmp_path / "o.parquet").exists()


def test_errors_cross_processes():
    import pickle

    error = clip_filter.UsageError("no", "yes")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.hint, again.kind) == ("no", "yes", "usage")


@pytest.mark.parametrize("kind", ["table", "reader", "batch", "dataset", "own", "list"])
def test_inputs_may_be_data(kind, good, shards, tmp_path):
    class Own:
        def __arrow_c_stream__(self, requested_schema=None):
            return good.__arrow_c_stream__(requested_schema)

    given = {
        "table": good,
        "reader": good.to_reader(50),
        "batch": good.to_batches()[0],
        "dataset": ds.dataset(shards),
        "own": Own(),
        "list": [shards[0], good.slice(11)],
    }[kind]
    output = tmp_path / "out.parquet"
    clip_filter.filter(given, output, model="mock", min_score=-1)
    assert pq.read_table(output).drop(["clip_score"]).equals(good)


def test_what_was_given_as_data_is_taken_away_again(good, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    clip_filter.filter(good, dry_run=True, model="mock")
    assert os.listdir(tmp_path) == []
    with pytest.raises(clip_filter.UsageError, match="type int"):
        clip_filter.filter(3, dry_run=True)


def test_scores_are_kept_and_used_again(shards, tmp_path):
    scores = tmp_path / "scores"
    first = clip_filter.score(shards, scores, model="mock", add=["sas"])
    assert first.rows_scored == first.rows_in == 232
    again = clip_filter.filter(shards, tmp_path / "kept", scores=scores, keep=0.5)
    assert (again.rows_scored, again.rows_kept) == (0, 116)
    facts = clip_filter.report(scores, tmp_path / "report.html", keep=0.5)
    assert facts["rows_kept"] == 116 and (tmp_path / "report.html").stat().st_size > 1000
    told = clip_filter.explain(f"{shards[0]}:3", scores=scores, keep=0.5)
    assert told
    assert clip_filter.inspect(scores)
    assert clip_filter.inspect(shards)


def test_sql_gives_a_table_or_a_reader(shards, good, tmp_path):
    table = clip_filter.sql("SELECT n, clip_score FROM pairs ORDER BY n", input=shards, model="mock")
    assert table["n"].to_pylist() == list(range(232))
    assert table.schema.field("clip_score").type == pa.float32()
    joined = clip_filter.sql("SELECT count(*) AS c FROM a JOIN b ON a.n = b.n", input={"a": shards, "b": good.select(["n"])})
    assert joined["c"].to_pylist() == [232]
    reader = clip_filter.sql("SELECT n, image FROM pairs", input=shards, reader=True)
    assert isinstance(reader, pa.RecordBatchReader)
    assert sum(batch.num_rows for batch in reader) == 232
    empty = clip_filter.sql("SELECT n FROM pairs WHERE n < 0", input=shards)
    assert empty.num_rows == 0 and empty.schema.names == ["n"]
    written = clip_filter.sql("SELECT n FROM pairs", input=shards, output=tmp_path / "n.parquet")
    assert written["rows"].to_pylist() == [232]
    for query in ["SELECT nothing FROM pairs", "SELECT 1; SELECT 2", None]:
        with pytest.raises(clip_filter.UsageError):
            clip_filter.sql(query, input=shards)


def test_progress_and_lines_are_heard(sample, tmp_path, caplog):
    heard = []
    with caplog.at_level(logging.INFO, "clip_filter"):
        clip_filter.sql("SELECT * FROM pairs", input=sample, scores=None, progress=heard.append)
        clip_filter.filter(sample, dry_run=True, model="mock", progress=heard.append)
    assert heard and all(isinstance(one, clip_filter.Progress) for one in heard)
    assert heard[-1].total == 236 and heard[-1].done == 236 and heard[-1].bad == 4


def test_a_bar_is_shown_where_tqdm_is(sample, capfd):
    pytest.importorskip("tqdm")
    clip_filter.filter(sample, dry_run=True, model="mock", progress=True)
    assert "236" in capfd.readouterr().err
    list(clip_filter.stream(sample, model="mock", min_score=-1, progress=True))
    assert "236" in capfd.readouterr().err


def test_what_a_callback_raises_ends_the_call(sample):
    def stop(progress):
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        clip_filter.filter(sample, dry_run=True, model="mock", progress=stop)


def test_other_threads_run_while_a_call_waits(sample):
    ticks, ended = 0, threading.Event()

    def count():
        nonlocal ticks
        while not ended.is_set():
            ticks += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    start = time.monotonic()
    clip_filter.filter(sample, dry_run=True, model="mock")
    seconds = time.monotonic() - start
    ended.set()
    thread.join()
    # Asleep for a millisecond each time; held up for the whole call it would have run a few times.
    assert ticks > 20 * seconds


@pytest.fixture
def many(tmp_path, shards):
    """Enough rows to be stopped among them."""
    path = tmp_path / "many.parquet"
    pq.write_table(pa.concat_tables([pq.read_table(path) for path in shards] * 40), path, row_group_size=256)
    return str(path)


CALL = """
import clip_filter, sys
def tell(progress):
    if progress.scored >= 512: print("begun", flush=True)
try:
    clip_filter.filter(sys.argv[1], sys.argv[2], model="mock", keep=0.3, progress=tell)
except KeyboardInterrupt:
    print("stopped", flush=True)
    sys.exit(130)
"""


def test_ctrl_c_saves_the_state_and_the_same_call_goes_on(many, tmp_path):
    output = tmp_path / "out.parquet"
    run = subprocess.Popen([sys.executable, "-c", CALL, many, str(output)], stdout=subprocess.PIPE, text=True)
    assert run.stdout.readline().strip() == "begun", "it was over before it could be stopped"
    run.send_signal(signal.SIGINT)
    start = time.monotonic()
    rest = run.stdout.read()
    assert run.wait() == 130 and rest.endswith("stopped\n")
    assert time.monotonic() - start < 5, "a second, and what a busy machine adds"
    assert not output.exists()
    again = clip_filter.filter(many, output, model="mock", keep=0.3)
    assert 0 < again.rows_scored < again.rows_in


LOOP = """
import clip_filter, sys
try:
    for batch in clip_filter.stream(sys.argv[1], model="mock", min_score=-1):
        print("begun", flush=True)
except KeyboardInterrupt:
    print("stopped", flush=True)
    sys.exit(130)
"""


def test_ctrl_c_ends_a_loop(many):
    run = subprocess.Popen([sys.executable, "-c", LOOP, many], stdout=subprocess.PIPE, text=True)
    assert run.stdout.readline().strip() == "begun"
    run.send_signal(signal.SIGINT)
    rest = run.stdout.read()
    assert run.wait() == 130 and rest.endswith("stopped\n")
    assert rest.count("begun") < 9000 / 256, "it was over before it could be stopped"


def test_ctrl_c_ends_the_command_line_with_its_exit_code(many, tmp_path):
    line = [sys.executable, "-m", "clip_filter", many, str(tmp_path / "out.parquet"), "--model", "mock"]
    run = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    store = tmp_path / ".out.parquet.clip-filter"
    while not any(store.rglob("*.parquet*")) and run.poll() is None:
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate()
    assert run.returncode == 130, said
    assert "interrupted" in said and "Traceback" not in said


def test_the_command_line_has_its_exit_codes(sample, tmp_path):
    def run(*line):
        done = subprocess.run([sys.executable, "-m", "clip_filter", *line], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    code, out, _ = run("--version")
    assert code == 0 and out.strip() == f"clip-filter {clip_filter.__version__}"
    assert run("--nonsense")[0] == 2
    assert run(str(tmp_path / "none.parquet"), str(tmp_path / "o.parquet"), "--model", "mock")[0] == 1
    assert run(sample, "--dry-run", "--model", "mock", "--max-bad-rows", "1")[0] == 3


def test_types_of_options_are_those_of_the_flags():
    """A flag that is new, or renamed, is so in the types, too: `python python/stubs.py` writes them."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("stubs", ROOT / "python" / "stubs.py")
    stubs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stubs)
    assert stubs.STUBS.read_text() == stubs.stubs()
