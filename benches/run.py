"""The end-to-end harness on CPU cores: one call measures a section of `benches/RESULTS.md` or several, each in interleaved rounds.

    cargo build --release --examples --bins
    pip install -r tests/golden/requirements.txt          # peers, where wanted: daft torch
    python benches/run.py [--sections speed,int8,filtered,scaling,allocations] [--photos FILE.parquet] [--captions FILE.parquet]
                          [--threads 2] [--rounds 3] [--models bundled,vit-b32,vit-b32-int8] [--clip-retrieval PYTHON] [--only WORDS] [--dry]

Sections, with about how long they take at three rounds on two idle cores (the seeded model is built once, 1 min more):

    speed        the program beside what the cores allow and beside each peer that is installed, per model: 17 min, with clip-retrieval 20
    int8         what int8 adds to ViT-B/32 and what it costs: embeddings, and which rows are kept: 2 min
    filtered     a condition on an input column that cuts two thirds of the rows, against the Python script: 3 min
    scaling      1,000, 10,000 and 100,000 small pictures (--rows: the most with the bundled model), and start-up (`rows.py`): 13 to 30 min
    allocations  calls of malloc per further image on the whole way (`allocations.py`, needs heaptrack): 3 min

Every contender runs once per round, figures are medians, ratios come from this one run. Without `--photos` the pictures are
synthetic (`make_dataset.py`). GPUs: `gpu.py`. Memory: `memory.py`. Selection: `reselect.py`, `scale.py`. Writing: `emit.py`.
"""

import argparse
import os
import sys
from pathlib import Path

import allocations
import cases
import contenders
import int8
import results
import rows
from contenders import median, spread


def speed_table(case, count, done, silent, options):
    """The table of one model."""
    own = median(done["clip-filter"])
    lines = [f"### {case.name}, {count} pairs, {options.threads} threads\n", "| | pairs/s (median) | range | clip-filter ÷ this | aim | peak RSS |", "|---|---|---|---|---|---|"]
    for name, reports in done.items():
        aim = {"ceiling": "0.95", "python": f"{case.aim}" if case.aim else ""}.get(name, "")
        ratio = "" if name == "clip-filter" else f"{own / median(reports):.2f}"
        peak = f"{median(reports, 'peak_rss_bytes') / 2**20:.0f} MiB" if "peak_rss_bytes" in reports[0] else ""
        label = f"{name} ({reports[0]['padding']} padding)" if "padding" in reports[0] else name
        lines.append(f"| {label} | {median(reports):.1f} | {spread(reports)} | {ratio} | {aim} | {peak} |")
    lines += [f"| {name} | {why} | | | | |" for name, why in silent.items()]
    if "ceiling" in done:
        parts = {k: median(done["ceiling"], k) for k in ("decode_images_per_sec", "image_encode_per_sec", "text_encode_per_sec")}
        lines.append(f"\nAlone on the same cores: decode {parts['decode_images_per_sec']:.0f}/s, image tower {parts['image_encode_per_sec']:.0f}/s, text tower {parts['text_encode_per_sec']:.0f}/s.")
    limit = f"\nclip-filter names as its limit: {done['clip-filter'][-1].get('limiting_stage')}. With start-up: {median(done['clip-filter'], 'seconds'):.1f} s"
    lines.append(limit + (f", the script {median(done['python'], 'seconds'):.1f} s." if "python" in done else "."))
    if "transformers" in done:
        lines.append(f"\nThe loop over transformers agrees with onnxruntime: least cosine {min(report['least_cosine'] for report in done['transformers']):.6f}.")
    return "\n".join(lines)


def versions(every):
    """Of all that took part."""
    found = {}
    for done in every:
        for reports in done.values():
            found |= reports[0].get("versions", {})
    return ", ".join([f"Python {sys.version.split()[0]}", *(f"{name} {version}" for name, version in sorted(found.items()))])


def speed(options, environment):
    chosen = [cases.CASES[name] for name in options.models.split(",")]
    cases.build_models(chosen)
    parts, every = [], []
    for case in chosen:
        count = options.rows or case.rows
        done, silent = contenders.measure(contenders.SPEED, case, cases.pairs(count, options), options, environment)
        parts.append(speed_table(case, count, done, silent, options))
        every.append(done)
    return f"## Speed\n\n{{stamp}}\n\n{{command}}; {versions(every)}; the same ONNX Runtime library on all sides. Start-up and model loading are outside pairs/s.\n\n" + "\n\n".join(parts)


