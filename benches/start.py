"""One row with a model of a published size: how long it takes from the start of the process, and what memory the process has.
Programs take turns in one run; ratios are to the first. Each has a cache of its own, empty before its first start.

    python benches/start.py MODEL_DIR before=target/before/clip-filter after=target/release/clip-filter --precisions fp32,quantized

MODEL_DIR: `python benches/build_vit_b32.py MODEL_DIR --int8`.
"""

import argparse
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq

import results

LOOK_EVERY_S = 0.01


class Memory:
    """The most that a process has, in MiB: resident, and of that what is no file."""

    def __init__(self, pid: int):
        self.peak, self.anonymous = 0.0, 0.0
        self._smaps, self._status = Path(f"/proc/{pid}/smaps_rollup"), Path(f"/proc/{pid}/status")

    def look(self) -> bool:
        """False when the process is gone."""
        try:
            anonymous = re.search(r"^Anonymous:\s+(\d+)", self._smaps.read_text(), re.M)
            peak = re.search(r"^VmHWM:\s+(\d+)", self._status.read_text(), re.M)
        except OSError:
            return False
        if not (anonymous and peak):
            return False
        self.anonymous = max(self.anonymous, int(anonymous[1]) / 1024)
        self.peak = max(self.peak, int(peak[1]) / 1024)
        return True


def run(command: list[str], cache: Path) -> tuple[float, float, float]:
    """Seconds, and the most memory: resident and anonymous."""
    start = time.monotonic()
    environment = os.environ | {"CLIP_FILTER_CACHE": str(cache), "ORT_DISABLE_TELEMETRY": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    memory = Memory(process.pid)

    def watch() -> None:
        while memory.look():
            time.sleep(LOOK_EVERY_S)

    watching = threading.Thread(target=watch)
    watching.start()
    error = process.communicate()[1]
    taken = time.monotonic() - start
    watching.join()
    assert process.returncode == 0, error.decode()
    return taken, memory.peak, memory.anonymous


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("programs", nargs="+", metavar="NAME=PATH")
    parser.add_argument("--precisions", default="fp32,quantized")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--onnxruntime", type=Path, required=True, help="the library, the same for all")
    args = parser.parse_args()
    programs = dict(program.split("=", 1) for program in args.programs)
    stamp, lines = results.stamp(), []
    with tempfile.TemporaryDirectory() as work:
        sample = pq.read_table(results.ROOT / "assets/sample.parquet").slice(0, 1)
        pq.write_table(sample, f"{work}/one.parquet")
        for precision in args.precisions.split(","):
            first, later = {}, {name: [] for name in programs}
            for turn in range(args.rounds + 1):
                for name, path in programs.items():
                    output = f"{work}/out-{name}.parquet"
                    command = [path, f"{work}/one.parquet", output, "--overwrite", "--keep", "1", "--model", args.model, "--precision", precision]
                    command += ["--threads", args.threads, "--onnxruntime", args.onnxruntime]
                    taken = run([str(word) for word in command], Path(work) / name)
                    if turn == 0:
                        first[name] = taken
                    else:
                        later[name].append(taken)
            base = statistics.median(taken[0] for taken in later[next(iter(programs))])
            for name in programs:
                seconds, peaks, anonymous = zip(*later[name], strict=True)
                middle = statistics.median(seconds)
                lines.append(
                    f"| {precision} | {name} | {middle:.2f} | {min(seconds):.2f}–{max(seconds):.2f} | {middle / base:.2f} "
                    f"| {max(peaks):.0f} MiB | {max(anonymous):.0f} MiB | {first[name][0]:.2f} | {first[name][1]:.0f} MiB |"
                )
                print(lines[-1], flush=True)
    text = f"""## Starting with one row

{stamp}

`python benches/start.py MODEL before=.. after=.. --precisions {args.precisions} --threads {args.threads} --rounds {args.rounds}`; one row of the sample, {args.model.name} of 151 million parameters with random weights, files in the page cache; seconds from the start of the process until its output is synced, medians; `anonymous` is memory that is no file, looked at every {LOOK_EVERY_S * 1000:.0f} ms. Weights that are mapped twice count twice in `peak RSS`.

| precision | program | s | range | ÷ the first | peak RSS | anonymous | first start, s | its peak RSS |
|---|---|---|---|---|---|---|---|---|
""" + "\n".join(lines)
    results.replace("start", text)


if __name__ == "__main__":
    main()
