"""Selecting 30 % of a webdataset into a webdataset, against the same loop with the package `webdataset`; writes the `tars` section.

    python benches/tars.py DIR [--binary FILE] [--rounds 3] [--samples 20000] [--print]

DIR gets, once, `in/` (tars of 2,000 samples: a JPEG of 50 kB, a caption, a JSON) and `scores/` (a score store of them, by the mock
model, since nothing is encoded here). Ours is the whole process: index pass, selection, writing, fsync. The peer's seconds are those of its
loop alone: it is given the keys and scores in a dictionary, reads every sample undecoded, puts the score into the JSON of
those it keeps, and writes them with ShardWriter; no fsync. Both outputs must hold the same images under the same keys.
"""

import argparse
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import results

PER_TAR, IMAGE_BYTES, KEEP = 2000, 50_000, 0.3


def make(folder, samples):
    from PIL import Image

    folder.mkdir(parents=True)
    draw = random.Random(5)
    for first in range(0, samples, PER_TAR):
        with tarfile.open(folder / f"{first // PER_TAR:05}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for number in range(first, min(first + PER_TAR, samples)):
                image = io.BytesIO()
                colour = tuple(draw.randrange(256) for _ in range(3))
                Image.new("RGB", (64, 64), colour).save(image, "JPEG")
                # What a decoder never looks at makes it as large as others are.
                image = image.getvalue() + draw.randbytes(IMAGE_BYTES)
                facts = {"uid": f"{draw.getrandbits(128):032x}", "width": 64, "url": f"https://host/{number}"}
                members = {"jpg": image, "json": json.dumps(facts).encode(), "txt": b"a picture of thing %d" % number}
                for field, data in members.items():
                    member = tarfile.TarInfo(f"{number:09}.{field}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


def ours(binary, data, out):
    command = [binary, data / "in", f"{out}/", "--format", "webdataset", "--scores", data / "scores", "--keep", str(KEEP), "--quiet"]
    began = time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, "CLIP_FILTER_MODEL": "mock"})
    return time.perf_counter() - began


def peer(data, out, kept):
    """The loop, in a process of its own."""
    out.mkdir()
    script = Path(__file__).resolve()
    keys = data / "kept.json"
    keys.write_text(json.dumps(kept))
    done = subprocess.run([sys.executable, script, "--peer", data / "in", out, keys], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def loop(folder, out, keys):
    import webdataset as wds

    kept = json.loads(Path(keys).read_text())
    tars = sorted(str(path) for path in Path(folder).glob("*.tar"))
    began = time.perf_counter()
    with wds.ShardWriter(f"{out}/part-%05d.tar", maxcount=10_000, encoder=False, verbose=0) as sink:
        for sample in wds.WebDataset(tars, shardshuffle=False):
            score = kept.get(sample["__key__"])
            if score is None:
                continue
            facts = json.loads(sample["json"])
            facts["clip_score"] = score
            sample["json"] = json.dumps(facts).encode()
            del sample["__url__"], sample["__local_path__"]
            sink.write(sample)
    print(time.perf_counter() - began)


def contents(folder):
    """Key, hash of the image, and score of every sample."""
    images, scores = {}, {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, field = member.name.split(".", 1)
                if field == "jpg":
                    images[key] = hashlib.sha256(tar.extractfile(member).read()).hexdigest()
                elif field == "json":
                    scores[key] = json.load(tar.extractfile(member))["clip_score"]
    return images, scores


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--binary", default=str(results.ROOT / "target/release/clip-filter"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md alone")
    args = parser.parse_args()
    stamp = results.stamp()
    if not (args.data / "in").exists():
        make(args.data / "in", args.samples)
    if not (args.data / "scores").exists():
        environment = {**os.environ, "CLIP_FILTER_MODEL": "mock"}
        subprocess.run([args.binary, "score", args.data / "in", "--scores", args.data / "scores", "--quiet"], check=True, env=environment)
    seconds = {"clip-filter": [], "webdataset": []}
    for _ in range(args.rounds):
        for name in ("ours", "theirs"):
            shutil.rmtree(args.data / name, ignore_errors=True)
        seconds["clip-filter"].append(ours(args.binary, args.data, args.data / "ours"))
        images, scores = contents(args.data / "ours")
        seconds["webdataset"].append(peer(args.data, args.data / "theirs", scores))
        assert contents(args.data / "theirs") == (images, scores), "the outputs differ"
    size = sum(path.stat().st_size for path in (args.data / "in").iterdir())
    best = {name: min(all) for name, all in seconds.items()}
    lines = [
        "## Tars",
        "",
        f"`python benches/tars.py DIR --samples {args.samples}` ({stamp}): {size / 1e9:.2f} GB of tars, {len(images)} samples written, best of {args.rounds} rounds.",
        "",
        "| | seconds | MB/s read |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {name} | {best[name]:.2f} | {size / 1e6 / best[name]:.0f} |" for name in best]
    lines += ["", f"Ratio {best['webdataset'] / best['clip-filter']:.2f}."]
    print("\n".join(lines))
    if not args.print:
        results.replace("tars", "\n".join(lines))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        loop(*sys.argv[2:])
    else:
        main()
