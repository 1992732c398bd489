"""What the method does to wrong labels and captions: three tables, in the `method` section of `benches/RESULTS.md`.

    cargo build --release
    pip install numpy pyarrow scikit-learn
    python benches/method.py WORK --train cifar10-train.parquet --test cifar10-test.parquet --captions captioned-photos-500.parquet

The training split has `key`, `label` (20 % wrong) and `label_clean`, which only the count of wrong ones and the second table read; the test split
`key` and `label`; captioned photographs `key` and `text`. Stores stay in WORK: later runs encode nothing. `--only` makes some of the tables.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import results

READING = Path(__file__).with_name("method_reading.md")
ADAPT = ("--adapt",)
LABELLED = {
    "clip_score alone": (("--select", "clip-score"), ()),
    "exact": (("--solver", "exact"), ()),
    "exact, --adapt": (("--solver", "exact"), ADAPT),
    "exact, --adapt, --balance": (("--solver", "exact", "--balance", "{label}"), ADAPT),
    "paper, --adapt": (("--solver", "paper"), ADAPT),
    "cover, --adapt": (("--solver", "cover"), ADAPT),
}
CAPTIONED = {
    "clip_score": (("--select", "clip-score"), ()),
    "s_cliploss, the default": ((), ()),
    "s_cliploss, --adapt": ((), ADAPT),
    "align-diverse": (("--select", "align-diverse"), ()),
    "align-diverse, --adapt": (("--select", "align-diverse"), ADAPT),
    "cover": (("--solver", "cover"), ()),
    "cover, --adapt": (("--solver", "cover"), ADAPT),
}
ORDERED_BY = {"sas_margin (sql)": ("sas_margin", ()), "sas_margin, --adapt (sql)": ("sas_margin", ADAPT)}
MIN_MAX = "min-max top-k, --adapt (NumPy)"
GATE = "random where sas_margin > 0, --adapt (NumPy)"


@dataclass
class Tool:
    """The program, where its stores are, and what it said."""

    binary: Path
    work: Path
    said: list = field(default_factory=list)

    def run(self, *words):
        command = [str(self.binary), *map(str, words)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"ORT_DISABLE_TELEMETRY": "1"})
        if done.returncode:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}\n{done.stderr}")
        lines = [line.strip() for line in done.stderr.splitlines()]
        self.said += [line for line in lines if line.startswith(("adapt: kept", "adapt: no", "published iteration:", "cover:"))]
        return done.stdout

    def score(self, data, name, *words):
        """Encodes what the store of this name lacks."""
        store = self.work / f"scores-{name}"
        report = json.loads(self.run("score", data, "--scores", store, *words, "--json", "--quiet"))
        print(f"{name}: {report['rows_scored']} of {report['rows_in']} rows encoded, {report['seconds']:.0f} s", file=sys.stderr)
        return store

    def filter(self, data, store, *words):
        """The rows written, as a table without images."""
        out = self.work / "kept.parquet"
        self.run(data, out, "--scores", store, *words, "--overwrite")
        return without_images(out)

    def ordered(self, store, key, column, rows):
        """Keys of the best rows by a column."""
        out = self.work / "ordered.parquet"
        self.run("sql", "--scores", store, f"SELECT {key} FROM pairs WHERE {column} IS NOT NULL ORDER BY {column} DESC, __row LIMIT {rows}", "-o", out, "--overwrite")
        return pq.read_table(out)


def without_images(path):
    names = pq.read_schema(path).names
    return pq.read_table(path, columns=[name for name in names if name != "image"])


def embeddings(tool, data, store, *labelled):
    """Image embeddings in row order."""
    table = tool.filter(data, store, *labelled, "--keep", 1, "--select", "clip-score", "--add", "image_embedding")
    values = table.column("image_embedding").combine_chunks()
    return values.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(values), -1)


def positions(kept, keys):
    """Which of `keys` were kept, as ascending numbers."""
    kept = set(kept.column(0).to_pylist())
    return np.flatnonzero([key in kept for key in keys])


def min_max_best(table, rows):
    """The released normalisation: alignment over its least and largest value, each term over its mean; the best rows."""
    sas, sds = (table.column(name).to_numpy().astype(np.float64) for name in ("sas", "sds"))
    sas = (sas - sas.min()) / (sas.max() - sas.min())
    score = sas / sas.mean() + 0.1 * sds / sds.mean()
    return np.sort(np.argsort(-score, kind="stable")[:rows])


def of_gate(table, rows, seed):
    """Rows that the trust gate of `cover` lets through, at random."""
    trusted = np.flatnonzero(table.column("sas_margin").to_numpy() > 0)
    return np.random.default_rng(seed).choice(trusted, min(rows, len(trusted)), replace=False)


def labelled_selections(tool, options, label, keeps, keys):
    """`{(method, keep): [rows, by seed]}`. Without adapters nothing is random, and one run is enough."""
    store = tool.score(options.train, f"train-{label}", "--label-column", label)
    named = ("--label-column", label)
    chosen = {}
    for adapted in ((), ADAPT):
        for seed in options.seeds if adapted else options.seeds[:1]:
            method = (*named, *adapted, "--seed", seed)
            every = tool.filter(options.train, store, *method, "--keep", 1, "--select", "align-diverse", "--add", "cell,sas,sas_margin,sds,selection_score")
            for keep in keeps:
                for name, (words, needs) in LABELLED.items():
                    if needs == adapted:
                        words = [word.format(label=label) for word in words]
                        kept = tool.filter(options.train, store, *method, *words, "--keep", keep)
                        chosen.setdefault((name, keep), []).append(positions(kept, keys))
                if adapted:
                    chosen.setdefault((MIN_MAX, keep), []).append(min_max_best(every, round(keep * len(keys))))
                    chosen.setdefault((GATE, keep), []).append(of_gate(every, round(keep * len(keys)), seed))
            print(f"{label}, seed {seed} {' '.join(adapted)}: selected", file=sys.stderr)
    return chosen


def labelled_table(tool, options, label, keeps, probe, truth):
    """Wrong labels among the kept rows, the probe's accuracies and the smallest class, per method and budget."""
    table = without_images(options.train)
    keys, given = table.column("key").to_numpy(zero_copy_only=False), table.column(label).to_numpy()
    chosen = labelled_selections(tool, options, label, keeps, keys)
    for keep in keeps:
        draws = [np.random.default_rng(seed).choice(len(keys), round(keep * len(keys)), replace=False) for seed in options.seeds]
        chosen["Random", keep] = draws
    chosen["all rows", 1] = [np.arange(len(keys))]
    accuracies = iter(probe.accuracies([(rows, given[rows]) for every in chosen.values() for rows in every]))
    noisy = label != "label_clean"
    heads = (["wrong, %"] if noisy else []) + [f"probe C = {strength:g}, %" for strength in probe.strengths] + ["smallest class"]
    cells = {}
    for cell, every in chosen.items():
        wrong = [100 * np.mean(given[rows] != truth[rows]) for rows in every]
        accuracy = np.array([next(accuracies) for _ in every]) * 100
        smallest = min(np.bincount(given[rows], minlength=10).min() / len(rows) for rows in every)
        cells[cell] = ([mean_range(wrong, 2)] if noisy else []) + [mean_range(column, 1) for column in accuracy.T] + [f"{smallest:.3f}"]
    keeps_named = {name: None for name, keep in chosen if keep != 1}
    lines = ["| | " + " | ".join(f"{keep}: {head}" for keep in keeps for head in heads) + " |", "|---|" + "---|" * len(heads) * len(keeps)]
    lines += [f"| {name} | " + " | ".join(text for keep in keeps for text in cells[name, keep]) + " |" for name in keeps_named]
    lines.append("| all rows (keep 1) | " + " | ".join(cells["all rows", 1] + [""] * len(heads) * (len(keeps) - 1)) + " |")
    return "\n".join(lines) + "\n\n" + overlap(chosen, keeps)


