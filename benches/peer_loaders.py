"""One contender of `python.py`, in a process of its own: `python benches/peer_loaders.py NAME ...`. Prints one line of JSON."""

import json
import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path

BATCH = 64


def say(**facts):
    print(json.dumps(facts))


def stream(shards, threads, where):
    """A training loop that does nothing over `stream()`."""
    import clip_filter

    rows = sum(batch.num_rows for batch in clip_filter.stream(shards, where=where, threads=int(threads)))
    say(rows=rows)


def map_(shards, threads, model, first=None):
    """datasets' `map` with Pillow and the same ONNX files; rows are filtered before it with `first`."""
    import datasets
    import peer_python

    folder = Path(model)
    suffix = "" if (folder / "onnx/vision_model.onnx").exists() else "_quantized"
    towers = peer_python.Model(folder, suffix, int(threads), peer_python.usual_padding(folder))
    preprocess = peer_python.Preprocessor(folder, True)

    def scored(batch):
        import numpy as np

        pixels = np.stack([preprocess.pixels(image) for image in batch["image"]])
        return {"clip_score": towers.scores(pixels, batch["text"])}

    datasets.disable_caching()
    datasets.disable_progress_bars()
    pairs = datasets.load_dataset("parquet", data_files=f"{shards}/*.parquet", split="train", streaming=True)
    if first:
        pairs = pairs.filter(lambda third: third == 0, input_columns=["third"])
    # Streamed: nothing but the scores has to be written.
    pairs = pairs.map(scored, batched=True, batch_size=32)
    say(rows=sum(1 for _ in pairs.select_columns(["clip_score"])))


def loaded(made, epochs):
    """Times a loader over all epochs; every row must have its bytes and its caption."""
    began, rows = time.perf_counter(), 0
    for epoch in range(int(epochs)):
        for batch in made(epoch):
            rows += sum(bool(image) and bool(caption) for image, caption in batch)
    say(rows=rows, job_seconds=time.perf_counter() - began)


def torch_(kept, workers, epochs):
    from torch.utils.data import DataLoader

    import clip_filter

    rows = clip_filter.TorchDataset(kept, columns=["image", "text"], transform=_pair)
    loader = DataLoader(rows, batch_size=BATCH, num_workers=int(workers), collate_fn=list)
    loaded(lambda epoch: loader, epochs)


def _pair(row):
    return row["image"], row["text"]


def webdataset(tars, workers, epochs):
    import webdataset as wds

    urls = sorted(str(path) for path in Path(tars).glob("*.tar"))
    rows = wds.WebDataset(urls, shardshuffle=False).to_tuple("jpg", "txt")
    loader = wds.WebLoader(rows, batch_size=BATCH, num_workers=int(workers), collate_fn=list)
    loaded(lambda epoch: loader, epochs)


def streaming(kept, workers, epochs):
    import datasets
    from torch.utils.data import DataLoader

    rows = datasets.load_dataset("parquet", data_files=f"{kept}/*.parquet", split="train", streaming=True)
    rows = rows.select_columns(["image", "text"]).cast_column("image", datasets.Image(decode=False))
    loader = DataLoader(rows, batch_size=BATCH, num_workers=int(workers), collate_fn=_pairs)
    loaded(lambda epoch: loader, epochs)


def _pairs(rows):
    return [(row["image"]["bytes"], row["text"]) for row in rows]


def large(folder, gigabytes):
    """Shards of pictures of a megabyte each, most of it nothing, so that they take little room on a disk."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    import make_dataset

    picture = make_dataset.synthetic(np.random.default_rng(1), make_dataset.THUMBNAIL)
    picture += bytes((1 << 20) - len(picture))
    Path(folder).mkdir()
    rows = int(gigabytes) * 1000 * 1000 * 1000 // len(picture) // 16
    schema = pa.schema([("uid", pa.string()), ("image", pa.binary()), ("text", pa.string())])
    for shard in range(16):
        with pq.ParquetWriter(f"{folder}/{shard:05}.parquet", schema, compression="zstd", use_dictionary=False, write_batch_size=8) as writer:
            for start in range(0, rows, 64):
                count = min(64, rows - start)
                names = [f"{shard} {start + row}" for row in range(count)]
                writer.write_table(pa.table([names, [picture] * count, ["a picture"] * count], schema=schema))


def memory(folder, workers, how):
    """Peaks of a loader's processes, over one epoch."""
    from torch.utils.data import DataLoader

    import clip_filter

    rows = clip_filter.TorchDataset(folder, columns=["image"], shuffle=how == "shuffle", transform=_size)
    loader = DataLoader(rows, batch_size=BATCH, num_workers=int(workers), collate_fn=sum)
    peaks, done = {}, threading.Event()

    def watch():
        while not done.wait(0.05):
            for process in [os.getpid(), *(child.pid for child in multiprocessing.active_children())]:
                peaks[process] = max(peaks.get(process, 0), private(process))

    watcher = threading.Thread(target=watch)
    watcher.start()
    read = sum(loader)
    done.set()
    watcher.join()
    main = peaks.pop(os.getpid())
    say(bytes=read, worker=max(peaks.values()), main=main, workers=len(peaks))


def _size(row):
    return len(row["image"])


def private(process):
    """Bytes that no other process has."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


CONTENDERS = {"stream": stream, "map": map_, "torch": torch_, "webdataset": webdataset, "streaming": streaming, "large": large, "memory": memory}

if __name__ == "__main__":
    CONTENDERS[sys.argv[1]](*sys.argv[2:])
