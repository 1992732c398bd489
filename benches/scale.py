"""The method at scale: selection, neighbours, adaptation; writes the `scale_*` sections of `benches/RESULTS.md`.

    python benches/scale.py DIR select     [--rows 100000000]   # 3.5 GB in DIR
    python benches/scale.py DIR neighbours [--rows 2000000]     # 7 GB in DIR while it runs
    python benches/scale.py DIR labelled   [--rows 1000000]
    python benches/scale.py DIR captioned  [--rows 1000000]

Datasets are made up (`scale_data.py`), once, in DIR; peers are in `scale_peers.py`. Every measurement is a process of its own. Ours are
seconds of the whole process; a peer's begin behind its imports. Nothing but the standard library is imported here: the kernel
counts the parent's pages of the moment before `exec` as the child's.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import results
import synthetic_store

MIB, THREADS, KEEP = 2**20, 2, "0.3"
PEERS = Path(__file__).with_name("scale_peers.py")
SMALL = (50_000, 200_000, 1_000_000)
# Seconds after which the published iteration is not waited for.
PATIENCE = 120


@dataclass
class Measured:
    """A process: seconds in all and of its job, of its processors, peak resident bytes, its JSON, and when it said what."""

    wall: float
    job: float
    cpu: float
    peak: int
    said: dict
    lines: list

    def table(self):
        return f"{self.job:.1f} | {self.cpu:.1f} | {self.peak / MIB:.0f} MiB"


def run(*command):
    """Runs a command; ends the program where it fails."""
    command = [str(word) for word in command]
    with tempfile.TemporaryFile() as out:
        began = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, text=True)
        lines = []

        def listen():
            lines.extend((time.perf_counter() - began, line.rstrip()) for line in child.stderr)

        listener = threading.Thread(target=listen)
        listener.start()
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        listener.join()
        out.seek(0)
        said = out.read().decode().strip().splitlines()
    if child.returncode:
        sys.exit(f"{' '.join(command)} ended with {child.returncode}:\n" + "\n".join(line for _, line in lines[-20:]))
    said = json.loads(said[-1]) if said and said[-1].startswith("{") else {}
    done = Measured(wall, said.get("job_seconds", wall), usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, said, lines)
    print(f"{' '.join(command[:3])} ...: {done.job:.1f} s, cpu {done.cpu:.1f} s, {done.peak / MIB:.0f} MiB, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return done


def peer(name, data, *words):
    return run(sys.executable, PEERS, name, data, *words)


def best(runs):
    return min(runs, key=lambda one: one.job)


def make(folder, kind, rows, options):
    """A dataset, in a process of its own that is gone afterwards."""
    if not (folder / "scores/manifest.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        began = time.time()
        run(sys.executable, __file__, "--make", kind, folder, rows, options.binary)
        print(f"made {folder}: {size(folder) / 1e9:.2f} GB, {time.time() - began:.0f} s", file=sys.stderr)
    return folder


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def make_here(kind, folder, rows, binary):
    import scale_data

    shapes = {
        "neighbours": scale_data.Shape(rows, max(1, rows // 500_000), 512, ("image",)),
        "labelled": scale_data.Shape(rows, max(1, rows // 500_000), 384, ("image",), "bundled"),
        "captioned": scale_data.Shape(rows, max(1, rows // 500_000), 512, ("image", "text")),
    }
    if kind == "select":
        scale_data.scored(binary, folder, rows, max(1, rows // 10_000_000))
    else:
        scale_data.embedded(binary, folder, shapes[kind])


def stamp(options):
    return f"{results.stamp()}; binary of {time.strftime('%Y-%m-%d %H:%M', time.localtime(options.binary.stat().st_mtime))}"


# --- selection


def select(options):
    began = stamp(options)
    data = make(options.data / "select", "select", options.rows, options)
    sizes = {name: size(data / name) for name in ("shards", "scores")}
    common = ["--scores", data / "scores", "--threads", THREADS, "--memory-limit", "1GiB", "--dry-run", "--json", "--keep", KEEP]
    ours = lambda *words: run(options.binary, data / "shards", *common, "--select", "align-diverse", *words)
    runs = {name: [] for name in ("first", "again", "label", "cell", "weights", "numpy", "polars", "polars_label")}
    for number in range(options.rounds):
        # Another weight makes another selection_score, so that it is the first time again.
        weight = ("--diversity-weight", 0.1 if (options.rounds - number) % 2 else 0.2)
        runs["first"].append(ours(*weight))
        runs["again"].append(ours(*weight))
        runs["label"].append(ours(*weight, "--balance", "label"))
        runs["cell"].append(ours(*weight, "--balance", "cell"))
        runs["weights"].append(ours(*weight, "--weights", "softcap"))
        for name in ("numpy", "polars"):
            runs[name].append(peer(name, data))
        runs["polars_label"].append(peer("polars", data, "label"))
    kept = {name: {one.said.get("rows_kept", one.said.get("rows")) for one in done} for name, done in runs.items()}
    names = {
        "first": "clip-filter `--select align-diverse`, selection_score computed and kept",
        "again": "the same again: selection_score is stored",
        "label": "`--balance label` (1,000 unequal classes, read from the shards)",
        "cell": "`--balance cell` (the same classes, in the store)",
        "weights": "`--weights softcap`, as many repeats in all",
        "numpy": "NumPy: two columns in memory, score, partition, cut",
        "polars": "Polars: two columns in memory, score, top_k",
        "polars_label": "Polars: the same within each of the 1,000 classes",
    }
    lines = ["| | s (min) | cpu s | peak RSS | as it reports | rows kept |", "|---|---|---|---|---|---|"]
    for name, title in names.items():
        least, peak = best(runs[name]), max(one.peak for one in runs[name])
        own = max((one.said.get("peak_rss_bytes") or 0) for one in runs[name])
        own = f"{own / MIB:.0f} MiB" if own else ""
        lines.append(f"| {title} | {least.job:.1f} | {least.cpu:.1f} | {peak / MIB:.0f} MiB | {own} | {', '.join(f'{rows:,}' for rows in sorted(kept[name]))} |")
    text = (
        f"## Selection at scale\n\n{began}\n\n`python benches/scale.py DIR select --rows {options.rows} --rounds {options.rounds}`; {options.rows:,} rows in {len(list((data / 'shards').glob('*.parquet')))} shards "
        f"({', '.join(f'{name} {bytes / 1e9:.2f} GB' for name, bytes in sizes.items())}), files in the page cache; `clip-filter IN --scores DIR --select align-diverse --keep {KEEP} --memory-limit 1GiB --threads {THREADS} --dry-run`. "
        "sas and sds are made up and stored, there are no embeddings.\n\n"
    )
    ratio = lambda ours, other: best(runs[ours]).job / best(runs[other]).job
    most = max(max(one.peak for one in runs[name]) for name in ("again", "label", "cell", "weights"))
    ratios = (
        f"The best by a stored score takes {ratio('again', 'numpy'):.2f} of NumPy's time (aim 0.33), `--balance label` {ratio('label', 'polars_label'):.2f} of Polars' (aim 0.33), "
        f"`--weights softcap` {ratio('weights', 'again'):.2f} of the plain selection's (aim 1.5); {most / MIB:.0f} MiB at most (aim 128)."
    )
    text += "\n".join(lines) + "\n\n" + ratios + "\n\n" + beside_published(options)
    return text


def beside_published(options):
    """Exact, ours of the published iteration, and the iteration in NumPy, at sizes where it can be waited for."""
    import pyarrow.parquet as pq  # the largest process has been measured by now

    lines = ["| rows | exact s | `--solver paper` s | steps | NumPy iteration s | steps | converged | rows kept: asked, exact, paper, NumPy iteration | rows that differ from NumPy's top: exact, paper, NumPy iteration |", "|---|---|---|---|---|---|---|---|---|"]
    import numpy as np

    for rows in SMALL:
        data = make(options.data / f"select-{rows}", "select", rows, options)
        common = ["--scores", data / "scores", "--threads", THREADS, "--select", "align-diverse", "--keep", KEEP, "--overwrite", "--json"]
        shard = next((data / "shards").glob("*.parquet"))
        solved, uids = {}, {}
        for solver in ("exact", "paper"):
            if solver == "paper" and rows > 200_000:
                continue
            out = data / f"{solver}.parquet"
            runs = [run(options.binary, shard, out, *common, "--solver", solver) for _ in range(options.rounds if solver == "exact" else 1)]
            solved[solver], uids[solver] = best(runs), set(pq.read_table(out, columns=["uid"])["uid"].to_pylist())
        peer("numpy", data, data / "top.npy")
        found = peer("published", data, PATIENCE, data / "published.npy")
        top = set(np.load(data / "top.npy").tolist())
        uids["numpy"] = set(np.load(data / "published.npy").tolist())
        paper = solved.get("paper")
        steps = next((line.split("steps")[0].split(",")[-1].strip() for _, line in (paper.lines if paper else []) if "published iteration" in line), "")
        given = [len(uids[name]) if name in uids else None for name in ("exact", "paper", "numpy")]
        differ = [len(uids[name] ^ top) if name in uids else None for name in ("exact", "paper", "numpy")]
        words = lambda numbers: ", ".join("not run" if number is None else f"{number:,}" for number in numbers)
        lines.append(
            f"| {rows:,} | {solved['exact'].job:.2f} | {f'{paper.job:.1f}' if paper else 'not run'} | {steps} | {found.job:.1f} | {found.said['steps']:,} | {'yes' if found.said['converged'] else f'no, stopped after {PATIENCE} s'} "
            f"| {len(top):,}, {words(given)} | {words(differ)} |"
        )
        print(lines[-1])
    return (
        "The published iteration needs more steps the more rows there are, each over all of them. Ours are whole processes that write their rows, "
        f"selection_score computed in the first of {options.rounds} for `exact`; the iteration in NumPy is timed alone, without reading.\n\n" + "\n".join(lines)
    )


# --- neighbours


def neighbours(options):
    began = stamp(options)
    data = make(options.data / "neighbours", "neighbours", options.rows, options)
    facts = run(sys.executable, __file__, "--facts", data).said
    runs = []
    for seed in range(options.rounds):
        # Another seed is another set of columns, so that they are computed anew; neighbours do not depend on it.
        command = ["score", data / "shards", "--scores", data / "scores", "--label-column", "label", "--class-names", data / "classes.txt", "--add", "sds"]
        runs.append(run(options.binary, *command, "--memory-limit", "2GiB", "--threads", THREADS, "--seed", seed, "--json"))
    part = options.part
    peers = {name: peer(name, data, part, data / f"{name}.npz") for name in ("sklearn", "faiss")}
    checked = run(sys.executable, __file__, "--check", data).said
    whole = best(runs)
    rate = lambda comparisons, seconds: 2 * comparisons * 512 / seconds / 1e9
    lines = ["| | rows | comparisons | s | cpu s | peak RSS | 10^9 products and sums per s | largest difference to ours |", "|---|---|---|---|---|---|---|---|"]
    peak = max(one.peak for one in runs)
    lines.append(f"| clip-filter `--add sds` | {options.rows:,} | {facts['comparisons']:.3g} | {whole.job:.1f} | {whole.cpu:.1f} | {peak / MIB:.0f} MiB | {rate(facts['comparisons'], whole.job):.1f} | |")
    for name, one in peers.items():
        words = {"sklearn": "scikit-learn NearestNeighbors(algorithm=\"brute\")", "faiss": "faiss IndexFlatL2"}[name]
        words += f", every {part}th class" if part > 1 else ""
        said = one.said
        lines.append(f"| {words} | {said['rows']:,} | {said['comparisons']:.3g} | {one.job:.1f} (search {said['searching']:.1f}) | {one.cpu:.1f} | {one.peak / MIB:.0f} MiB | {rate(said['comparisons'], one.job):.1f} (search {rate(said['comparisons'], said['searching']):.1f}) | {checked[name]:.1e} |")
    steps = phases(whole)
    return (
        f"## Neighbours at scale\n\n{began}\n\n`python benches/scale.py DIR neighbours --rows {options.rows} --rounds {options.rounds} --part {part}`; {options.rows:,} made-up unit embeddings of 512 numbers (f16 in the store, {size(data / 'scores') / 1e9:.2f} GB), "
        f"{facts['classes']:,} classes of {facts['least']:,} to {facts['most']:,} rows (median {facts['median']:,}); `clip-filter score IN --scores DIR --label-column label --class-names FILE --add sds --memory-limit 2GiB --threads {THREADS}`. "
        "Peers: one class after another, everything in memory, f16 brought to f32; 50 to 100 neighbours, a tenth of the class, everywhere.\n\n" + "\n".join(lines) + f"\n\nWhen ours said what: {steps}."
    )


def phases(measured):
    """What a run said it was doing, when it said so first."""
    seen = {}
    for seconds, line in measured.lines:
        if not line:  # the summary follows
            break
        words = line.split(":")[0].strip()
        seen.setdefault(words, seconds)
    return "; ".join(f"{words}, at {seconds:.0f} s" for words, seconds in seen.items()) or "nothing"


def facts_here(data):
    """Sizes of the classes, in a process of its own."""
    import numpy as np
    import pyarrow.parquet as pq

    labels = np.concatenate([pq.read_table(file, columns=["label"])["label"].to_numpy() for file in sorted((data / "shards").glob("*.parquet"))])
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    print(json.dumps({"classes": len(counts), "least": int(counts.min()), "most": int(counts.max()), "median": int(np.median(counts)), "comparisons": float((counts.astype(float) ** 2).sum())}))


def check_here(data):
    """The largest difference between our sds and a peer's."""
    import numpy as np

    import scale_peers

    (ours,) = scale_peers.columns(data, ["sds"])
    differences = {}
    for name in ("sklearn", "faiss"):
        found = np.load(data / f"{name}.npz")
        differences[name] = float(np.abs(ours[found["positions"]] - found["means"]).max())
    print(json.dumps(differences))


