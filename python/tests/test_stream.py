"""Rows while they are scored: what reads them, and what becomes of errors."""

from __future__ import annotations

import pickle
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import clip_filter


def test_a_stream_gives_what_is_kept_in_row_order(shards, good):
    stream = clip_filter.stream(shards, model="mock", min_score=-1, add=["status"])
    batches = list(stream)
    assert all(isinstance(batch, pa.RecordBatch) for batch in batches)
    table = pa.Table.from_batches(batches)
    assert table.drop(["clip_score", "status"]).equals(good)
    assert stream.summary.rows_kept == 232 and stream.summary.complete
    # The same again, from the first row.
    assert pa.Table.from_batches(list(stream)).equals(table)
    assert pa.table(stream).equals(table)
    assert stream.schema.equals(table.schema)
    assert stream.reader().read_all().equals(table)
    assert pa.table(pickle.loads(pickle.dumps(stream))).equals(table)


def test_a_stream_reads_data_in_memory(good):
    stream = clip_filter.stream(good, model="mock", where="n < 100 AND clip_score > -2")
    assert pa.table(stream)["n"].to_pylist() == list(range(100))
    assert stream.summary.rows_in == 232


def test_a_stored_selection_is_streamed(shards, tmp_path, monkeypatch):
    import tempfile

    import pyarrow.parquet as pq

    options = {"model": "mock", "scores": tmp_path / "scores", "keep_rows": 40, "dedup": 0.05}
    stream = clip_filter.stream(shards, **options)
    (tmp_path / "lies here").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "lies here"))
    table = pa.table(stream)
    output = tmp_path / "out.parquet"
    clip_filter.filter(shards, output, **options)
    assert table.to_pylist() == pq.read_table(output).to_pylist()
    assert stream.summary.rows_kept == table.num_rows == 40
    del stream
    assert list((tmp_path / "lies here").iterdir()) == []
    with pytest.raises(clip_filter.UsageError):
        clip_filter.stream(shards, scores=tmp_path / "scores", kep=3)


def test_who_leaves_early_stops_the_work(shards):
    stream = clip_filter.stream(shards, model="mock", min_score=-1)
    for batch in stream:
        break
    assert stream.summary is None
    start = time.monotonic()
    iterator = iter(stream)
    next(iterator)
    iterator.close()
    assert time.monotonic() - start < 30


def test_what_one_pass_cannot_do_is_refused_where_it_is_written(shards):
    for options in [{"keep_rows": 3}, {"kep": 0.2}, {"keep": "x"}]:
        with pytest.raises(clip_filter.UsageError):
            stream = clip_filter.stream(shards, **options)
            next(iter(stream))


@pytest.fixture
def damaged(tmp_path, good):
    """A shard whose second half of rows cannot be read."""
    path = tmp_path / "damaged.parquet"
    pq.write_table(good, path, row_group_size=58, compression="none", use_dictionary=False)
    group = pq.ParquetFile(path).metadata.row_group(2)
    columns = [group.column(number) for number in range(group.num_columns)]
    column = next(column for column in columns if column.path_in_schema.startswith("image"))
    data = bytearray(path.read_bytes())
    data[column.data_page_offset : column.data_page_offset + 64] = b"\xff" * 64
    path.write_bytes(bytes(data))
    return str(path)


def _loop(stream):
    return [batch for batch in stream]


def _pandas(stream):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame.from_arrow(stream) if hasattr(pandas.DataFrame, "from_arrow") else stream.reader().read_pandas()


def _polars(stream):
    return pytest.importorskip("polars").DataFrame(stream)


def _duckdb(stream):
    duckdb = pytest.importorskip("duckdb")
    reader = stream.reader()
    return duckdb.sql("SELECT count(*) FROM reader").fetchall()


READERS = [_loop, pa.table, lambda stream: stream.reader().read_all(), _pandas, _polars, _duckdb]


@pytest.mark.parametrize("read", READERS, ids=["loop", "table", "reader", "pandas", "polars", "duckdb"])
def test_a_producer_that_fails_raises_in_every_consumer(read, damaged):
    with pytest.raises(Exception, match="damaged.parquet"):
        read(clip_filter.stream(damaged, model="mock", min_score=-1, threads=1))


@pytest.mark.parametrize("read", READERS[:3], ids=["loop", "table", "reader"])
def test_a_stream_that_is_closed_under_its_reader_raises(read, shards, monkeypatch):
    """Rows that are missing, for whatever reason, are no end."""
    stream = clip_filter.stream(shards, model="mock", min_score=-1)
    made = stream._batches

    def cut():
        batches = made()
        batches._rows = _Closed(batches._rows)
        return batches

    monkeypatch.setattr(stream, "_batches", cut)
    with pytest.raises(Exception, match="was closed"):
        read(stream)


class _Closed:
    def __init__(self, rows):
        self._rows = rows

    def next(self):
        what, given = self._rows.next()
        if what != "schema":
            self._rows.close()
            return self._rows.next()
        return what, given

    def close(self):
        self._rows.close()


@pytest.mark.parametrize("reader", ["pandas", "polars", "duckdb"])
def test_who_reads_arrow_streams_reads_ours(reader, shards):
    stream = clip_filter.stream(shards, model="mock", min_score=-1)
    if reader == "pandas":
        assert len(_pandas(stream)) == 232
    elif reader == "polars":
        assert _polars(stream)["n"].to_list() == list(range(232))
    else:
        assert _duckdb(stream) == [(232,)]
