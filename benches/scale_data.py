"""Made-up datasets of the scale benchmarks: shards of narrow rows, and score stores of them in the layout of `src/store`.

Nothing is encoded: images are null, scores and embeddings come from a random number generator. The manifest, the schema and what
derived columns were made with are copied from a store that the program itself makes of a few rows.
"""

import hashlib
import io
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import synthetic_store

CLASSES = 1000
EMBEDDING_GROUP_ROWS = 1 << 15
CLASS_NAMES = "classes.txt"


@dataclass
class Shape:
    """A dataset: rows, shards, numbers per embedding (0: none), and which sides have embeddings."""

    rows: int
    shards: int
    dim: int = 0
    sides: tuple = ()
    model: str = "mock"


def few_rows(binary, folder, model, add):
    """A store that the program makes of eight rows: its directory."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    pictures = []
    for shade in range(8):
        out = io.BytesIO()
        Image.fromarray(np.full((40, 40, 3), shade * 30, np.uint8)).save(out, "JPEG")
        pictures.append(out.getvalue())
    data, store = Path(folder, "few.parquet"), Path(folder, "few")
    columns = {"uid": np.arange(8), "image": pictures, "text": ["text"] * 8, "label": np.arange(8, dtype=np.int16)}
    pq.write_table(pa.table(columns), data)
    command = [str(binary), "score", str(data), "--scores", str(store), "--model", model, "--quiet", *(["--add", add] if add else [])]
    subprocess.run(command, check=True)
    return store


def class_shares(seed=5):
    """Unequal classes: the logarithms of their sizes are normal, so that the largest is a hundred times the smallest."""
    import numpy as np

    shares = np.exp(np.random.default_rng(seed).normal(0, 0.75, CLASSES))
    return shares / shares.sum()


def write_shard(path, first, labels):
    """Narrow rows; the image column is there and null."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = len(labels)
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array(["a text"]))
    columns = {"uid": pa.array(np.arange(first, first + rows)), "image": pa.nulls(rows, pa.binary()), "text": text.cast(pa.string()), "label": pa.array(labels)}
    pq.write_table(pa.table(columns), path, row_group_size=1_000_000, compression="zstd", use_dictionary=["text", "label"], column_encoding={"uid": "DELTA_BINARY_PACKED"})


