"""A score store with made-up scores, in the layout of `src/store`, for shards that were made by `reselect.py` and `emit.py`.

The manifest's description of the model is copied from a store that the program itself makes of a few rows with `--model mock`; the
files of scores are written here, with the schema and the settings of `src/store/files.rs`. `check` compares both kinds of file.
"""

import hashlib
import io
import json
import os
import subprocess
import tempfile
from pathlib import Path

TAIL, SAMPLES, SAMPLE = 256 << 10, 16, 4 << 10
GROUP_ROWS = 1 << 17


def fingerprint(path):
    """`src/source/fingerprint.rs`: size, end, and samples in between."""
    size = os.path.getsize(path)
    digest = hashlib.sha256(size.to_bytes(8, "little"))
    with open(path, "rb") as file:

        def sample(start, length):
            file.seek(start)
            digest.update(file.read(length))

        body = max(0, size - TAIL)
        sample(body, TAIL)
        for number in range(SAMPLES):
            sample(body // SAMPLES * number, min(SAMPLE, body))
    return digest.hexdigest()


def schema():
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("shard", pa.string(), False),
            pa.field("row", pa.int64(), False),
            pa.field("status", pa.string(), False),
            pa.field("reason", pa.string()),
            pa.field("width", pa.uint32()),
            pa.field("height", pa.uint32()),
            pa.field("clip_score", pa.float32()),
        ]
    )


def write_scores(path, shard, scores, random, metadata):
    """The file of one shard: `scores` is NaN on a bad row."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    bad = np.isnan(scores)
    rows = len(scores)
    sides = [pa.array(random.integers(64, 2048, rows).astype(np.uint32), mask=bad) for _ in range(2)]
    table = pa.Table.from_arrays(
        [
            pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), [str(shard)]).cast(pa.string()),
            pa.array(np.arange(rows)),
            pa.DictionaryArray.from_arrays(pa.array(bad.astype(np.int8)), ["ok", "corrupt_image"]).cast(pa.string()),
            pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8), mask=~bad), ["synthetic"]).cast(pa.string()),
            *sides,
            pa.array(scores, mask=bad),
        ],
        schema=schema().with_metadata(metadata),
    )
    names = [field.name for field in table.schema]
    pq.write_table(
        table,
        path,
        row_group_size=GROUP_ROWS,
        compression={name: "none" if name == "clip_score" else "zstd" for name in names},
        compression_level={name: 1 for name in names if name != "clip_score"},
        use_dictionary=[name for name in names if name not in ("row", "clip_score")],
        column_encoding={"row": "DELTA_BINARY_PACKED", "clip_score": "PLAIN"},
        write_page_index=True,
    )


def real_store(binary, folder):
    """What the program makes of a few rows itself: its manifest and a file of scores."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    pictures = []
    for shade in range(8):
        out = io.BytesIO()
        Image.fromarray(np.full((40, 40, 3), shade * 30, np.uint8)).save(out, "JPEG")
        pictures.append({"bytes": out.getvalue(), "path": None})
    pictures[3]["bytes"] = b"no image"
    data, store = Path(folder, "few.parquet"), Path(folder, "store")
    pq.write_table(pa.table({"uid": [str(i) for i in range(8)], "image": pictures, "text": [f"text {i}" for i in range(8)]}), data)
    command = [str(binary), "score", str(data), "--scores", str(store), "--model", "mock", "--embeddings", "none", "--quiet"]
    subprocess.run(command, check=True)
    return json.loads((store / "manifest.json").read_text()), next((store / "scores").glob("*.parquet"))


def lists(store):
    """The model of a store as it ends names of files, what its scores were made with, and its shards, each with its file of scores."""
    (key, spec), = json.loads((store / "manifest.json").read_text())["models"].items()
    shards = json.loads((store / "state/shards.json").read_text())["shards"]
    for shard in shards:
        shard["scores"] = store / "scores" / f"{shard['fingerprint'][:32]}-{key}.parquet"
    return key, spec, shards


def write_lists(store, manifest, known):
    """What the program is to know of the files. It makes records of its own when it writes to the store."""
    (store / "state").mkdir(exist_ok=True)
    (store / "state/shards.json").write_text(json.dumps({"format": 1, "shards": known}, indent=2))
    (store / "manifest.json").write_text(json.dumps(manifest, indent=2))


def facts(path):
    """What a reader of a file of scores could depend on."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    group = file.metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    names = sorted(key.decode() for key in file.metadata.metadata)
    shapes = [(c.path_in_schema, c.physical_type, c.compression, c.has_offset_index, c.has_dictionary_page, set(c.encodings) - {"PLAIN", "RLE"}) for c in columns]
    return file.schema_arrow.remove_metadata(), names, shapes


def make(binary, store, shards, scores, seed=11):
    """Makes the store of `shards`, whose scores are `scores`, arrays of float32 with NaN on bad rows."""
    import numpy as np

    random = np.random.default_rng(seed)
    (store / "scores").mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=store) as folder:
        manifest, real = real_store(binary, folder)
        manifest["records"], known = [], []
        (key, spec), = manifest["models"].items()
        for shard, values in zip(shards, scores):
            shard = shard.absolute()
            identity = {"path": str(shard), "given": str(shard), "fingerprint": fingerprint(shard), "size_bytes": shard.stat().st_size, "rows": len(values)}
            known.append(identity)
            metadata = {
                "clip_filter.shard": str(shard),
                "clip_filter.fingerprint": identity["fingerprint"],
                "clip_filter.size_bytes": str(identity["size_bytes"]),
                "clip_filter.rows": str(len(values)),
                "clip_filter.model": json.dumps(spec["model"]),
                "clip_filter.made_with": "0" * 16,
            }
            path = store / "scores" / f"{identity['fingerprint'][:32]}-{key}.parquet"
            write_scores(path, shard, values, random, metadata)
        ours, theirs = facts(path), facts(real)
        if ours != theirs:
            raise SystemExit(f"the store's layout has changed: adapt {Path(__file__).name}\nthis script: {ours}\nclip-filter: {theirs}")
    write_lists(store, manifest, known)