def overlap(chosen, keeps):
    """How far apart solvers and normalisations are, in rows."""
    parts = []
    for other, words in (("paper, --adapt", "the published iteration"), (MIN_MAX, "the released min-max normalisation, its exact top-k,")):
        for keep in keeps:
            pairs = zip(chosen["exact, --adapt", keep], chosen[other, keep])
            differ = [max(len(np.setdiff1d(theirs, ours)), len(np.setdiff1d(ours, theirs))) for ours, theirs in pairs]
            parts.append(f"{words} differs from `exact` in {min(differ)} to {max(differ)} of {len(chosen['exact, --adapt', keep][0])} rows at {keep}")
    return "Same adapters, same columns: " + "; ".join(parts) + "."


def mean_range(values, digits):
    middle = f"{np.mean(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def swapped(path, seed, share, out):
    """A share of the captions passed on among each other; which rows that are. No caption comes back to its own row."""
    table = pq.read_table(path)
    captions = table.column("text").to_pylist()
    rows = np.random.default_rng(seed).choice(len(captions), round(share * len(captions)), replace=False)
    given = list(captions)
    for row, other in zip(rows, np.roll(rows, 1)):
        given[row] = captions[other]
    field = table.schema.field("text")
    table = table.set_column(table.schema.get_field_index("text"), field, pa.array(given, field.type))
    pq.write_table(table, out)
    return np.array([own != now for own, now in zip(captions, given)])


