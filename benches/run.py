"""The end-to-end harness: ceiling, clip-filter and the Python script, on the same files, threads and ONNX Runtime.

    cargo build --release --examples --bins
    pip install -r tests/golden/requirements.txt
    python benches/run.py [--photos FILE.parquet] [--captions FILE.parquet] [--threads 2] [--rounds 3] [--models bundled,vit-b32]

Rounds are interleaved (every contender once per round), figures are medians, ratios come from this one run. Writes the `speed`
section of `benches/RESULTS.md`. Without `--photos` the pictures are synthetic (`make_dataset.py`).
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import results

ROOT = results.ROOT
WORK = ROOT / "target/bench"
BINARY = ROOT / "target/release/clip-filter"
CEILING = ROOT / "target/release/examples/ceiling"
HERE = ROOT / "benches"


@dataclass(frozen=True)
class Case:
    """One model at one precision. `aim` is what the ratio to the Python script should reach."""

    name: str
    folder: Path
    precision: str
    suffix: str
    rows: int
    aim: float
    model: str = ""


CASES = {
    "bundled": Case("bundled", ROOT / "assets/model", "quantized", "_quantized", 1200, 1.5, "bundled"),
    "vit-b32": Case("ViT-B/32 fp32", WORK / "vit-b32", "fp32", "", 160, 1.4),
    "vit-b32-int8": Case("ViT-B/32 int8", WORK / "vit-b32", "quantized", "_quantized", 320, 1.4),
}


def run(command, environment):
    """The JSON object on the last line of a command's output."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, env=environment, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def ceiling(case, data, options, environment):
    """Decode alone and encode alone on the same cores, and the pairs/s that their sum allows."""
    return run([CEILING, "--model", case.folder, "--precision", case.precision, "--input", data, "--threads", options.threads], environment)


def ours(case, data, options, environment):
    out = WORK / "kept.parquet"
    return run([BINARY, data, out, "--model", case.model or case.folder, "--precision", case.precision, "--threads", options.threads, "--device", "cpu", "--overwrite", "--json"], environment)


def peer(case, data, options, environment, *further):
    white = ["--white"] if case.model == "bundled" else []
    command = [sys.executable, HERE / "peer_python.py", "--model", case.folder, "--suffix", case.suffix, "--input", data, "--threads", options.threads]
    return run([*command, "--output", WORK / "peer.parquet", *white, *further], environment)


CONTENDERS = {
    "ceiling": ceiling,
    "clip-filter": ours,
    "python": peer,
    "python, decoding ahead": lambda *a: peer(*a, "--overlap"),
}


def dataset(rows, options):
    """Photographs in turn with captions that all differ: identical captions would be encoded once by one side only."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = WORK / f"pairs-{rows}.parquet"
    if options.photos:
        cells = pq.read_table(options.photos, columns=["image"]).column("image").to_pylist()
        pictures = [cell["bytes"] if isinstance(cell, dict) else cell for cell in cells]
        captions = wordings(pq.read_table(options.captions)) if options.captions else [f"a photo of thing number {i} on a table" for i in range(rows)]
    else:
        folder = WORK / "synthetic"
        subprocess.run([sys.executable, HERE / "make_dataset.py", "--out", folder, "--rows", str(rows), "--row-group-bytes", "8GB"], check=True, stdout=sys.stderr)
        table = pq.read_table(folder / "part-00000.parquet")
        pictures, captions = [cell["bytes"] for cell in table.column("image").to_pylist()], table.column("text").to_pylist()
    if len(captions) < rows:
        sys.exit(f"{rows} rows need as many captions, found {len(captions)}")
    table = pa.table({"uid": [f"{i:032x}" for i in range(rows)], "image": pa.array([pictures[i % len(pictures)] for i in range(rows)], pa.binary()), "text": captions[:rows]})
    pq.write_table(table, path, compression="none", row_group_size=400)
    return path


def wordings(table):
    """Every distinct caption: the first of each picture, then the second of each, and so on."""
    lists = table.column("captions").to_pylist() if "captions" in table.column_names else [[c] for c in table.column("text").to_pylist()]
    turns = (row[i] for i in range(max(map(len, lists))) for row in lists if i < len(row))
    return list(dict.fromkeys(caption for caption in turns if caption and caption.strip()))


def library():
    """The ONNX Runtime of the Python script, so that both sides run the same one."""
    folder = Path(importlib.util.find_spec("onnxruntime").origin).parent / "capi"
    return next(path for pattern in ("libonnxruntime.so*", "libonnxruntime*.dylib", "onnxruntime.dll") for path in sorted(folder.glob(pattern)))


def measure(case, data, options, environment):
    """Every contender's reports, a round at a time."""
    reports = {name: [] for name in CONTENDERS if name != "ceiling" or CEILING.exists()}
    for number in range(options.rounds):
        for name in reports:
            report = CONTENDERS[name](case, data, options, environment)
            reports[name].append(report)
            print(f"{case.name}, round {number + 1}, {name}: {report['pairs_per_sec']:.1f} pairs/s", file=sys.stderr)
    return reports


