"""What adaptation does to wrong labels and captions, one way beside the other: the `adapting` section of `benches/RESULTS.md`.

    pip install numpy pyarrow
    python benches/adapting.py WORK --labelled cifar10-train.parquet --captioned sample.parquet,swapped-20-0.parquet

Labelled shards have `label` (some wrong) and `label_clean`, captioned ones `text` and `caption_ok`, whether it is the image's own. Every shard
is scored into WORK/scores-NAME first, where it is not yet. Rows are ordered by one column; no row is tied, no probe is fitted.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import method
import results

WAYS = {"plain": (), "infonce": ("--adapt=infonce",), "closed": ("--adapt",)}
KEEPS = (0.3, 0.5, 0.7, 0.8)


def area(scores, right):
    """How likely a right row is above a wrong one."""
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    count = right.sum()
    return (ranks[right].sum() - count * (count + 1) / 2) / (count * (len(scores) - count))


def wrong_kept(scores, right):
    best = np.argsort(-scores, kind="stable")
    return [100 * np.mean(~right[best[: round(keep * len(scores))]]) for keep in KEEPS]


def columns(tool, data, store, names, *words):
    """Columns of all rows in order."""
    tool.run("score", data, "--scores", store, "--add", ",".join(names), *words)
    table = tool.filter(data, store, *words, "--keep", 1, "--select", "clip-score", "--add", ",".join(names))
    return {name: table.column(name).to_numpy(zero_copy_only=False).astype(np.float64) for name in names}


def lines_of(tool, data, store, right, options, *words):
    names = ["sas", "sas_margin"] + ([] if words else ["s_cliploss"])
    lines = []
    for way, adapts in WAYS.items():
        seeds = options.seeds if way == "infonce" else options.seeds[:1]
        runs = [columns(tool, data, store, names, *words, *adapts, "--seed", seed) for seed in seeds]
        for name in names:
            if name == "s_cliploss" and way != "plain":
                continue
            found = [(area(of[name], right), *wrong_kept(of[name], right)) for of in runs]
            cells = [method.mean_range([run[place] for run in found], 4 if place == 0 else 2) for place in range(1 + len(KEEPS))]
            lines.append(f"| {way} | `{name}` | " + " | ".join(cells) + " |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    listed = lambda text: [Path(word) for word in text.split(",") if word]
    parser.add_argument("--labelled", type=listed, default=[])
    parser.add_argument("--captioned", type=listed, default=[])
    parser.add_argument("--binary", type=Path, default=results.ROOT / "target/release/clip-filter")
    parser.add_argument("--seeds", type=lambda text: [int(word) for word in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--dry", action="store_true", help="print, and do not touch RESULTS.md")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    stamp, tool, parts = results.stamp(), method.Tool(options.binary, options.work), []
    head = "| adaptation | order | AUC | " + " | ".join(f"wrong at {keep}, %" for keep in KEEPS) + " |\n|---|---|---|" + "---|" * len(KEEPS)
    for data in options.labelled:
        table = method.without_images(data)
        truth = table.column("label_clean").to_numpy()
        store = tool.score(data, f"{data.stem}-label", "--label-column", "label")
        right = table.column("label").to_numpy() == truth
        lines = lines_of(tool, data, store, right, options, "--label-column", "label")
        parts.append(f"### `{data.stem}`: {len(right):,} rows, {100 * np.mean(~right):.0f} % of the labels wrong\n\n{head}\n" + "\n".join(lines) + method.said(tool))
    for data in options.captioned:
        store = tool.score(data, data.stem)
        table = tool.filter(data, store, "--keep", 1, "--select", "clip-score")
        right = table.column("caption_ok").to_numpy(zero_copy_only=False).astype(bool)
        lines = lines_of(tool, data, store, right, options)
        parts.append(f"### `{data.stem}`: {len(right):,} rows, {100 * np.mean(~right):.0f} % of the captions wrong\n\n{head}\n" + "\n".join(lines) + method.said(tool))
    named = lambda paths: ",".join(path.name for path in paths)
    text = (
        f"## Adaptation, one way beside the other\n\n{stamp}\n\n`python benches/adapting.py WORK --labelled {named(options.labelled)} --captioned {named(options.captioned)}`; bundled model. Rows in descending order of a column; "
        f"AUC: how likely a right row is above a wrong one. `infonce`: mean and range over seeds {options.seeds}; nothing else is random.\n\n" + "\n\n".join(parts)
    )
    print(text)
    if not options.dry:
        results.replace("adapting", text)


if __name__ == "__main__":
    main()
