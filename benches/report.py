"""Reports of a million rows: seconds, peak memory and size of the page, opened in headless Chromium; writes the `report` section.

    python benches/report.py DIR [--binary FILE] [--rows 1000000] [--dim 384] [--sets plain,embedded]

DIR gets, once, two datasets of the same rows: `plain/` has pictures (500 different JPEGs of 64 x 64 pixels) and a score store without
embeddings; `embedded/` has no pictures, but image embeddings in the store, so that near-duplicates are sought among all rows.
Every page is opened by tests/browser/report.py, if this Python has playwright and the machine has Chromium.
"""

import argparse
import io
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import results
import rounds

LIMIT, SHARDS, GROUP, PICTURES = "1GiB", 10, 50_000, 500


def plain(folder, binary, options):
    """Shards with pictures and captions, and a store of made-up scores, one row in a hundred bad."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import synthetic_store
    from PIL import Image

    random = np.random.default_rng(7)
    pictures = []
    for _ in range(PICTURES):
        out, coarse = io.BytesIO(), random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC).save(out, "JPEG")
        pictures.append(out.getvalue())
    (folder / "shards").mkdir(parents=True)
    shards, scores, each = [], [], options.rows // SHARDS
    for number in range(SHARDS):
        shard = folder / "shards" / f"part-{number:05}.parquet"
        images = pa.DictionaryArray.from_arrays(pa.array(random.integers(0, PICTURES, each).astype(np.int32)), pa.array(pictures, pa.binary()))
        keys = [f"{number * each + row:032x}" for row in range(each)]
        table = pa.table({"uid": keys, "jpg": images.cast(pa.binary()), "caption": [f"a made-up picture, number {key.lstrip('0')}" for key in keys]})
        pq.write_table(table, shard, row_group_size=GROUP, compression="zstd", use_dictionary=["jpg"], write_page_index=True)
        values = random.normal(0.25, 0.05, each).astype(np.float32)
        values[random.random(each) < 0.01] = np.nan
        shards.append(shard)
        scores.append(values)
    synthetic_store.make(binary, folder / "scores", shards, scores)
    manifest = folder / "scores/manifest.json"
    facts = json.loads(manifest.read_text())
    (spec,) = facts["models"].values()
    spec.update(image_column="jpg", text_column="caption")
    manifest.write_text(json.dumps(facts, indent=2))


def embedded(folder, binary, options):
    import scale_data

    scale_data.embedded(binary, folder, scale_data.Shape(options.rows, SHARDS, options.dim, ("image",)))


def opened(page, facts):
    """What the browser says of a page."""
    script = results.ROOT / "tests/browser/report.py"
    ran = subprocess.run([sys.executable, script, page, facts], capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"{page}: {ran.stdout}{ran.stderr}")
    said = ran.stdout.strip()
    return said.split(", ", 2)[-1] if said.startswith("ok") else said


def measure(binary, scores, folder, more):
    page, facts = folder / "page.html", folder / "facts.json"
    command = [binary, "report", scores, "-o", page, "--overwrite", "--memory-limit", LIMIT, "--threads", "2", "--quiet", *more]
    found = rounds.run(command)
    if found is None:
        sys.exit(1)
    facts.write_bytes(subprocess.run([*command[:3], *command[6:], "--json"], check=True, capture_output=True).stdout)
    said = json.loads(facts.read_text())
    kept = f"{said['rows_kept']:,} of {said['rows_in']:,}"
    shown = shlex.join(["clip-filter", "report", "scores/", "-o", "page.html", *more])
    size = page.stat().st_size
    return f"| {scores.parent.name} | `{shown}` | {kept} | {found.wall:.1f} | {found.cpu:.1f} | {found.peak / 2**20:.0f} MiB | {size / 1e6:.2f} MB | {opened(page, facts)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--binary", type=Path, default=results.ROOT / "target/release/clip-filter")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--sets", default="plain,embedded")
    parser.add_argument("--make", help=argparse.SUPPRESS)
    parser.add_argument("--dry", action="store_true", help="do not touch RESULTS.md")
    options = parser.parse_args()
    if options.make:
        folder = options.data / options.make
        {"plain": plain, "embedded": embedded}[options.make](folder, options.binary, options)
        return (folder / "made").touch()
    wanted = options.sets.split(",")
    for name in wanted:
        # In a process of its own: the pages of this one count as those of what it starts. Where it lies: the store knows its shards by path.
        if not (options.data / name / "made").exists():
            shutil.rmtree(options.data / name, ignore_errors=True)
            subprocess.run([sys.executable, *sys.argv, "--make", name], check=True)
    stamp, lines = results.stamp(), []
    jobs = [("plain", ["--keep", "0.3"]), ("plain", ["--where", "width > 500 AND clip_score > 0.2", "--keep", "0.3"]), ("embedded", ["--keep", "0.3"])]
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        for name, more in (job for job in jobs if job[0] in wanted):
            lines.append(measure(options.binary, options.data / name / "scores", Path(folder), more))
            print(lines[-1])
    binary = "the unoptimised build of the tests" if "debug" in options.binary.parts else "a release build"
    text = "\n".join(
        [
            f"## Reports\n\n{stamp}; {binary}\n",
            f"`python benches/report.py DIR --rows {options.rows} --sets {options.sets}`; {options.rows:,} rows in {SHARDS} shards, `--memory-limit {LIMIT} --threads 2`. Of `plain`: pictures of 64 x 64 pixels, no embeddings; of `embedded`: {options.dim} numbers per image (f16), no pictures, and near-duplicates of 256 rows are sought among all.\n",
            "| data | | rows kept | s | cpu s | peak RSS | page | in headless Chromium |\n|---|---|---|---|---|---|---|---|",
            *lines,
        ]
    )
    if not options.dry:
        results.replace("report", text)


if __name__ == "__main__":
    main()
