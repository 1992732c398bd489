"""JPEG decoders compared on the same photographs, and what a reduced decode does to embeddings.

    cargo build --release -p clip-filter-pixels --example decoders
    python benches/decode.py PHOTOS.parquet [--edge 224]
    python benches/decode.py --large FOLDER --towers NAME=MODEL.onnx ...

The first writes the `decode` section of `benches/RESULTS.md`: the reference is Pillow's picture, and `simplejpeg`, if
installed, stands for libjpeg-turbo in C. The second writes the `reduced` section: FOLDER holds pictures of several thousand
pixels, each is brought to a multiple of the tower's input, coded at quality 90 and decoded in full and reduced. Needs
`tests/golden/requirements.txt`.
"""

import argparse
import io
import json
import statistics
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import results

EXAMPLE = results.ROOT / "target/release/examples/decoders"
MEAN = STD = 0.5


def photos(path):
    """The JPEG files of a shard."""
    import pyarrow.parquet as pq

    cells = pq.read_table(path, columns=["image"]).column("image").to_pylist()
    files = [cell["bytes"] if isinstance(cell, dict) else cell for cell in cells]
    return [file for file in files if file and file[:3] == b"\xff\xd8\xff"]


def compared(files, edge):
    """What the example prints, and the C library's rate on the same files."""
    import numpy as np
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        for number, file in enumerate(files):
            Path(folder, f"{number:05}.jpg").write_bytes(file)
            Path(folder, f"{number:05}.rgb").write_bytes(np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).tobytes())
        lines = subprocess.run([EXAMPLE, folder, str(edge)], check=True, capture_output=True, text=True).stdout
    rows = [json.loads(line) for line in lines.splitlines()]
    decoders = {"Pillow": lambda file: np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))}
    if find_spec("simplejpeg"):
        import simplejpeg

        decoders["simplejpeg (libjpeg-turbo in C)"] = lambda file: simplejpeg.decode_jpeg(file, colorspace="RGB", fastdct=False, fastupsample=False)
    for name, decode in decoders.items():
        rates = sorted(rate(files, decode) for _ in range(5))
        away = [np.abs(decode(file).astype(int) - decoders["Pillow"](file)) for file in files]
        mean = sum(int(a.sum()) for a in away) / sum(a.size for a in away)
        rows.append({"name": name, "rate": rates[2], "low": rates[0], "high": rates[4], "max": max(int(a.max()) for a in away), "mean": mean})
    return rows


def rate(files, decode):
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < 2:
        for file in files:
            decode(file)
        done += len(files)
    return done / (time.perf_counter() - start)


def shrunk(file, edge, by):
    """Pillow's way: a reduced decode, and a box that is as long as the stored picture."""
    from PIL import Image

    image = Image.open(io.BytesIO(file))
    width, height = image.size
    if by > 1:
        image.draft("RGB", (width // by, height // by))
    short = min(width, height)
    size = (edge * width // short, edge * height // short)
    image = image.convert("RGB").resize(size, Image.BICUBIC, box=(0, 0, width / by, height / by))
    left, top = (size[0] - edge) // 2, (size[1] - edge) // 2
    return image.crop((left, top, left + edge, top + edge))


def agreement(tower, folder):
    """Cosines of the two embeddings, by the length of the picture and the reduction, in multiples of the input."""
    import numpy as np
    import onnxruntime
    from PIL import Image

    session = onnxruntime.InferenceSession(str(tower), providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    edge = given.shape[-1] if isinstance(given.shape[-1], int) else 224
    out = next((o.name for o in session.get_outputs() if o.name == "image_embeds"), None)

    def embed(image):
        pixels = ((np.asarray(image, np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1)[None].astype(np.float32)
        vector = session.run([out] if out else None, {given.name: pixels})[0][0]
        return vector / np.linalg.norm(vector)

    found = {}
    pictures = [Image.open(path).convert("RGB") for path in sorted(Path(folder).iterdir())]
    for times in (2, 3, 4, 6, 8, 10, 12):
        for picture in pictures:
            factor = times * edge / min(picture.size)
            if factor > 1:
                continue
            file = io.BytesIO()
            picture.resize([max(times * edge, round(side * factor)) for side in picture.size], Image.LANCZOS).save(file, "JPEG", quality=90)
            exact = embed(shrunk(file.getvalue(), edge, 1))
            for by in (2, 4, 8):
                if times >= by:
                    found.setdefault((times, by), []).append(float(exact @ embed(shrunk(file.getvalue(), edge, by))))
    return found


def decoding(options):
    files = photos(options.photos)
    lines = ["## Decoding\n", results.stamp() + "\n", f"`python benches/decode.py PHOTOS.parquet --edge {options.edge}`, {len(files)} JPEG files, one core, medians of 5 rounds of 2 s; differences from Pillow's pixels.\n"]
    lines += ["| | images/s | range | max | mean |", "|---|---|---|---|---|"]
    for row in compared(files, options.edge):
        away = ("", "") if row["max"] is None else (row["max"], f"{row['mean']:.3f}")
        lines.append(f"| {row['name']} | {row['rate']:.0f} | {row['low']:.0f}–{row['high']:.0f} | {away[0]} | {away[1]} |")
    lines.append(f"\nThe kernel's rows are all of the way: decoded, resized to {options.edge}, cropped, normalised.")
    return "\n".join(lines)


def reduced(options):
    lines = ["## Reduced decode: agreement of embeddings\n", results.stamp() + "\n", "`python benches/decode.py --large FOLDER --towers NAME=MODEL.onnx ...`; cosine between the embedding of the picture decoded in full and of the one decoded at a part of its size."]
    for tower in options.towers:
        name, path = tower.split("=", 1)
        lines += [f"\n### {name}\n", "| picture ÷ input | reduced to | reduced ÷ input | pictures | min | mean |", "|---|---|---|---|---|---|"]
        for (times, by), cosines in sorted(agreement(path, options.large).items()):
            lines.append(f"| {times} | 1/{by} | {times / by:g} | {len(cosines)} | {min(cosines):.5f} | {statistics.mean(cosines):.5f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--edge", type=int, default=224)
    parser.add_argument("--large", type=Path)
    parser.add_argument("--towers", nargs="*", default=[])
    options = parser.parse_args()
    if options.photos:
        results.replace("decode", decoding(options))
    if options.large:
        results.replace("reduced", reduced(options))


if __name__ == "__main__":
    main()