def captioned_shares(tool, data, store, seed, key, wrong, keeps):
    """`{(method, keep): % of the kept rows whose caption is wrong}`."""
    keys = without_images(data).column(key).to_numpy(zero_copy_only=False)
    shares = {}
    share = lambda kept: 100 * np.mean(wrong[positions(kept.select([key]), keys)])
    for adapted in ((), ADAPT):
        method = (*adapted, "--seed", seed)
        tool.run("score", data, "--scores", store, *method, "--add", "sas,sas_margin,sds,s_cliploss,selection_score")
        for keep in keeps:
            for name, (words, needs) in CAPTIONED.items():
                if needs == adapted:
                    kept = tool.filter(data, store, *method, *words, "--keep", keep)
                    shares[name, keep], rows = share(kept), len(kept)
            for name, (column, needs) in ORDERED_BY.items():
                if needs == adapted:
                    shares[name, keep] = share(tool.ordered(store, key, column, rows))
    return shares


def captioned_table(tool, options, keeps):
    """The sample as it is, and photographs with shares of the captions swapped."""
    runs = {"sample": []} | {f"photographs, {share:.0%} swapped": [] for share in options.swapped}
    truth = ~without_images(options.sample).column("caption_ok").to_numpy(zero_copy_only=False).astype(bool)
    store = tool.score(options.sample, "sample")
    for seed in options.seeds:
        runs["sample"].append(captioned_shares(tool, options.sample, store, seed, "uid", truth, keeps))
        for share in options.swapped if options.captions else ():
            data = options.work / f"swapped-{share}-{seed}.parquet"
            wrong = swapped(options.captions, seed, share, data)
            store_of_seed = tool.score(data, f"swapped-{share}-{seed}")
            runs[f"photographs, {share:.0%} swapped"].append(captioned_shares(tool, data, store_of_seed, seed, "key", wrong, keeps))
    runs = {name: shares for name, shares in runs.items() if shares}
    lines = ["| |" + "".join(f" {name} at {keep}, % |" for name in runs for keep in keeps), "|---|" + "---|" * len(runs) * len(keeps)]
    names = [*CAPTIONED, *ORDERED_BY]
    for name in names:
        cells = (mean_range([shares[name, keep] for shares in every], 2) for every in runs.values() for keep in keeps)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def probe_of(tool, options):
    """The linear probe over the embeddings of both splits; its C, chosen on training rows with the labels they were given."""
    from probe import Probe

    train = tool.score(options.train, "train-label", "--label-column", "label")
    test = tool.score(options.test, "test", "--label-column", "label")
    labels = without_images(options.test).column("label").to_numpy()
    probe = Probe(embeddings(tool, options.train, train, "--label-column", "label"), embeddings(tool, options.test, test, "--label-column", "label"), labels)
    found = probe.choose_strength(without_images(options.train).column("label").to_numpy())
    agreement = ", ".join(f"{strength:g}: {share:.3f}" for strength, share in found.items())
    return probe, f"C = {probe.strengths[0]:g} is the best by (agreement with the given, partly wrong labels of held-out training rows) {agreement}; {probe.strengths[1]:g} is scikit-learn's own"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="where stores stay")
    parser.add_argument("--train", type=Path, help="labelled images, `label` and `label_clean`")
    parser.add_argument("--test", type=Path, help="labelled images, `label`")
    parser.add_argument("--captions", type=Path, help="captioned images, `text`")
    parser.add_argument("--sample", type=Path, default=results.ROOT / "assets/sample.parquet")
    parser.add_argument("--binary", type=Path, default=results.ROOT / "target/release/clip-filter")
    parser.add_argument("--seeds", type=lambda text: [int(word) for word in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--swapped", type=lambda text: [float(word) for word in text.split(",")], default=[0.2, 0.4], help="shares of the captions that are swapped")
    parser.add_argument("--only", default="noisy,clean,captioned")
    parser.add_argument("--dry", action="store_true", help="print, and do not touch RESULTS.md")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    stamp, tool, parts, only = results.stamp(), Tool(options.binary, options.work), [], options.only.split(",")
    if {"noisy", "clean"} & set(only):
        truth = without_images(options.train).column("label_clean").to_numpy()
        probe, settings = probe_of(tool, options)
        parts.append(
            f"Linear probe: multinomial logistic regression (scikit-learn, L-BFGS, at most 300 iterations, standardised image embeddings of the bundled model) on the kept rows with the labels they were given, "
            f"accuracy on the {len(probe.test_labels):,} untouched rows of the test split. {settings}. Mean and range over seeds {options.seeds} (Random: as many draws; where nothing is random, one run). "
            "Smallest class: least share of the kept rows that a class has, 0.1 where all are equal."
        )
    if "noisy" in only:
        parts.append("### A fifth of the labels wrong\n\n" + labelled_table(tool, options, "label", (0.3, 0.5), probe, truth) + said(tool))
    if "clean" in only:
        parts.append("### Right labels (`--label-column label_clean`)\n\n" + labelled_table(tool, options, "label_clean", (0.2, 0.3, 0.5), probe, truth) + said(tool))
    if "captioned" in only:
        parts.append("### Captions: share of the kept pairs whose caption belongs to another image\n\n" + captioned_table(tool, options, (0.3, 0.5, 0.7)) + said(tool))
    if READING.exists():
        parts.append("### What it means\n\n" + READING.read_text().strip())
    rows = ""
    if {"noisy", "clean"} & set(only):
        rows = f"; {pq.read_metadata(options.train).num_rows:,} training and {pq.read_metadata(options.test).num_rows:,} test rows"
    text = f"## The method on wrong labels and captions\n\n{stamp}\n\n`python benches/method.py WORK --train cifar10-train --test cifar10-test --captions captioned-photos-500`{rows}\n\n" + "\n\n".join(parts)
    print(text)
    if not options.dry:
        results.replace("method", text)


def said(tool):
    """What the program said since it was last asked, each line once."""
    lines = list(dict.fromkeys(tool.said))
    tool.said.clear()
    return "\n\nThe program said:\n\n" + "\n".join(f"- {line}" for line in lines) if lines else ""


if __name__ == "__main__":
    main()
