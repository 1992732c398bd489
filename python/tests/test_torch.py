"""The dataset under the loaders of PyTorch and torchdata."""

from __future__ import annotations

import io
import os
import pickle
import socket

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")

import clip_filter  # noqa: E402
from clip_filter import TorchDataset  # noqa: E402
from ranges import served  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402


def numbers(rows):
    return [row["n"] for row in rows]


def same(batch):
    return batch


def test_every_row_once_in_row_order(shards, good):
    rows = list(TorchDataset(shards))
    assert numbers(rows) == list(range(232))
    expected = good.to_pylist()
    assert [row["image"] for row in rows] == [row["image"]["bytes"] for row in expected]
    assert set(rows[0]) == set(good.schema.names)
    assert numbers(TorchDataset(shards, columns=["n"])) == list(range(232))
    assert set(next(iter(TorchDataset(shards, columns=["n"])))) == {"n"}
    with pytest.raises(clip_filter.UsageError, match="nothing"):
        TorchDataset(shards, columns=["nothing"])
    with pytest.raises(clip_filter.UsageError):
        TorchDataset(shards, keep=0.3)


def test_shuffling_is_seeded_and_changes_with_the_epoch(shards):
    def drawn(seed, epoch, buffer_rows=40):
        dataset = TorchDataset(shards, columns=["n"], shuffle=True, seed=seed, buffer_rows=buffer_rows)
        dataset.set_epoch(epoch)
        return numbers(dataset)

    first = drawn(1, 0)
    assert sorted(first) == list(range(232)) and first != sorted(first)
    assert drawn(1, 0) == first
    assert drawn(1, 1) != first and drawn(2, 0) != first
    # Where a row may come to is bounded by the buffer, within its shard.
    assert drawn(1, 0, buffer_rows=1) != first


def test_pictures_are_pixels_as_pillow_makes_them(shards, good):
    # Earlier releases resize tall pictures in another order.
    pytest.importorskip("PIL", minversion="13.0")
    from PIL import Image

    dataset = TorchDataset(shards, columns=["image", "n"], pixels=64)
    rows = list(dataset)
    assert numbers(rows) == list(range(232))
    for row, value in zip(rows, good["image"].to_pylist()):
        pixels = row["image"]
        assert pixels.shape == (3, 64, 64) and pixels.dtype == torch.uint8
        picture = Image.open(io.BytesIO(value["bytes"])).convert("RGB")
        short = min(picture.size)
        width, height = (64 if edge == short else int(64 * edge / short) for edge in picture.size)
        resized = picture.resize((width, height), Image.BICUBIC)
        left, top = round((width - 64) / 2), round((height - 64) / 2)
        expected = resized.crop((left, top, left + 64, top + 64))
        assert pixels.permute(1, 2, 0).contiguous().numpy().tobytes() == expected.tobytes(), row["n"]


def test_bad_rows_are_left_out_and_counted(sample):
    dataset = TorchDataset(sample, pixels=32)
    assert len(list(dataset)) == 232
    assert dataset.bad_rows == {"empty_image": 1, "null_image": 1, "truncated_image": 1, "unsupported_image": 1}
    loader = DataLoader(TorchDataset(sample, pixels=32), batch_size=None, num_workers=2)
    assert len(list(loader)) == 232
    assert sum(loader.dataset.bad_rows.values()) == 4


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("workers", [0, 1, 4, 7])
def test_loaders_give_every_row_once(shards, workers, method):
    if workers == 0 and method == "spawn":
        pytest.skip("there is nobody to start")
    context = method if workers else None
    dataset = TorchDataset(shards, shuffle=True, buffer_rows=30, columns=["n", "image"])
    loader = DataLoader(
        dataset, batch_size=8, num_workers=workers, multiprocessing_context=context, collate_fn=same
    )
    rows = [row for batch in loader for row in batch]
    assert sorted(numbers(rows)) == list(range(232))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_from_servers_that_their_parent_has_read_from(shards, tmp_path, method):
    """What reads from afar has threads, and a forked child has none of them."""
    with served(tmp_path) as address:
        dataset = TorchDataset([f"{address}/shard-{number}.parquet" for number in range(5)], columns=["n"])
        assert numbers(dataset) == list(range(232))
        loader = DataLoader(
            dataset, batch_size=8, num_workers=2, multiprocessing_context=method, collate_fn=same, timeout=120
        )
        assert sorted(numbers(row for batch in loader for row in batch)) == list(range(232))
        assert numbers(dataset) == list(range(232))


def test_workers_that_live_on_hear_of_the_epoch(shards):
    dataset = TorchDataset(shards, shuffle=True, columns=["n"])
    loader = DataLoader(dataset, batch_size=8, num_workers=2, persistent_workers=True, collate_fn=same)
    epochs = []
    for epoch in (0, 0, 1):
        dataset.set_epoch(epoch)
        epochs.append(numbers(row for batch in loader for row in batch))
    assert epochs[0] == epochs[1] != epochs[2]
    assert sorted(epochs[2]) == list(range(232))


