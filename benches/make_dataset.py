"""Streams a large image-text dataset to disk: one shard with a single row group of `--row-group-bytes`, then ordinary shards.

    python benches/make_dataset.py --out DIR --rows 16000                      # about 4 GB, pictures of 100 to 500 kB
    python benches/make_dataset.py --out DIR --rows 160000 --tiny              # ten times the rows, pictures of about 3 kB
    python benches/make_dataset.py --out DIR --rows 16000 --from PHOTOS.parquet

Pictures come from a pool of seeded JPEGs (or crops of the given photographs, enlarged and encoded again); every row gets its own comment
segment, so no two rows hold the same bytes. A row group is staged in an Arrow file and mapped while it is written: pyarrow's
writer needs all of a row group at hand, and mapped pages can be dropped where copied ones cannot.
"""

import argparse
import hashlib
import io
import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

UNITS = {"kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
WORDS = {
    "who": "a man|a woman|two dogs|a brown horse|three children|an old boat|a red bus|a group of people|a small bird|a black cat".split("|"),
    "does": "standing|running|sitting|waiting|jumping|resting|moving slowly|looking back".split("|"),
    "where": "on a beach|in the snow|beside a river|under a bridge|in front of a white house|on a busy street|across a green field|near tall trees".split("|"),
    "when": "at sunset|in the morning|on a rainy day|under a clear sky|at night|".split("|"),
}
FEATURES = {"uid": {"dtype": "string", "_type": "Value"}, "image": {"_type": "Image"}, "text": {"dtype": "string", "_type": "Value"}}
SCHEMA = pa.schema(
    [("uid", pa.string()), ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("text", pa.string())],
    metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})},
)
SHARD_BYTES, GROUP_BYTES, BATCH = 1e9, 100e6, 64


def size(text):
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return int(float(number) * UNITS.get(text[len(number) :].strip().lower(), 1))


def jpeg(pixels, quality):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    return out.getvalue()


# Least and most of both sides, in pixels.
PHOTOGRAPH, THUMBNAIL, TINY = ((900, 1500), (700, 1100)), ((224, 257), (224, 257)), ((64, 112), (64, 112))


def synthetic(random, sides):
    """Gradients, a few discs and some grain: photograph-like sizes at ordinary qualities."""
    width, height = (int(random.integers(*side)) for side in sides)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    planes = [128 + 90 * np.sin(x * a + y * b + c) for a, b, c in random.uniform(-0.01, 0.01, (3, 3)) * [1, 1, 300]]
    for _ in range(6):
        disc = (x - random.uniform(0, width)) ** 2 + (y - random.uniform(0, height)) ** 2 < (random.uniform(0.05, 0.2) * width) ** 2
        planes = [np.where(disc, value, plane) for plane, value in zip(planes, random.uniform(0, 255, 3))]
    grain = random.standard_normal((height, width, 1), np.float32) * random.uniform(6, 14)
    return jpeg(np.clip(np.stack(planes, -1) + grain, 0, 255).astype(np.uint8), int(random.integers(75, 88)))


def photographs(random, path, tiny):
    """Crops of real photographs at the size that this dataset asks for."""
    column = pq.read_table(path, columns=["image"]).column("image").to_pylist()
    while True:
        cell = column[int(random.integers(len(column)))]
        image = Image.open(io.BytesIO(cell["bytes"] if isinstance(cell, dict) else cell)).convert("RGB")
        width, height = image.size
        w, h = int(width * random.uniform(0.7, 1)), int(height * random.uniform(0.7, 1))
        left, top = int(random.integers(width - w + 1)), int(random.integers(height - h + 1))
        scale = (96 if tiny else 1200) / max(w, h)
        image = image.crop((left, top, left + w, top + h)).resize((max(1, int(w * scale)), max(1, int(h * scale))), Image.Resampling.BICUBIC)
        yield jpeg(np.asarray(image), 80 if tiny else 90)


def pool(random, options):
    source = photographs(random, options.photographs, options.tiny) if options.photographs else iter(lambda: synthetic(random, TINY if options.tiny else PHOTOGRAPH), None)
    return [next(source) for _ in range(options.pool)]


def rows(random, pictures, count):
    """Batches of rows; the picture carries the row's number in a JPEG comment."""
    for start in range(0, count, BATCH):
        batch = []
        for i in range(start, min(start + BATCH, count)):
            picture = pictures[int(random.integers(len(pictures)))]
            note = f"row {i}".encode()
            data = picture[:2] + b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note + picture[2:]
            words = [WORDS[part][int(random.integers(len(WORDS[part])))] for part in WORDS]
            batch.append({"uid": hashlib.md5(note).hexdigest(), "image": {"bytes": data, "path": None}, "text": " ".join(words).strip() + f", picture {i}"})
        yield pa.RecordBatch.from_pylist(batch, SCHEMA)


class Shards:
    """Writes `part-00000.parquet` as one row group of the asked size, then shards of about 1 GB in groups of 100 MB."""

    def __init__(self, folder, first_bytes):
        self.folder, self.first_bytes, self.index, self.written = folder, first_bytes, 0, 0
        self.scratch, self.stage, self.staged, self.writer = folder / ".stage.arrow", None, 0, None

    def add(self, batch):
        self.stage = self.stage or pa.ipc.new_file(str(self.scratch), SCHEMA)
        self.stage.write_batch(batch)
        self.staged += batch.nbytes
        if self.staged >= (self.first_bytes if self.index == 0 else GROUP_BYTES):
            self.group()
            if self.index == 0 or self.written >= SHARD_BYTES:
                self.close()

    def group(self):
        self.stage.close()
        self.writer = self.writer or pq.ParquetWriter(self.folder / f"part-{self.index:05}.parquet", SCHEMA, compression="none", use_dictionary=False, write_page_index=True)
        with pa.memory_map(str(self.scratch)) as mapped:
            table = pa.ipc.open_file(mapped).read_all()
            self.writer.write_table(table, row_group_size=len(table))
        self.written, self.staged, self.stage = self.written + self.staged, 0, None

    def close(self):
        if self.stage:
            self.group()
        if self.writer:
            self.writer.close()
            self.writer, self.written, self.index = None, 0, self.index + 1
        self.scratch.unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--row-group-bytes", type=size, default=size("1GB"), help="of the first shard; later ones have 100 MB groups")
    parser.add_argument("--from", dest="photographs", type=Path, help="Parquet of photographs to crop instead of synthetic pictures")
    parser.add_argument("--tiny", action="store_true", help="pictures of about 100 px and 3 kB")
    parser.add_argument("--pool", type=int, default=200, help="distinct pictures before comments")
    parser.add_argument("--seed", type=int, default=4)
    options = parser.parse_args()
    began = time.time()
    options.out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(options.seed)
    pictures = pool(random, options)
    shards = Shards(options.out, options.row_group_bytes)
    for batch in rows(random, pictures, options.rows):
        shards.add(batch)
    shards.close()
    for path in sorted(options.out.glob("part-*.parquet")):
        meta = pq.ParquetFile(path).metadata
        largest = max(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        print(f"{path.name}: {path.stat().st_size / 1e9:.2f} GB, {meta.num_rows} rows, {meta.num_row_groups} row groups, largest {largest / 1e6:.0f} MB")
    sizes = np.array([len(p) for p in pictures]) / 1e3
    print(f"pictures {sizes.min():.0f} to {sizes.max():.0f} kB, mean {sizes.mean():.0f} kB; {time.time() - began:.0f} s")


if __name__ == "__main__":
    main()
