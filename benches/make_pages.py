"""Writes shards whose pages of pictures have a gigabyte each, as pyarrow and DuckDB write them by default.

    python benches/make_pages.py --out DIR [--rows 2100] [--bytes 1000000] [--codecs none,snappy]

pyarrow looks at the size of a page, and of a dictionary, once per 1,024 rows; DuckDB writes a row group as one page. Each file is one row
group of rows of `--bytes`: a small JPEG with noise behind its end marker, which no codec can shorten.
"""

import argparse
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

# Codec and its level, for pyarrow: the least, as noise is not worth more.
CODECS = {"none": None, "snappy": None, "lz4": None, "zstd": None, "gzip": 1, "brotli": 1}


def pictures(count, length):
    """`count` JPEGs that differ, each filled up to `length` bytes."""
    random = np.random.default_rng(1)
    base = random.integers(0, 255, (64, 64, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    for number in range(count):
        pixels = base.copy()
        pixels[:16, :16] = number % 251
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", quality=90)
        yield out.getvalue() + random.integers(0, 256, length - out.tell(), dtype=np.uint8).tobytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=2100)
    parser.add_argument("--bytes", type=int, default=1_000_000)
    parser.add_argument("--codecs", default=",".join(CODECS), help="of pyarrow's files, with commas")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    texts = [f"picture number {row}" for row in range(options.rows)]
    pairs = pa.table({"image": pa.array(pictures(options.rows, options.bytes), pa.binary()), "text": texts})
    for codec in options.codecs.split(","):
        level = CODECS[codec]
        for dictionary in (True, False):
            path = options.out / f"pyarrow-{codec}{'-dictionary' if dictionary else ''}.parquet"
            pq.write_table(pairs, path, compression=codec, compression_level=level, use_dictionary=dictionary, row_group_size=options.rows)
            print(path, flush=True)
    try:
        import duckdb
    except ImportError:
        return
    for codec in ("uncompressed", "snappy", "zstd"):
        path = options.out / f"duckdb-{codec}.parquet"
        duckdb.sql(f"COPY pairs TO '{path}' (FORMAT parquet, COMPRESSION {codec})")
        print(path, flush=True)


if __name__ == "__main__":
    main()
