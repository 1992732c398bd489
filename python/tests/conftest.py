"""What the tests share: pairs, and the mock encoder, which needs no model."""

from __future__ import annotations

import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "assets" / "sample.parquet"


@pytest.fixture
def sample() -> str:
    return str(SAMPLE)


@pytest.fixture(scope="session")
def table() -> pa.Table:
    return pq.read_table(SAMPLE)


@pytest.fixture(scope="session")
def good(table: pa.Table) -> pa.Table:
    """Rows of the sample that no image and no caption is bad of, numbered."""
    import clip_filter

    rows = clip_filter.Scorer("mock", columns=["status"])(table)
    good = table.filter(pa.compute.equal(rows["status"], "ok")).combine_chunks()
    return good.append_column("n", pa.array(range(len(good)), pa.int64()))


@pytest.fixture
def shards(tmp_path, good: pa.Table) -> list[str]:
    """The good rows as five shards of different sizes, some in several row groups."""
    bounds = [0, 11, 60, 61, 160, len(good)]
    paths = []
    for number, (start, end) in enumerate(zip(bounds, bounds[1:])):
        path = tmp_path / f"shard-{number}.parquet"
        pq.write_table(good.slice(start, end - start), path, row_group_size=32)
        paths.append(str(path))
    return paths


@pytest.fixture
def large_shards(tmp_path, good: pa.Table) -> list[str]:
    """Eight shards of 96 rows each, large enough to be scored and stored one by one."""
    folder = tmp_path / "large"
    folder.mkdir()
    many = pa.concat_tables([good] * 4).drop(["n"])
    many = many.append_column("n", pa.array(range(len(many)), pa.int64()))
    paths = [str(folder / f"{number:05}.parquet") for number in range(8)]
    for number, path in enumerate(paths):
        pq.write_table(many.slice(number * 96, 96), path)
    return paths


def stored(directory) -> dict[str, bytes]:
    """The files of a score store, by their names in it."""
    root = pathlib.Path(directory)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