def test_ranks_divide_the_rows(shards, monkeypatch):
    parts = [numbers(TorchDataset(shards, rank=rank, world_size=3, shuffle=True, columns=["n"])) for rank in range(3)]
    assert sorted(sum(parts, [])) == list(range(232)) and all(parts)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert numbers(TorchDataset(shards, shuffle=True, columns=["n"])) == parts[1]
    with pytest.raises(clip_filter.UsageError):
        TorchDataset(shards, rank=3, world_size=3)


def _rank(rank, port, paths, results):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    loader = DataLoader(TorchDataset(paths, shuffle=True, columns=["n"]), batch_size=8, num_workers=2, collate_fn=same)
    results.put((rank, numbers(row for batch in loader for row in batch)))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def test_two_ranks_by_gloo(shards):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = torch.multiprocessing.get_context("spawn")
    results = context.Queue()
    ranks = [context.Process(target=_rank, args=(rank, port, shards, results)) for rank in range(2)]
    for rank in ranks:
        rank.start()
    parts = dict(results.get(timeout=180) for _ in ranks)
    for rank in ranks:
        rank.join(timeout=60)
    assert sorted(parts[0] + parts[1]) == list(range(232)) and parts[0] and parts[1]


def test_weights_say_how_often_a_row_is_seen(tmp_path, good):
    weights = [0, 1, 2, 0.5, None, 3.25] * 50
    path = tmp_path / "weighted.parquet"
    pq.write_table(good.append_column("repeats", pa.array(weights[: len(good)], pa.float64())), path)
    seen = {}
    for epoch in range(40):
        dataset = TorchDataset(path, columns=["n"], weights="repeats", shuffle=True, buffer_rows=50)
        dataset.set_epoch(epoch)
        for n in numbers(dataset):
            seen[n] = seen.get(n, 0) + 1
    for n in range(len(good)):
        weight = weights[n] or 0
        if weight == int(weight):
            assert seen.get(n, 0) == 40 * weight
        else:
            assert abs(seen.get(n, 0) / 40 - weight) < 0.4, n


def tail(dataset, done):
    iterator = iter(dataset)
    for _ in range(done):
        next(iterator)
    state = pickle.loads(pickle.dumps(dataset.state_dict()))
    return state, list(iterator)


@pytest.mark.parametrize("done", [0, 1, 57, 131, 231, 232])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_state_is_exact_to_the_row(shards, tmp_path, good, shuffle, done):
    options = {"columns": ["n", "image"], "shuffle": shuffle, "buffer_rows": 37, "seed": 5}
    dataset = TorchDataset(shards, **options)
    dataset.set_epoch(3)
    state, rest = tail(dataset, done)
    again = TorchDataset(shards, **options)
    again.load_state_dict(state)
    assert numbers(again) == numbers(rest)
    assert len(rest) == 232 - done
    # The epoch after is a whole one.
    assert len(list(again)) == 232
    other = TorchDataset(shards[:4], **options)
    other.load_state_dict(state)
    with pytest.raises(clip_filter.UsageError, match="shards"):
        list(other)


def test_a_state_within_repetitions_is_exact(tmp_path, good):
    path = tmp_path / "weighted.parquet"
    pq.write_table(good.append_column("repeats", pa.array([3] * len(good))), path)
    options = {"columns": ["n"], "weights": "repeats", "shuffle": True, "buffer_rows": 10}
    for done in (1, 2, 100, 500):
        state, rest = tail(TorchDataset(path, **options), done)
        again = TorchDataset(path, **options)
        again.load_state_dict(state)
        assert numbers(again) == numbers(rest)


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("steps", [1, 9, 20])
def test_a_stateful_loader_goes_on_in_mid_epoch(shards, workers, steps):
    stateful = pytest.importorskip("torchdata.stateful_dataloader")

    def loader():
        dataset = TorchDataset(shards, columns=["n"], shuffle=True, buffer_rows=25, seed=11)
        return stateful.StatefulDataLoader(dataset, batch_size=8, num_workers=workers, collate_fn=numbers)

    whole = list(loader())
    assert sorted(sum(whole, [])) == list(range(232))
    first = loader()
    iterator = iter(first)
    begun = [next(iterator) for _ in range(steps)]
    state = pickle.loads(pickle.dumps(first.state_dict()))
    del iterator
    again = loader()
    again.load_state_dict(state)
    assert begun + list(again) == whole


def test_hugging_face_reads_a_stream(shards):
    datasets = pytest.importorskip("datasets")
    stream = clip_filter.stream(shards, model="mock", min_score=-1)

    def rows():
        for batch in stream:
            yield from batch.select(["n", "clip_score"]).to_pylist()

    given = datasets.IterableDataset.from_generator(rows)
    assert numbers(given) == list(range(232))


def test_hugging_face_datasets_are_inputs(shards, tmp_path):
    datasets = pytest.importorskip("datasets")
    given = datasets.load_dataset("parquet", data_files=shards, split="train", cache_dir=str(tmp_path / "cache"))
    output = tmp_path / "kept.parquet"
    clip_filter.filter(given.select(range(50)), output, model="mock", min_score=-1)
    assert pq.read_table(output)["n"].to_pylist() == list(range(50))
    kept = datasets.load_dataset("parquet", data_files=[str(output)], split="train", cache_dir=str(tmp_path / "cache"))
    assert kept[0]["image"].size[0] > 0