def median(reports, field="pairs_per_sec"):
    return statistics.median(report[field] for report in reports)


def spread(reports):
    values = [report["pairs_per_sec"] for report in reports]
    return f"{min(values):.1f}–{max(values):.1f}"


def section(case, rows, reports, options):
    """The table of one model."""
    own = median(reports["clip-filter"])
    lines = [f"### {case.name}, {rows} pairs, {options.threads} threads\n", "| | pairs/s (median) | range | clip-filter ÷ this | aim | peak RSS |", "|---|---|---|---|---|---|"]
    for name, done in reports.items():
        aim = {"ceiling": "0.90", "python": f"{case.aim}"}.get(name, "")
        ratio = "" if name == "clip-filter" else f"{own / median(done):.2f}"
        peak = f"{median(done, 'peak_rss_bytes') / 2**20:.0f} MiB" if "peak_rss_bytes" in done[0] else ""
        label = f"{name} ({done[0]['padding']} padding)" if "padding" in done[0] else name
        lines.append(f"| {label} | {median(done):.1f} | {spread(done)} | {ratio} | {aim} | {peak} |")
    if "ceiling" in reports:
        parts = {k: median(reports["ceiling"], k) for k in ("decode_images_per_sec", "image_encode_per_sec", "text_encode_per_sec")}
        lines.append(f"\nAlone on the same cores: decode {parts['decode_images_per_sec']:.0f}/s, image tower {parts['image_encode_per_sec']:.0f}/s, text tower {parts['text_encode_per_sec']:.0f}/s.")
    lines.append(f"clip-filter names as its limit: {reports['clip-filter'][-1].get('limiting_stage')}. With start-up: {median(reports['clip-filter'], 'seconds'):.1f} s, the script {median(reports['python'], 'seconds'):.1f} s.")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="Parquet whose `image` column holds the pictures")
    parser.add_argument("--captions", type=Path, help="Parquet whose `captions` or `text` column holds the captions")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", default="bundled,vit-b32", help=f"some of {','.join(CASES)}")
    parser.add_argument("--rows", type=int, help="pairs, instead of each model's own number")
    parser.add_argument("--dry", action="store_true", help="print, and do not touch RESULTS.md")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    stamp = results.stamp()
    environment = os.environ | {"ORT_DYLIB_PATH": str(library()), "ORT_DISABLE_TELEMETRY": "1"}
    cases = [CASES[name] for name in options.models.split(",")]
    if any(case.folder == WORK / "vit-b32" for case in cases) and not (WORK / "vit-b32/onnx/text_model_quantized.onnx").exists():
        subprocess.run([sys.executable, HERE / "build_vit_b32.py", WORK / "vit-b32", "--int8"], check=True, stdout=sys.stderr)
    parts, versions = [], {}
    for case in cases:
        rows = options.rows or case.rows
        reports = measure(case, dataset(rows, options), options, environment)
        versions = reports["python"][0]["versions"]
        parts.append(section(case, rows, reports, options))
    command = "python benches/run.py" + (" --photos full-size photographs" if options.photos else "") + (" --captions human captions" if options.captions else "") + f" --threads {options.threads} --rounds {options.rounds} --models {options.models}"
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    text = f"## Speed\n\n{stamp}\n\n`{command}`; Python {sys.version.split()[0]}, {named}; the same ONNX Runtime library on both sides. Start-up and model loading are outside pairs/s.\n\n" + "\n\n".join(parts)
    print(text)
    if not options.dry:
        results.replace("speed", text)


if __name__ == "__main__":
    main()