def filtered(options, environment):
    """Only a third of the rows pass a condition on an input column."""
    chosen = [cases.CASES[name] for name in options.models.split(",") if name != "vit-b32-int8"]
    cases.build_models(chosen)
    parts, every = [], []
    for case in chosen:
        count = options.rows or case.rows
        done, silent = contenders.measure(contenders.FILTERED, case, cases.pairs(count, options), options, environment)
        rate = "input_rows_per_sec"
        own = median(done["clip-filter"], rate)
        lines = [f"### {case.name}, {count} rows, {options.threads} threads\n", "| | rows in/s (median) | range | clip-filter ÷ this | aim |", "|---|---|---|---|---|"]
        for name, reports in done.items():
            ratio = "" if name == "clip-filter" else f"{own / median(reports, rate):.2f}"
            lines.append(f"| {name} | {median(reports, rate):.1f} | {spread(reports, rate)} | {ratio} | {'3' if 'all' in name else ''} |")
        lines += [f"| {name} | {why} | | | |" for name, why in silent.items()]
        report = done["clip-filter"][-1]
        lines.append(f"\nclip-filter encoded {report['rows_scored']} of {report['rows_in']} rows.")
        parts.append("\n".join(lines))
        every.append(done)
    head = f"`--where '{cases.WIDTH} >= {cases.WIDE}'` holds in a third of the rows, scattered; the script keeps the same rows, once by scoring all and once by filtering first"
    return f"## A cheap condition first\n\n{{stamp}}\n\n{{command}}; {versions(every)}. {head}. Rows in per second of the scoring pass.\n\n" + "\n\n".join(parts)


SECTIONS = {"speed": speed, "int8": int8.section, "filtered": filtered, "scaling": rows.section, "allocations": allocations.section}


def named_command(options):
    """The command as anyone could type it: data by what they are."""
    words = ["python benches/run.py --sections", options.section]
    if options.section != "scaling":
        words += ["--photos full-size photographs"] if options.photos else []
    if options.section not in ("scaling", "allocations"):
        words += ["--captions human captions"] if options.captions else []
    words += [f"--rows {options.rows}"] if options.rows else []
    words += [f"--threads {options.threads} --rounds {options.rounds}"]
    words += [f"--models {options.models}"] if options.section in ("speed", "filtered") else []
    words += [f"--only {options.only}"] if options.only and options.section == "speed" else []
    return f"`{' '.join(words)}`"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", default="speed,int8,filtered", help=f"some of {','.join(SECTIONS)}")
    parser.add_argument("--photos", type=Path, help="Parquet whose `image` column holds the pictures")
    parser.add_argument("--captions", type=Path, help="Parquet whose `captions` or `text` column holds the captions")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", default="bundled,vit-b32,vit-b32-int8", help=f"some of {','.join(cases.CASES)}")
    parser.add_argument("--rows", type=int, help="pairs, instead of each section's own number")
    parser.add_argument("--clip-retrieval", metavar="PYTHON", help="a Python with clip-retrieval, onnx, onnxruntime and tokenizers")
    parser.add_argument("--only", help="contenders whose names hold one of these words, beside clip-filter")
    parser.add_argument("--binary", type=Path, default=results.ROOT / "target/release/clip-filter")
    parser.add_argument("--ceiling", type=Path, help="default: examples/ceiling beside the binary")
    parser.add_argument("--dry", action="store_true", help="print, and do not touch RESULTS.md")
    options = parser.parse_args()
    options.binary = options.binary.absolute()
    options.ceiling = options.ceiling or options.binary.parent / "examples/ceiling"
    cases.WORK.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"ORT_DYLIB_PATH": str(cases.library()), "ORT_DISABLE_TELEMETRY": "1", "CLIP_FILTER_ONNXRUNTIME": str(cases.library())}
    for options.section in options.sections.split(","):
        stamp = results.stamp()
        text = SECTIONS[options.section](options, environment).replace("{stamp}", stamp).replace("{command}", named_command(options))
        print(text)
        if not options.dry:
            results.replace(options.section, text)


if __name__ == "__main__":
    main()