# --- adaptation


def adapt(options):
    began, kind = stamp(options), options.part_name
    data = make(options.data / kind, kind, options.rows, options)
    store = synthetic_store.lists(data / "scores")[1]["model"]
    labels = ["--label-column", "label", "--class-names", data / "classes.txt"] if kind == "labelled" else []
    command = ["score", data / "shards", "--scores", data / "scores", *labels, "--adapt=infonce", "--add", "sas"]
    done = run(options.binary, *command, "--memory-limit", "2GiB", "--threads", THREADS, "--json", "-v")
    epochs = [(seconds, line.split("adapt: ")[1]) for seconds, line in done.lines if "adapt: epoch" in line]
    closed = run(options.binary, *(word.replace("=infonce", "") for word in map(str, command)), "--memory-limit", "2GiB", "--threads", THREADS, "--json", "-v")
    solved = next(seconds for seconds, line in closed.lines if "adapt: kept" in line or "adapt: no" in line)
    ends = [seconds for seconds, _ in epochs]
    each = [later - earlier for earlier, later in zip(ends, ends[1:])]
    millions = options.rows / 1e6
    outcome = next((line.split("adapt: ")[1] for _, line in reversed(done.lines) if "adapt: kept" in line or "adapt: no" in line), "")
    words = {"labelled": "labelled, 1,000 classes, text side as it is", "captioned": "captioned, batches of 256, text side as it is"}[kind]
    row = f"| {words} | {options.rows:,} | {store['dim']} | {len(epochs)} | {sum(each) / max(1, len(each)) / millions:.0f} | {ends[-1] / millions:.0f} | {done.wall:.0f} | {done.cpu:.0f} | {done.cpu / max(1, len(epochs)) / millions:.0f} | {done.peak / MIB:.0f} MiB |"
    row += f"\n| in closed form (`--adapt`) | {options.rows:,} | {store['dim']} | 1 pass | | {solved / millions:.0f} | {closed.wall:.0f} | {closed.cpu:.0f} | | {closed.peak / MIB:.0f} MiB |"
    other = peer(f"torch_{kind}", data)
    row += f"\n| the same training in PyTorch {other.said['torch']}, all pairs in memory | {other.said['rows']:,} | {store['dim']} | 2 | {other.said['epoch_seconds'] / millions:.0f} | | {other.wall:.0f} | {other.cpu:.0f} | {other.cpu / 2 / millions:.0f} | {other.peak / MIB:.0f} MiB |"
    return (
        f"## Adaptation at scale, {kind}\n\n{began}\n\n`python benches/scale.py DIR {kind} --rows {options.rows}`; made-up unit embeddings, f16 in the store; `clip-filter score IN --scores DIR --adapt=infonce --add sas --memory-limit 2GiB --threads {THREADS}`"
        f"{' with --label-column and --class-names' if labels else ''}.\n\n| | rows | dim | epochs | s per epoch and million rows | s per million rows until fitted | process s | cpu s | cpu s per epoch and million rows | peak RSS |\n|---|---|---|---|---|---|---|---|---|---|\n{row}\n\nIts last words: {outcome}."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("part_name", metavar="part", choices=("select", "neighbours", "labelled", "captioned"))
    parser.add_argument("--binary", type=Path, default=results.ROOT / "target/release/clip-filter")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", type=int, default=1, help="peers look at every so many-th class")
    parser.add_argument("--dry", action="store_true", help="do not touch RESULTS.md")
    options = parser.parse_args()
    usual = {"select": (100_000_000, select), "neighbours": (2_000_000, neighbours), "labelled": (1_000_000, adapt), "captioned": (1_000_000, adapt)}
    rows, job = usual[options.part_name]
    options.rows, options.data, options.binary = options.rows or rows, options.data.absolute(), options.binary.absolute()
    text = job(options)
    print(text)
    if not options.dry:
        results.replace(f"scale_{options.part_name}", text)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--make", kind, folder, rows, binary]:
            make_here(kind, Path(folder), int(rows), Path(binary))
        case ["--facts", data]:
            facts_here(Path(data))
        case ["--check", data]:
            check_here(Path(data))
        case _:
            main()
