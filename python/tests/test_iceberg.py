"""Tables of Iceberg in a SQLite catalog: what is deleted is not read, what is added is added once."""

from __future__ import annotations

import concurrent.futures
import os
import re
import subprocess
import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import clip_filter
from conftest import ROOT

pytest.importorskip("pyiceberg", reason="python/tests/engines.txt")
pytest.importorskip("sqlalchemy", reason="python/tests/engines.txt")


def _load(tmp_path):
    from pyiceberg.catalog import load_catalog

    uri = f"sqlite:///{tmp_path}/catalog.db"
    return load_catalog("default", type="sql", uri=uri, warehouse=f"file://{tmp_path}/warehouse")


@pytest.fixture
def catalog(tmp_path):
    catalog = _load(tmp_path)
    catalog.create_namespace("lake")
    return catalog


@pytest.fixture
def rows(good):
    label = pa.array([number % 3 for number in range(len(good))], pa.int64())
    return good.append_column("label", label).replace_schema_metadata()


@pytest.fixture
def photos(catalog, rows):
    """Three files of rows, one after the other."""
    table = catalog.create_table("lake.photos", schema=rows.schema)
    for start in (0, 80, 160):
        table.append(rows.slice(start, 80))
    return table


def _tasks(table):
    """Of the file that has row 0 first, then that of row 80, that of row 160."""
    tasks = list(table.scan().plan_files())
    first = lambda task: pq.read_table(task.file.file_path.removeprefix("file://"), columns=["n"])["n"][0].as_py()
    return sorted(tasks, key=first)


def _kept(path):
    return sorted(pq.read_table(path)["n"].to_pylist())


def test_deleted_rows_are_neither_scored_nor_written(photos, tmp_path):
    from iceberg_deletes import delete_by_vector, delete_positions

    first, second, third = (task.file for task in _tasks(photos))
    delete_positions(photos, tmp_path, first, [3, 70])
    delete_positions(photos, tmp_path, first, [5])
    delete_by_vector(photos, tmp_path, second, [0, 79])
    photos.delete("n == 200")
    left = sorted(set(range(232)) - {3, 70, 5, 80, 159, 200})
    assert sorted(photos.scan().to_arrow()["n"].to_pylist()) == left, "PyIceberg reads the same deletes"
    summary = clip_filter.iceberg.filter(photos, tmp_path / "out.parquet", model="mock", min_score=-1)
    assert (summary.rows_in, summary.rows_kept) == (226, 226)
    assert _kept(tmp_path / "out.parquet") == left
    # As it was before the last delete; and the list, for any command.
    before = photos.history()[-2].snapshot_id
    assert clip_filter.iceberg.plan(photos, tmp_path / "files.jsonl", snapshot_id=before) == 3
    found = clip_filter.sql("SELECT n FROM pairs ORDER BY n", input=f"files:{tmp_path}/files.jsonl")
    assert found["n"].to_pylist() == sorted([*left, 200])


def test_partitions_choose_files_and_conditions_choose_rows(catalog, rows, tmp_path):
    from pyiceberg.transforms import IdentityTransform

    table = catalog.create_table("lake.cut", schema=rows.schema)
    with table.update_spec() as spec:
        spec.add_field("label", IdentityTransform(), "label")
    table.append(rows)
    output = tmp_path / "out.parquet"
    clip_filter.iceberg.filter(table, output, row_filter="label = 1", model="mock", where="n < 100")
    assert _kept(output) == list(range(1, 100, 3))
    with pytest.raises(clip_filter.UsageError, match="row by row") as refused:
        clip_filter.iceberg.filter(table, output, row_filter="n < 100", model="mock")
    assert "where" in refused.value.hint


def test_a_table_that_names_do_not_tell_is_refused(photos, tmp_path):
    for change, said in [
        (lambda update: update.rename_column("label", "class"), "its column 'label' is 'class'"),
        (lambda update: update.delete_column("class"), "has dropped it"),
    ]:
        with photos.update_schema(allow_incompatible_changes=True) as update:
            change(update)
        with pytest.raises(clip_filter.UsageError, match=said):
            clip_filter.iceberg.filter(photos, tmp_path / "out.parquet", model="mock", keep=0.5)
    assert not (tmp_path / "out.parquet").exists()


def test_a_column_that_came_later_is_null_before(photos, rows, tmp_path):
    from pyiceberg.types import StringType

    with photos.update_schema() as update:
        update.add_column("note", StringType())
    photos.append(rows.slice(0, 2).append_column("note", pa.array(["a", "b"])))
    clip_filter.iceberg.filter(photos, tmp_path / "out.parquet", model="mock", min_score=-1)
    notes = pq.read_table(tmp_path / "out.parquet")["note"].to_pylist()
    assert len(notes) == 234 and sorted(filter(None, notes)) == ["a", "b"]


def test_an_empty_table_is_told(catalog, rows, tmp_path):
    table = catalog.create_table("lake.none", schema=rows.schema)
    with pytest.raises(clip_filter.FailedError, match="lake.none"):
        clip_filter.iceberg.filter(table, tmp_path / "out.parquet", model="mock")


