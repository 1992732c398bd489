"""What `scale.py` compares with, each in a process of its own: prints one JSON object with `job_seconds`, reading within, imports not.

    python benches/scale_peers.py NAME DIR [further words]
"""

import json
import sys
import time
from pathlib import Path

import synthetic_store

WEIGHT, KEEP, THREADS = 0.1, 0.3, 2


def derived_files(data):
    store = data / "scores"
    key, _, shards = synthetic_store.lists(store)
    names = [shard["fingerprint"][:32] + ".parquet" for shard in shards]
    folder = next(path for path in (store / "derived" / key).iterdir() if path.is_dir())
    return [folder / name for name in names]


def columns(data, names):
    """Columns of the store in NumPy, shards in their order."""
    import numpy as np
    import pyarrow.parquet as pq

    tables = [pq.read_table(file, columns=names) for file in derived_files(data)]
    return [np.concatenate([table[name].to_numpy() for table in tables]) for name in names]


def objective(sas, sds):
    """Alignment from its 0.001 quantile on (down to the next value whose lower half is zero), and diversity, by their means."""
    import numpy as np

    rank = -(-len(sas) // 1000)
    low = np.partition(sas, rank - 1)[rank - 1]
    low = np.float64((low.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32))
    if low < 0:
        raise SystemExit("the quantile of the alignment is expected to be positive here")
    scores = (sas - low) / (sas.mean(dtype=np.float64) - low) + WEIGHT * sds / sds.mean(dtype=np.float64)
    return scores.astype(np.float32)


def budget(rows):
    return int(KEEP * rows + 0.5)


def top(scores, keep):
    """The best rows, equal scores by row order."""
    import numpy as np

    cut = np.partition(scores, len(scores) - keep)[len(scores) - keep]
    kept = scores > cut
    tied = np.flatnonzero(scores == cut)[: keep - int(kept.sum())]
    kept[tied] = True
    return kept


def numpy_top(data, out=None):
    import numpy as np

    began = time.perf_counter()
    sas, sds = columns(data, ["sas", "sds"])
    kept = top(objective(sas, sds), budget(len(sas)))
    seconds = time.perf_counter() - began
    if out:
        np.save(out, np.flatnonzero(kept))
    return {"job_seconds": seconds, "rows": int(kept.sum())}


def shard_files(data):
    """The shards in the order of the store."""
    return [shard["path"] for shard in json.loads((data / "scores/state/shards.json").read_text())["shards"]]


def even(groups, rows):
    """The groups with equal quotas that sum to at most `rows`: what one has too few rows for goes to the others."""
    import polars as pl

    counts = sorted(groups["len"].to_list())
    quota, left = 0, rows
    for number, count in enumerate(counts):
        quota = left // (len(counts) - number)
        if count > quota:
            break
        left -= count
    return groups.with_columns(pl.lit(quota).alias("quota")).drop("len")


def polars_top(data, group=None):
    """All of it in one query; with a group, the best of each, equal shares of the budget."""
    import polars as pl

    began = time.perf_counter()
    frame = pl.scan_parquet(derived_files(data)).select("sas", "sds").collect()
    sas, sds = pl.col("sas"), pl.col("sds")
    rows = len(frame)
    low = frame["sas"].bottom_k(-(-rows // 1000)).max()
    score = (sas - low) / (sas.mean() - low) + WEIGHT * sds / sds.mean()
    scores = frame.select(score.alias("score"))
    if group:
        scores = scores.with_columns(pl.scan_parquet(shard_files(data)).select(group).collect()[group])
        quotas = even(scores.group_by(group).len(), budget(rows))
        place = pl.col("score").rank("ordinal", descending=True).over(group)
        kept = scores.with_columns(place.alias("place")).join(quotas, on=group).filter(pl.col("place") <= pl.col("quota"))
        return {"job_seconds": time.perf_counter() - began, "rows": len(kept)}
    kept = scores.with_row_index().top_k(budget(rows), by="score")
    return {"job_seconds": time.perf_counter() - began, "rows": len(kept)}


def published(data, patience, out=None):
    """The published iteration, as released: one parameter per row, descent with momentum, all of it in float32."""
    import numpy as np

    sas, sds = columns(data, ["sas", "sds"])
    scores = objective(sas, sds)
    rows, keep = len(scores), budget(len(scores))
    began = time.perf_counter()
    weights, velocities = np.full(rows, 0.01, np.float32), np.zeros(rows, np.float32)
    share, sharpness, steps, converged = np.float32(1 / rows), np.float32(100), 0, False
    while time.perf_counter() - began < float(patience) and steps < 100_000:
        gate = 1 / (1 + np.exp(-sharpness * weights))
        excess = int((gate > 0.5).sum()) - keep
        if 2 * abs(excess) / rows < 1e-3:
            converged = True
            break
        slopes = (np.float32(2 * np.sign(excess)) * share - scores * share) * sharpness * gate * (1 - gate)
        velocities = np.float32(0.9) * velocities + slopes
        weights -= np.float32(1e-3) * velocities
        steps += 1
    seconds = time.perf_counter() - began
    kept = 1 / (1 + np.exp(-sharpness * weights)) > 0.5
    if out:
        np.save(out, np.flatnonzero(kept))
    return {"job_seconds": seconds, "rows": int(kept.sum()), "steps": steps, "converged": converged}


def cells(data, part):
    """The embeddings of some of the classes in float32, one class after another, as a script has them: everything in memory at first."""
    import numpy as np
    import pyarrow.parquet as pq

    _, spec, shards = synthetic_store.lists(data / "scores")
    dim = spec["model"]["dim"]
    rows = sum(shard["rows"] for shard in shards)
    embeddings, labels, at = np.empty((rows, dim), np.float16), np.empty(rows, np.int16), 0
    for shard in shards:
        file = pq.ParquetFile(shard["scores"])
        labels[at : at + shard["rows"]] = pq.read_table(shard["path"], columns=["label"])["label"].to_numpy()
        for group in range(file.num_row_groups):
            values = file.read_row_group(group, columns=["image_embedding"])["image_embedding"].combine_chunks().flatten().to_numpy()
            count = len(values) // dim
            embeddings[at : at + count] = values.reshape(count, dim)
            at += count
    order = np.argsort(labels, kind="stable")
    ends = np.searchsorted(labels[order], np.arange(labels.max() + 2))
    classes = np.arange(labels.max() + 1)
    for label in classes[:: int(part)]:
        own = order[ends[label] : ends[label + 1]]
        values = embeddings[own].astype(np.float32)
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        yield own, values, min(max(len(own) // 10, 50), 100, len(own) - 1)


def distances(data, part, out, search):
    import numpy as np

    began, searching, comparisons, positions, means = time.perf_counter(), 0.0, 0, [], []
    for own, values, neighbours in cells(data, part):
        start = time.perf_counter()
        means.append(search(values, neighbours))
        searching += time.perf_counter() - start
        comparisons += len(own) ** 2
        positions.append(own)
    seconds = time.perf_counter() - began
    if out:
        np.savez(out, positions=np.concatenate(positions), means=np.concatenate(means))
    return {"job_seconds": seconds, "searching": searching, "rows": sum(map(len, positions)), "comparisons": comparisons}


def sklearn(data, part=1, out=None):
    from sklearn.neighbors import NearestNeighbors

    def search(values, neighbours):
        found = NearestNeighbors(n_neighbors=neighbours, algorithm="brute", n_jobs=THREADS).fit(values)
        return found.kneighbors()[0].mean(axis=1)

    return distances(data, part, out, search)


def faiss(data, part=1, out=None):
    import faiss
    import numpy as np

    faiss.omp_set_num_threads(THREADS)

    def search(values, neighbours):
        index = faiss.IndexFlatL2(values.shape[1])
        index.add(values)
        squared, found = index.search(values, neighbours + 1)
        # The row itself is among its neighbours, first unless another one is as near.
        own = found == np.arange(len(values))[:, None]
        own[~own.any(axis=1), -1] = True
        return np.sqrt(np.maximum(squared[~own].reshape(len(values), neighbours), 0)).mean(axis=1)

    return distances(data, part, out, search)


def torch_adapters(data, labelled, epochs=2):
    """The same training in PyTorch, as a script has it: pairs in memory in float32, both linear maps from the identity, the text side as it is,
    contrastive loss both ways in batches of 256, AdamW, a learned scale. Made-up texts of classes: only time is measured. No held-out rows."""
    import numpy as np
    import torch
    from torch.nn import functional

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    began = time.perf_counter()
    _, spec, shards = synthetic_store.lists(data / "scores")
    files = [shard["scores"] for shard in shards]
    dim = spec["model"]["dim"]
    of_unit = lambda name: functional.normalize(torch.from_numpy(np.concatenate([column_of(file, name) for file in files]).reshape(-1, dim).astype(np.float32)))
    images = of_unit("image_embedding")
    if labelled:
        import pyarrow.parquet as pq

        labels = torch.from_numpy(np.concatenate([pq.read_table(shard["path"], columns=["label"])["label"].to_numpy() for shard in shards]).astype(np.int64))
        texts = functional.normalize(torch.randn(int(labels.max()) + 1, dim))
        shares = torch.log(torch.bincount(labels).clamp(min=1) / len(labels))
    else:
        texts = of_unit("text_embedding")
    layer = torch.nn.Linear(dim, dim)
    torch.nn.init.eye_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    scale = torch.nn.Parameter(torch.tensor(10.0))
    optimizer = torch.optim.AdamW([*layer.parameters(), scale], lr=1e-3, weight_decay=1e-2)
    each = []
    for _ in range(int(epochs)):
        start = time.perf_counter()
        for rows in torch.randperm(len(images)).split(256):
            found = functional.normalize(layer(images[rows]))
            if labelled:
                own = labels[rows]
                logits = scale * found @ texts.T
                same = (own[:, None] == own[None, :]) & ~torch.eye(len(rows), dtype=torch.bool)
                of_texts = functional.cross_entropy(logits[:, own].masked_fill(same, -1e9).T, torch.arange(len(rows)))
                loss = (functional.cross_entropy(logits + shares, own) + of_texts) / 2
            else:
                logits, places = scale * found @ texts[rows].T, torch.arange(len(rows))
                loss = (functional.cross_entropy(logits, places) + functional.cross_entropy(logits.T, places)) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        each.append(time.perf_counter() - start)
    return {"job_seconds": time.perf_counter() - began, "rows": len(images), "epoch_seconds": min(each), "loss": float(loss.detach()), "torch": torch.__version__}


def torch_labelled(data):
    return torch_adapters(data, True)


def torch_captioned(data):
    return torch_adapters(data, False)


def column_of(file, name):
    """Numbers of a list column, flat."""
    import pyarrow.parquet as pq

    return pq.read_table(file, columns=[name])[name].combine_chunks().flatten().to_numpy()


if __name__ == "__main__":
    name, data, *words = sys.argv[1:]
    jobs = {"numpy": numpy_top, "polars": polars_top, "published": published, "sklearn": sklearn, "faiss": faiss, "torch_labelled": torch_labelled, "torch_captioned": torch_captioned}
    print(json.dumps(jobs[name](Path(data), *words)))
