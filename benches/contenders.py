"""What takes part in a comparison: the program, what the cores allow, and the peers, each a process that prints one JSON object."""

import importlib.util
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import Callable

from cases import HERE, WIDE, WIDTH, WORK


@dataclass(frozen=True)
class Contender:
    """`command` is made of a case, a file of pairs and the options; `why_not` says in words what is missing, or nothing."""

    command: Callable
    why_not: Callable = lambda case, options: ""


def ceiling(case, data, options):
    """Decode alone and encode alone on the same cores, and the pairs/s that their sum allows."""
    return [options.ceiling, "--model", case.folder, "--precision", case.precision, "--input", data, "--threads", options.threads]


def ours(case, data, options, *further):
    return [options.binary, data, WORK / "kept.parquet", *case.words, "--threads", options.threads, "--device", "cpu", "--overwrite", "--json", *further]


def peer(script, *further):
    """A Python script of this folder on the same ONNX files."""

    def command(case, data, options):
        white = ["--white"] if case.model == "bundled" else []
        python = options.clip_retrieval if "clip_retrieval" in script else sys.executable
        return [python, HERE / script, "--model", case.folder, "--suffix", case.suffix, "--input", data, "--threads", options.threads, "--output", WORK / "peer.parquet", *white, *further]

    return command


def needs(*modules):
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return lambda case, options: f"not installed: {', '.join(missing)}" if missing else ""


def no_float_clip(case):
    """A loop in torch can take the weights of a float CLIP alone."""
    return "" if case.precision == "fp32" else "not measured: torch takes fp32 weights of a CLIP alone"


def needs_transformers(case, options):
    return no_float_clip(case) or needs("torch", "transformers")(case, options)


def needs_clip_retrieval(case, options):
    """Its pins (numpy below 2, pyarrow below 16) exclude those of the others, so it has a Python of its own."""
    return no_float_clip(case) or ("" if options.clip_retrieval else "not installed: --clip-retrieval names the Python that has it")


SPEED = {
    "ceiling": Contender(ceiling, lambda case, options: "" if options.ceiling.exists() else "not built"),
    "clip-filter": Contender(ours),
    "python": Contender(peer("peer_python.py")),
    "python, decoding ahead": Contender(peer("peer_python.py", "--overlap")),
    "daft, Pillow in its UDF": Contender(peer("peer_daft.py"), needs("daft")),
    "daft, decoding by itself": Contender(peer("peer_daft.py", "--decode", "daft"), needs("daft")),
    "transformers": Contender(peer("peer_transformers.py"), needs_transformers),
    "clip-retrieval": Contender(peer("peer_clip_retrieval.py"), needs_clip_retrieval),
}

FILTERED = {
    "clip-filter": Contender(lambda *a: ours(*a, "--where", f"{WIDTH} >= {WIDE}")),
    "python, all scored, then filtered": Contender(peer("peer_python.py", "--least", f"{WIDTH}={WIDE}")),
    "python, filtered first": Contender(peer("peer_python.py", "--least", f"{WIDTH}={WIDE}", "--first")),
}


def run(command, environment):
    """The JSON object on the last line of a command's output; where there is none, a few words, and the complaint on stderr."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)
    last = done.stdout.strip().splitlines()[-1:]
    if done.returncode or not last or not last[0].startswith("{"):
        print(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr.strip()[-2000:]}", file=sys.stderr)
        return f"failed, exit code {done.returncode}"
    return json.loads(last[0])


def measure(contenders, case, data, options, environment):
    """Every contender's reports, a round at a time, and why the others have none."""
    silent = {name: why for name, one in contenders.items() if (why := one.why_not(case, options))}
    if options.only:
        contenders = {name: one for name, one in contenders.items() if name == "clip-filter" or any(word in name for word in options.only.split(","))}
    done = {name: [] for name in contenders if name not in silent}
    for number in range(options.rounds):
        for name in [name for name in done if name not in silent]:
            report = run(contenders[name].command(case, data, options), environment)
            if isinstance(report, str):
                if name == "clip-filter":
                    sys.exit(f"{name} {report}")
                silent[name] = report
                continue
            report.setdefault("input_rows_per_sec", report["pairs_per_sec"] * report.get("rows_in", 1) / max(1, report.get("rows_scored", 1)))
            done[name].append(report)
            print(f"{case.name}, round {number + 1}, {name}: {report['pairs_per_sec']:.1f} pairs/s", file=sys.stderr)
    return {name: reports for name, reports in done.items() if reports}, {name: why for name, why in silent.items() if name in contenders and not done.get(name)}


def median(reports, field="pairs_per_sec"):
    return statistics.median(report[field] for report in reports)


def spread(reports, field="pairs_per_sec"):
    values = [report[field] for report in reports]
    return f"{min(values):.1f}–{max(values):.1f}"
