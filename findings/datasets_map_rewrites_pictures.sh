#!/usr/bin/env bash
# datasets 5.2.0, pillow 13.0.0.
# Guess: `ds.map(lambda row: {"width": row["image"].width})` adds a column; the pictures, which are not returned, keep their bytes.
# Seen:  every picture that the function looked at is encoded anew: a JPEG at Pillow's default quality 75 (a lossy generation
#        more, whatever it had), a JPEG with an EXIF orientation as a PNG of the turned picture, several times as large. A
#        function that does not touch `image`, or `filter` that does, leaves the bytes. `{**row}` counts as touching.
# Why:   rows are lazy; decoding puts the Pillow image in the row's place, and `map` writes the row. `input_columns=` that
#        leaves the picture out, or `Image(decode=False)`, avoids it.
# Documented: lazy decoding is, this is not.
# Hurts: bytes, hashes and scores of all pictures change in a step that only measured them; duplicates no longer match.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile datasets==5.2.0 pillow==13.0.0 numpy==2.4.6
export HF_HOME="$dir/hf" HF_HUB_OFFLINE=1
cd "$dir"
venv/bin/python - <<'PY'
import io

import datasets
import numpy as np
from datasets import Dataset, Features, Image, Value
from PIL import Image as Picture

datasets.disable_progress_bars()
rng = np.random.default_rng(0)


def jpeg(orientation):
    picture = Picture.fromarray(rng.integers(0, 255, (16, 12, 3), dtype=np.uint8)).resize((120, 90))
    exif = Picture.Exif()
    if orientation:
        exif[0x0112] = orientation
    sink = io.BytesIO()
    picture.save(sink, "JPEG", quality=95, exif=exif)
    return sink.getvalue()


given = [jpeg(None), jpeg(6)]
features = Features({"image": Image(), "text": Value("string")})
ds = Dataset.from_dict({"image": [{"bytes": b, "path": None} for b in given], "text": ["a", "b"]}, features=features)


def bytes_of(data):
    return [row["bytes"] for row in data.cast_column("image", Image(decode=False))["image"]]


looked = bytes_of(ds.map(lambda row: {"width": row["image"].width}))
for before, after in zip(given, looked):
    b, a = Picture.open(io.BytesIO(before)), Picture.open(io.BytesIO(after))
    print(f"map that reads the width: {b.format} {b.size} {len(before)} bytes -> {a.format} {a.size} {len(after)} bytes")
plain, turned = (Picture.open(io.BytesIO(b)) for b in looked)
first = np.asarray(Picture.open(io.BytesIO(given[0]))).astype(int)
worst = np.abs(first - np.asarray(plain)).max()
print(f"  the first differs by up to {worst} grey levels")
assert plain.format == "JPEG" and worst > 5 and plain.quantization != Picture.open(io.BytesIO(given[0])).quantization
assert turned.format == "PNG" and turned.size == (90, 120)
assert bytes_of(ds.map(lambda row: {"words": len(row["text"])})) == given
assert bytes_of(ds.filter(lambda row: row["image"].width > 1)) == given
assert bytes_of(ds.map(lambda row: {**row, "words": 1}, batched=False)) != given
PY