@pytest.fixture
def run(photos, tmp_path):
    """A run over the table, and an empty table for what it writes."""

    def run(name, **options):
        return clip_filter.iceberg.filter(photos, tmp_path / name, model="mock", min_score=-1, **options)

    return run


def _empty(catalog, summary, name="lake.kept"):
    return catalog.create_table(name, schema=pq.read_schema(summary.outputs[0]))


def test_a_run_is_added_once(catalog, run, tmp_path):
    summary = run("kept")
    assert summary.outputs == [str(tmp_path / "kept" / "part-00000.parquet")]
    table = _empty(catalog, summary)
    snapshot = clip_filter.iceberg.append(table, summary)
    assert table.current_snapshot().snapshot_id == snapshot
    assert len(table.current_snapshot().summary.additional_properties["clip-filter.run-id"]) == 32
    assert sorted(table.scan().to_arrow()["n"].to_pylist()) == list(range(232))
    # Made again, by another process and in another place, it is the same run.
    again = run("kept-again")
    other = _load(tmp_path).load_table("lake.kept")
    assert clip_filter.iceberg.append(other, tmp_path / "kept-again") is None
    assert clip_filter.iceberg.append(table, again.outputs) is None
    assert len(table.history()) == 1
    # Under another name these files are there already.
    with pytest.raises(clip_filter.FailedError, match="already referenced"):
        clip_filter.iceberg.append(table, summary, run_id="another")
    assert clip_filter.iceberg.append(table, run("less.parquet", where="n < 5").outputs) is not None
    assert table.scan().to_arrow().num_rows == 237 and len(table.history()) == 2


def test_who_commits_at_the_same_time_adds_each_run_once(catalog, run, tmp_path):
    runs = [run(f"kept-{number}.parquet", where=f"n < {10 * number}") for number in (1, 2, 3)]
    _empty(catalog, runs[0])

    def append(summary):
        return clip_filter.iceberg.append(_load(tmp_path).load_table("lake.kept"), summary)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        made = list(pool.map(append, [*runs, *runs]))
    table = catalog.load_table("lake.kept")
    assert len([one for one in made if one is not None]) == 3 == len(table.history())
    assert table.scan().to_arrow().num_rows == 10 + 20 + 30


def test_what_does_not_fit_is_refused_before_anything_is_added(catalog, run, rows):
    from pyiceberg.types import LongType

    summary = run("kept.parquet")
    written = pq.read_table(summary.outputs[0])
    numbered = catalog.load_table("lake.photos").scan().plan_files()
    table = _empty(catalog, summary, "lake.e")
    with pytest.raises(clip_filter.UsageError, match="numbers of some other table"):
        clip_filter.iceberg.append(table, [task.file.file_path for task in numbered])
    other = written.set_column(written.schema.get_field_index("n"), "n", pc.cast(written["n"], pa.string()))
    for name, schema, said in [
        ("lake.a", other.schema, "'n' is int64, and string in the table"),
        ("lake.b", written.schema.remove(written.schema.get_field_index("label")), "'label' is no column of the table"),
        ("lake.c", written.schema.append(pa.field("must", pa.int64(), nullable=False)), "'must' is missing"),
    ]:
        table = catalog.create_table(name, schema=schema)
        with pytest.raises(clip_filter.UsageError, match=said):
            clip_filter.iceberg.append(table, summary)
        assert table.current_snapshot() is None
    # A column that the table has besides, and a wider type, fit.
    narrow = written.set_column(written.schema.get_field_index("n"), "n", pc.cast(written["n"], pa.int32()))
    narrow_path = summary.outputs[0].replace("kept", "narrow")
    pq.write_table(narrow, narrow_path)
    table = _empty(catalog, summary, "lake.d")
    with table.update_schema() as update:
        update.add_column("more", LongType())
    assert clip_filter.iceberg.append(table, narrow_path) is not None
    assert table.scan().to_arrow().num_rows == 232


def test_what_the_page_says_runs(photos, catalog, rows, tmp_path):
    catalog.create_table("lake.kept", schema=rows.schema.append(pa.field("clip_score", pa.float32())))
    blocks = re.findall(r"```py\n(.*?)```", (ROOT / "docs" / "tables.md").read_text(), re.DOTALL)
    code = "".join(block for block in blocks if "iceberg" in block)
    environment = {
        **os.environ,
        "PYICEBERG_CATALOG__DEFAULT__URI": f"sqlite:///{tmp_path}/catalog.db",
        "PYICEBERG_CATALOG__DEFAULT__WAREHOUSE": f"file://{tmp_path}/warehouse",
        "CLIP_FILTER_MODEL": "mock",
    }
    # PyIceberg reads the environment when it is imported.
    command = [sys.executable, "-c", code + "print(summary.rows_kept)"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "46\n"), run.stderr
    assert catalog.load_table("lake.kept").scan().to_arrow().num_rows == 46
