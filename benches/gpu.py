"""Everything that needs a GPU, in one call; writes the `gpu` section of `benches/RESULTS.md`.

    cargo build --release
    pip install numpy onnx pyarrow pillow tokenizers           # and torch transformers, to measure beside a DataLoader
    python benches/gpu.py [--onnxruntime PATH] [--device cuda] [--rounds 3] [--parts correctness,speed,batches,threads,peer,gpus] [--dry]
    python benches/gpu.py --device cpu --size tiny --pairs 64 --rounds 1        # the same way on a CPU: prints, writes nothing

ONNX Runtime for CUDA: the library or directory that `--onnxruntime` names (an installed onnxruntime-gpu, say), else what
`clip-filter setup --cuda` fetches. Models are seeded (`build_vit_b32.py`), pictures are JPEGs of 224 to 256 px. Parts:

    correctness  CUDA beside the CPU in fp32, with and without TF32, and fp16 beside fp32: cosines of embeddings
    speed        ViT-B/32 and ViT-L/14: pairs/s, what the GPU was busy with, the stage that limits
    batches      pairs/s by --batch-size, B/32 in fp16
    threads      pairs/s by --threads from 1 to 16
    peer         torch + Pillow DataLoader with as many workers, on the same weights
    gpus         all GPUs together, if there are several

About 8 minutes on one GPU with 16 cores; models (3.5 GB) and pictures (1.5 GB) are made once in `--work`.
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import results
from contenders import run

HERE, SHARDS = Path(__file__).resolve().parent, 16
SIDES = ("image_embedding", "text_embedding")
# Name, seeded size, precision, share of the rows, pairs/s to pass, pairs/s aimed at.
SPEED = (
    ("ViT-B/32 fp16", "b32", "fp16", 1, "2,500 (clip-retrieval, A100)", "10,000 on an H100"),
    ("ViT-B/32 fp32", "b32", "fp32", 2, "", ""),
    ("ViT-L/14 fp16", "l14", "fp16", 8, "312 (clip-retrieval, A100)", ""),
)
THREADS, BATCHES = (1, 2, 4, 8, 16), (32, 64, 128, 256, 512)
AIMS = {"fp32": 0.9999, "fp16": 0.999}


class Machine:
    """What runs where: binary, device, library, models and shards."""

    def __init__(self, options):
        self.options, self.work = options, options.work
        self.is_gpu = options.device.startswith(("cuda", "tensorrt"))
        self.environment = os.environ | {"ORT_DISABLE_TELEMETRY": "1"}
        self.runtime, self.cores = "", len(os.sched_getaffinity(0))
        self.shards = sorted((self.work / f"thumbnails-{options.pairs}").glob("*.parquet"))

    def model(self, size):
        """The folder of a seeded pair, fp32 and fp16, made once."""
        size = self.options.size or size
        folder = self.work / f"vit-{size}"
        if not (folder / "onnx/text_model_fp16.onnx").exists():
            subprocess.run([sys.executable, HERE / "build_vit_b32.py", folder, "--size", size, "--fp16"], check=True, stdout=sys.stderr)
        return folder

    def filter(self, shards, size, precision, *further, device=None, threads=None):
        """One run of the program: its report, and a sample of the GPU's use while it scored."""
        out = self.work / "kept"
        command = [self.options.binary, *shards, out, "--model", self.model(size), "--precision", precision, "--device", device or self.options.device]
        command += ["--threads", threads or self.cores, "--overwrite", "--json", *further]
        command += ["--onnxruntime", self.options.onnxruntime] if self.options.onnxruntime else []
        with Utilisation(self.is_gpu, device or self.options.device) as use:
            report = run(command, self.environment)
        if isinstance(report, str):
            return report
        print(f"{size} {precision} {device or self.options.device} {' '.join(map(str, further))}: {report['pairs_per_sec']:.1f} pairs/s, limited by {report['limiting_stage']}", file=sys.stderr)
        self.runtime = f"ONNX Runtime {report['model']['runtime']}"
        return report | {"gpu_use": use.while_busy()}

    def pairs(self):
        """Sixteen shards of thumbnails, every row with bytes and a caption of its own."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        import make_dataset

        folder = self.work / f"thumbnails-{self.options.pairs}"
        if len(self.shards) < SHARDS:
            folder.mkdir(parents=True, exist_ok=True)
            random = np.random.default_rng(6)
            pictures = [make_dataset.synthetic(random, make_dataset.THUMBNAIL) for _ in range(200)]
            batches = make_dataset.rows(random, pictures, self.options.pairs)
            table = pa.Table.from_batches(batches, make_dataset.SCHEMA)
            each = -(-len(table) // SHARDS)
            for number in range(SHARDS):
                pq.write_table(table.slice(number * each, each), folder / f"part-{number:05}.parquet", compression="none", use_dictionary=False, row_group_size=1000, write_page_index=True)
            self.shards = sorted(folder.glob("*.parquet"))
        for shard in self.shards:
            shard.read_bytes()
        return sum(shard.stat().st_size for shard in self.shards) / self.options.pairs / 1e3


class Utilisation:
    """The share of time that kernels ran, as nvidia-smi tells it five times a second."""

    def __init__(self, is_gpu, device):
        self.is_gpu, self.which, self.values = is_gpu, device.partition(":")[2] or "0", []

    def __enter__(self):
        query = ["nvidia-smi", "-i", self.which, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200"]
        self.child = subprocess.Popen(query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) if self.is_gpu else None
        return self

    def __exit__(self, *_):
        if self.child:
            self.child.terminate()
            self.values = [float(line) for line in self.child.communicate()[0].split() if line.strip().isdigit()]

    def while_busy(self):
        """The median between the first and the last time that it was busy at all."""
        busy = [at for at, value in enumerate(self.values) if value > 0]
        return statistics.median(self.values[busy[0] : busy[-1] + 1]) if busy else None


def embeddings(machine, size, precision, *further, device=None):
    import numpy as np
    import pyarrow.parquet as pq

    report = machine.filter(machine.shards[:1], size, precision, "--keep", "1", "--on-error", "keep", "--add", ",".join(SIDES), *further, device=device)
    if isinstance(report, str):
        sys.exit(f"clip-filter {report}")
    table = pq.read_table(machine.work / "kept", columns=list(SIDES)).slice(0, 512)
    found = [table[name].combine_chunks().flatten().to_numpy().reshape(len(table), -1).astype(np.float64) for name in SIDES]
    return [x / np.linalg.norm(x, axis=1, keepdims=True) for x in found]


def correctness(machine):
    reference = embeddings(machine, "b32", "fp32", "--reproducible", device="cpu")
    lines = ["| ViT-B/32 beside fp32 on the CPU | image: mean, least cosine | text: mean, least cosine | aim |", "|---|---|---|---|"]
    for name, precision, further in (("fp32, without TF32 (`--reproducible`)", "fp32", ["--reproducible"]), ("fp32", "fp32", []), ("fp16", "fp16", [])):
        cosines = [(a * b).sum(1) for a, b in zip(reference, embeddings(machine, "b32", precision, *further))]
        lines.append(f"| {name} | " + " | ".join(f"{c.mean():.6f}, {c.min():.6f}" for c in cosines) + f" | > {AIMS[precision]} |")
    return "\n".join(lines)


def use(report):
    """How busy the GPU was."""
    return "" if report["gpu_use"] is None else f"{report['gpu_use']:.0f} %"


def stages(report):
    """How much of the time the threads of each stage were busy."""
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in report.get("stage_busy", {}).items())


def speed(machine):
    lines = ["| | pairs | pairs/s (median) | range | GPU busy | limiting stage | threads busy | published | aim |", "|---|---|---|---|---|---|---|---|---|"]
    done = {name: [] for name, *_ in SPEED}
    for _ in range(machine.options.rounds):
        for name, size, precision, share, *_ in SPEED:
            done[name].append(machine.filter(machine.shards[: SHARDS // share], size, precision))
    for name, _, _, _, published, aim in SPEED:
        reports = [report for report in done[name] if not isinstance(report, str)]
        if not reports:
            lines.append(f"| {name} | {done[name][0]} | | | | | | | |")
            continue
        rates, last = [report["pairs_per_sec"] for report in reports], reports[-1]
        lines.append(f"| {name} | {last['rows_scored']:,} | {statistics.median(rates):,.0f} | {min(rates):,.0f}–{max(rates):,.0f} | {use(last)} | {last['limiting_stage']} | {stages(last)} | {published} | {aim} |")
    return "\n".join(lines)


def swept(machine, title, values, command):
    """A table over one option, each value once."""
    lines = [f"| {title} | pairs/s | GPU busy | limiting stage | threads busy |", "|---|---|---|---|---|"]
    for value in values:
        report = command(value)
        lines.append(f"| {value} | {report} | | | |" if isinstance(report, str) else f"| {value} | {report['pairs_per_sec']:,.0f} | {use(report)} | {report['limiting_stage']} | {stages(report)} |")
    return "\n".join(lines)


def batches(machine):
    return swept(machine, "ViT-B/32 fp16, `--batch-size`", BATCHES, lambda rows: machine.filter(machine.shards[: SHARDS // 2], "b32", "fp16", "--batch-size", rows))


def threads(machine):
    counts = [count for count in THREADS if count <= machine.cores]
    shards = lambda count: machine.shards[: max(1, SHARDS * count // max(counts))]
    return swept(machine, "ViT-B/32 fp16, `--threads`", counts, lambda count: machine.filter(shards(count), "b32", "fp16", threads=count))


def peer(machine):
    if missing := [name for name in ("torch", "transformers", "tokenizers", "onnxruntime") if importlib.util.find_spec(name) is None]:
        return f"torch + Pillow DataLoader: not measured, not installed: {', '.join(missing)}."
    lines = ["| ViT-B/32 fp16, in turn | pairs/s (median) | range | GPU busy | clip-filter ÷ this |", "|---|---|---|---|---|"]
    done, used = {"clip-filter": [], "torch + Pillow DataLoader": []}, {}
    command = [sys.executable, HERE / "peer_torch.py", "--model", machine.model("b32"), "--workers", machine.cores, "--device", machine.options.device.replace("tensorrt", "cuda"), "--input", *machine.shards]
    for _ in range(machine.options.rounds):
        report = machine.filter(machine.shards, "b32", "fp16")
        with Utilisation(machine.is_gpu, machine.options.device) as used_now:
            other = run(command, machine.environment)
        for name, one in zip(done, (report, other)):
            if isinstance(one, str):
                return f"{name} {one}"
            done[name].append(one["pairs_per_sec"])
            used[name] = use(one if "gpu_use" in one else {"gpu_use": used_now.while_busy()})
    own = statistics.median(done["clip-filter"])
    for name, rates in done.items():
        ratio = "" if name == "clip-filter" else f"{own / statistics.median(rates):.2f}"
        lines.append(f"| {name} | {statistics.median(rates):,.0f} | {min(rates):,.0f}–{max(rates):,.0f} | {used[name]} | {ratio} |")
    named = ", ".join(f"{name} {version}" for name, version in other["versions"].items())
    return "\n".join(lines) + f"\n\n{named}; {machine.cores} workers, batches of 256, pinned, captions padded to the longest; its pictures are in memory at the start."


def gpus(machine):
    count = len(smi("name")) if machine.is_gpu else 0
    if count < 2:
        return f"{max(count, 0)} GPU: nothing to compare." if machine.is_gpu else "No GPU."
    lists = [",".join(map(str, range(n))) for n in range(1, count + 1)]
    return swept(machine, "ViT-B/32 fp16, `--device cuda:`", lists, lambda names: machine.filter(machine.shards, "b32", "fp16", device=f"cuda:{names}"))


PARTS = {"correctness": correctness, "speed": speed, "batches": batches, "threads": threads, "peer": peer, "gpus": gpus}
TITLES = {"correctness": "Agreement", "speed": "Pairs per second", "batches": "Batch size", "threads": "Decode threads", "peer": "Beside a DataLoader", "gpus": "Several GPUs"}


def smi(*fields):
    """One line per GPU."""
    done = subprocess.run(["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"], capture_output=True, text=True)
    return done.stdout.strip().splitlines()


def described(machine):
    """Device, driver, versions."""
    version = subprocess.run([machine.options.binary, "--version"], capture_output=True, text=True).stdout.strip()
    device = "; ".join(smi("name", "driver_version", "memory.total")) if machine.is_gpu else "not a GPU: these figures say only that the script works"
    return f"{device}; {version}, {{runtime}}, Python {sys.version.split()[0]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=results.ROOT / "target/release/clip-filter")
    parser.add_argument("--work", type=Path, default=results.ROOT / "target/bench/gpu", help="models, pictures and outputs; 6 GB")
    parser.add_argument("--device", default="cuda", help="cuda[:N], tensorrt[:N], or cpu to try the script")
    parser.add_argument("--onnxruntime", type=Path, help="ONNX Runtime for CUDA, or its directory; else clip-filter setup --cuda")
    parser.add_argument("--pairs", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", help="one seeded size for all models (tiny, to try the script)")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--dry", action="store_true", help="do not touch RESULTS.md")
    options = parser.parse_args()
    machine = Machine(options)
    if machine.is_gpu and not smi("name"):
        sys.exit("no GPU: nvidia-smi names none; --device cpu --size tiny tries the script")
    if machine.is_gpu and not options.onnxruntime:
        subprocess.run([options.binary, "setup", "--cuda"], check=True)
    options.work.mkdir(parents=True, exist_ok=True)
    stamp, began = results.stamp(), time.time()
    kilobytes = machine.pairs()
    text = [f"## GPU\n\n{stamp}\n\n{described(machine)}", f"`python benches/gpu.py --rounds {options.rounds} --pairs {options.pairs}`; JPEGs of 224 to 256 px, {kilobytes:.0f} kB each, page cache warm; start-up and loading are outside pairs/s."]
    for name in options.parts.split(","):
        text.append(f"### {TITLES[name]}\n\n{PARTS[name](machine)}")
        print(text[-1], flush=True)
    text = "\n\n".join(text).replace("{runtime}", machine.runtime)
    (options.work / "gpu.md").write_text(text)
    print(f"{text.split('###')[0]}{time.time() - began:.0f} s in all")
    if machine.is_gpu and not options.size and not options.dry:
        results.replace("gpu", text)


if __name__ == "__main__":
    main()
