"""Whether time grows as the rows do, and what a run costs before its first row: `run.py --sections scaling`."""

import statistics
import subprocess
import sys
import time

import cases
import contenders
import rounds
from cases import HERE, WORK
from contenders import median, spread

SIZES = (1_000, 10_000, 100_000)
LIMIT, AIM = "1GiB", 0.5


def small_pictures(count):
    """Pictures of about 100 px and 3 kB, every one with bytes and a caption of its own."""
    folder = WORK / f"small-{count}"
    if not any(folder.glob("part-*.parquet")):
        subprocess.run([sys.executable, HERE / "make_dataset.py", "--out", folder, "--rows", str(count), "--tiny", "--row-group-bytes", "30MB"], check=True, stdout=sys.stderr)
    return folder


def growth(options, environment):
    """The table of ever more rows: with the bundled model, which takes nearly all of the time, up to its most rows, and with the mock
    encoder, so that everything else shows. The most rows of each once, the fewest again behind them."""
    case = cases.CASES["bundled"]
    lines = ["| model | rows | runs | seconds (median) | pairs/s (median) | range | pairs/s ÷ those of the first line | peak RSS |", "|---|---|---|---|---|---|---|---|"]
    for name, words, most in ((case.name, case.words, options.rows or SIZES[-1]), ("mock", ["--model", "mock"], SIZES[-1])):
        first = None
        sizes = sorted({min(size, most) for size in SIZES})
        # The fewest again at the end: a processor that has slowed down meanwhile shows.
        for count in [*sizes, sizes[0]]:
            reports = []
            for number in range(options.rounds if count < most else 1):
                command = [options.binary, small_pictures(count), WORK / "kept-small", *words, "--threads", options.threads, "--device", "cpu", "--memory-limit", LIMIT, "--overwrite", "--json"]
                report = contenders.run(command, environment)
                if isinstance(report, str):
                    raise SystemExit(f"clip-filter {report}")
                reports.append(report)
                print(f"{name}, {count} rows, round {number + 1}: {report['seconds']:.1f} s, {report['pairs_per_sec']:.1f} pairs/s", file=sys.stderr)
            first = first or median(reports)
            lines.append(f"| {name} | {count:,} | {len(reports)} | {median(reports, 'seconds'):.1f} | {median(reports):.1f} | {spread(reports)} | {median(reports) / first:.2f} | {median(reports, 'peak_rss_bytes') / 2**20:.0f} MiB |")
    return "\n".join(lines)


def one_row():
    import pyarrow.parquet as pq

    path = WORK / "one-row.parquet"
    pq.write_table(pq.read_table(next(iter(sorted(small_pictures(SIZES[0]).glob("part-*.parquet"))))).slice(0, 1), path)
    return path


def first_row(command, environment):
    """Seconds from the start of the process until a reader of its stream has the first row."""
    import pyarrow as pa

    began = time.perf_counter()
    child = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    try:
        with pa.ipc.open_stream(child.stdout) as stream:
            while not stream.read_next_batch().num_rows:
                pass
            return time.perf_counter() - began
    finally:
        child.stdout.close()
        child.wait()


def start_up(options, environment):
    """The table of a shard of one row, by model."""
    data, out = one_row(), WORK / "kept-one.parquet"
    common = ["--threads", options.threads, "--device", "cpu", "--keep", "1"]
    models = {"mock": ["--model", "mock"]} | {case.name: case.words for case in cases.CASES.values()}
    cases.build_models(cases.CASES.values())
    whole, stream, inside = ({name: [] for name in models} for _ in range(3))
    nothing = []
    for _ in range(3 * options.rounds):
        nothing.append(rounds.run([options.binary, "--version"], environment).wall)
        for name, words in models.items():
            done = rounds.run([options.binary, data, out, *words, *common, "--overwrite", "--json"], environment)
            if done is None:
                raise SystemExit(f"clip-filter fails with {name}")
            whole[name].append(done.wall)
            inside[name].append(done.said["seconds"])
            stream[name].append(first_row([options.binary, data, "-", "--online", *words, *common], environment))
    middle = lambda values: f"{statistics.median(values):.3f}"
    lines = ["| model | until a reader has the first row (`--online`) | process, output synced | aim | of that, the run itself | range of the process |", "|---|---|---|---|---|---|"]
    for name in models:
        aim = f"< {AIM}" if name != "mock" else ""
        lines.append(f"| {name} | {middle(stream[name])} | {middle(whole[name])} | {aim} | {middle(inside[name])} | {min(whole[name]):.3f}–{max(whole[name]):.3f} |")
    lines.append(f"\n`clip-filter --version` takes {middle(nothing)} s.")
    return "\n".join(lines)


def section(options, environment):
    head = f"`--memory-limit {LIMIT}`, pictures of about 100 px and 3 kB (`make_dataset.py --tiny`)"
    begin = f"A shard of one row, seconds from the start of the process, medians of {3 * options.rounds} runs; files in the page cache, nothing subtracted"
    return f"## Scaling with rows, and start-up\n\n{{stamp}}\n\n{{command}}; {head}.\n\n{growth(options, environment)}\n\n{begin}:\n\n{start_up(options, environment)}"