class Store:
    """A score store that is written shard by shard."""

    def __init__(self, binary, directory, shape, add=None):
        import pyarrow.parquet as pq

        self.directory = directory
        (directory / "scores").mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir=directory) as folder:
            few = few_rows(binary, folder, shape.model, add)
            self.manifest = json.loads((few / "manifest.json").read_text())
            self.schema = pq.read_schema(next((few / "scores").glob("*.parquet"))).remove_metadata()
            (self.key, self.spec), = self.manifest["models"].items()
            self.derived = None
            if add:
                self.derived = json.loads((few / "state" / self.key / "current.json").read_text())
                del self.derived["format"]
                if not (few / "derived" / self.key / generation(self.derived)).is_dir():
                    raise SystemExit(f"derived columns have another layout: adapt {Path(__file__).name}")
                self.derived_schema = pq.read_schema(next((few / "derived").glob("*/*/*.parquet"))).remove_metadata()
                self.derived["shards"] = []
        self.manifest["records"], self.known = [], []
        if shape.dim:
            self.spec["model"]["dim"] = shape.dim

    def add(self, shard, rows, stretches):
        """Adds a shard. `stretches` give, for rows that follow each other, arrays by the names of columns; what is not named is null."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        shard = shard.absolute()
        identity = {"path": str(shard), "given": str(shard), "fingerprint": synthetic_store.fingerprint(shard), "size_bytes": shard.stat().st_size, "rows": rows}
        self.known.append(identity)
        metadata = {
            "clip_filter.shard": str(shard),
            "clip_filter.fingerprint": identity["fingerprint"],
            "clip_filter.size_bytes": str(identity["size_bytes"]),
            "clip_filter.rows": str(rows),
            "clip_filter.model": json.dumps(self.spec["model"]),
            "clip_filter.made_with": "0" * 16,
        }
        short = identity["fingerprint"][:32]
        numbers = ["clip_score", "image_embedding.list.element", "text_embedding.list.element"]
        main = pq.ParquetWriter(self.directory / "scores" / f"{short}-{self.key}.parquet", self.schema.with_metadata(metadata), **settings(self.schema, numbers))
        beside = None
        if self.derived:
            self.derived["shards"].append(identity["fingerprint"])
            folder = self.directory / "derived"
            folder.mkdir(exist_ok=True)
            beside = pq.ParquetWriter(folder / f"{short}.parquet", self.derived_schema, **settings(self.derived_schema, ["sas", "sds"]))
        first = 0
        for arrays in stretches:
            count = len(arrays["clip_score"])
            arrays = {
                "shard": pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int8)), [str(shard)]).cast(pa.string()),
                "row": pa.array(np.arange(first, first + count)),
                "status": pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int8)), ["ok"]).cast(pa.string()),
                "width": pa.array(np.full(count, 256, np.uint32)),
                "height": pa.array(np.full(count, 256, np.uint32)),
                **arrays,
            }
            column = lambda field: arrays[field.name].cast(field.type) if field.name in arrays else pa.nulls(count, field.type)
            for writer, schema in ((main, self.schema), (beside, self.derived_schema if beside else None)):
                if writer:
                    table = pa.Table.from_arrays([column(field) for field in schema], schema=schema)
                    writer.write_table(table, row_group_size=EMBEDDING_GROUP_ROWS if "image_embedding" in arrays else synthetic_store.GROUP_ROWS)
            first += count
        main.close()
        if beside:
            beside.close()

    def finish(self):
        synthetic_store.write_lists(self.directory, self.manifest, self.known)
        if self.derived:
            folder = self.directory / "derived" / self.key / generation(self.derived)
            folder.mkdir(parents=True)
            for file in (self.directory / "derived").glob("*.parquet"):
                file.rename(folder / file.name)
            state = self.directory / "state" / self.key
            state.mkdir()
            (state / "current.json").write_text(json.dumps({"format": 1, **self.derived}))


def settings(schema, numbers):
    """Those of `src/store/files.rs`: numbers are kept as they are."""
    leaves = [f"{field.name}.list.element" if "embedding" in field.name else field.name for field in schema]
    return {
        "compression": {name: "none" if name in numbers else "zstd" for name in leaves},
        "use_dictionary": [name for name in leaves if name not in (*numbers, "row")],
        "column_encoding": {name: "DELTA_BINARY_PACKED" if name == "row" else "PLAIN" for name in leaves if name in (*numbers, "row")},
        "write_page_index": False,
    }


def generation(spec):
    """`DerivedSpec::generation`: the directory of these columns."""
    ordered = {"columns": spec["columns"], "made_with": dict(sorted(spec["made_with"].items())), "selection": spec["selection"], "shards": spec["shards"]}
    return hashlib.sha256(json.dumps(ordered, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()[:16]


def scored(binary, folder, rows, shards, seed=17):
    """A dataset with `sas` and `sds` in the store, without embeddings."""
    import numpy as np
    import pyarrow as pa

    random, shares, step = np.random.default_rng(seed), class_shares(), 1_000_000
    (folder / "shards").mkdir(parents=True)
    store = Store(binary, folder / "scores", Shape(rows, shards), add="sas,sds")
    normal = lambda mean, spread, count: random.normal(mean, spread, count).astype(np.float32)
    each = rows // shards
    for number in range(shards):
        labels = random.choice(CLASSES, each, p=shares).astype(np.int16)
        shard = folder / "shards" / f"part-{number:05}.parquet"
        write_shard(shard, number * each, labels)

        def stretches():
            for first in range(0, each, step):
                count = min(step, each - first)
                sas = normal(0.25, 0.05, count)
                cells = labels[first : first + count].astype(np.uint32)
                yield {"clip_score": pa.array(sas), "sas": pa.array(sas), "sds": pa.array(normal(0.8, 0.1, count)), "cell": pa.array(cells)}

        store.add(shard, each, stretches())
    store.finish()


def embedded(binary, folder, shape, seed=23):
    """A dataset of `CLASSES` unequal classes with embeddings: images scatter around the centre of their class, and the text of a pair
    is a linear map of its image, the same for all and hardly the identity, with as much noise."""
    import numpy as np
    import pyarrow as pa

    random, shares, step = np.random.default_rng(seed), class_shares(), 1 << 16
    (folder / "shards").mkdir(parents=True)
    (folder / CLASS_NAMES).write_text("".join(f"thing {number}\n" for number in range(CLASSES)))
    store = Store(binary, folder / "scores", shape)
    unit = lambda values: values / np.linalg.norm(values, axis=1, keepdims=True)
    normal = lambda *size: random.standard_normal(size, np.float32)
    centres = unit(normal(CLASSES, shape.dim))
    change = 0.1 * np.eye(shape.dim, dtype=np.float32) + normal(shape.dim, shape.dim) / shape.dim**0.5
    element = pa.field("element", pa.float16())

    def lists(values):
        ends = np.arange(0, values.size + 1, shape.dim, dtype=np.int32)
        return pa.ListArray.from_arrays(pa.array(ends), pa.array(values.astype(np.float16).reshape(-1)), type=pa.list_(element))

    each = shape.rows // shape.shards
    for number in range(shape.shards):
        labels = random.choice(CLASSES, each, p=shares).astype(np.int16)
        shard = folder / "shards" / f"part-{number:05}.parquet"
        write_shard(shard, number * each, labels)

        def stretches():
            for first in range(0, each, step):
                own = labels[first : first + step]
                images = unit(centres[own] + normal(len(own), shape.dim) / shape.dim**0.5)
                arrays = {"clip_score": pa.array(np.full(len(own), 0.25, np.float32)), "image_embedding": lists(images)}
                if "text" in shape.sides:
                    arrays["text_embedding"] = lists(unit(images @ change + normal(len(own), shape.dim) / shape.dim**0.5))
                yield arrays

        store.add(shard, each, stretches())
    store.finish()
