"""Calls of malloc per further image on the whole way, from shards to output: `run.py --sections allocations`. Needs heaptrack and zstd.

A run over more rows less a run over fewer, divided by the rows between them: start-up and loading cancel out. A call counts for the
first module up its stack that is neither the C library nor C++'s: the program, ONNX Runtime, or another.
"""

import bisect
import os
import shutil
import subprocess
from collections import Counter

import cases
from cases import WORK
from rows import SIZES, small_pictures

FEW, MANY = 500, 1500
OWN, ONE = "each its own", "one for all"
LARGE = 16 << 10
SMALL_PICTURE_ROWS = SIZES[0]
PASSED = ("libheaptrack", "libc.so", "libstdc++", "libgcc", "ld-linux", "libunwind", "libc++")


class Recording:
    """What heaptrack wrote: modules and their addresses, stacks as a tree of callers, and allocations by stack."""

    def __init__(self):
        self.modules, self.stacks, self.owners, self.calls, self.bytes, self.large = [], [None], {}, Counter(), Counter(), Counter()

    def read(self, lines):
        for line in lines:
            kind, _, rest = line.rstrip("\n").partition(" ")
            if kind == "+":
                size, stack, _ = (int(word, 16) for word in rest.split(" "))
                owner = self.owner(stack)
                self.calls[owner] += 1
                self.bytes[owner] += size
                self.large[owner] += size >= LARGE
            elif kind == "t":
                address, parent = (int(word, 16) for word in rest.split(" "))
                self.stacks.append((address, parent))
            elif kind == "m":
                self.module(rest)
        return self

    def module(self, text):
        if text == "1 -":
            self.modules, self.owners = [], {}
            return
        length, _, text = text.partition(" ")
        name, numbers = text[: int(length, 16)], text[int(length, 16) :].split()
        base, *parts = (int(number, 16) for number in numbers)
        self.modules += [(base + start, base + start + size, os.path.basename(name)) for start, size in zip(parts[::2], parts[1::2])]
        self.modules.sort()

    def at(self, address):
        found = bisect.bisect_right(self.modules, (address, float("inf"), "")) - 1
        return self.modules[found][2] if found >= 0 and address < self.modules[found][1] else "?"

    def owner(self, stack):
        """Whose a stack is; its leaf comes first, callers behind it."""
        if stack not in self.owners:
            name, at = "?", stack
            while at:
                address, at = self.stacks[at]
                name = self.at(address)
                if not name.startswith(PASSED) and name != "?":
                    break
            self.owners[stack] = "clip-filter" if name in ("x", "clip-filter") else "ONNX Runtime" if "onnxruntime" in name else "others"
        return self.owners[stack]


def recorded(command, environment):
    """A command under heaptrack, as it was recorded."""
    out = WORK / "heap"
    for old in WORK.glob("heap.raw*"):
        old.unlink()
    subprocess.run(["heaptrack", "-r", "-o", str(out), *map(str, command)], check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    file = next(WORK.glob("heap.raw*"))
    with subprocess.Popen(["zstd" if file.suffix == ".zst" else "gzip", "-dc", str(file)], stdout=subprocess.PIPE, text=True) as reader:
        recording = Recording().read(reader.stdout)
    file.unlink()
    return recording


def shard(rows, captions, photos):
    """That many small pictures, or photographs, in one shard, with captions of their own or one for all, which is split and encoded once
    a batch; and the bytes of an average picture."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    path = WORK / "allocations.parquet"
    if photos:
        cells = [cell["bytes"] if isinstance(cell, dict) else cell for cell in pq.read_table(photos, columns=["image"]).column("image").to_pylist()]
        table = pa.table({"image": pa.array([cells[row % len(cells)] for row in range(rows)], pa.binary()), "text": [""] * rows})
    else:
        table = pq.read_table(sorted(small_pictures(10 * SMALL_PICTURE_ROWS).glob("part-*.parquet"))[0]).slice(0, rows)
    assert len(table) == rows
    image = table.column("image").combine_chunks()
    size = pc.mean(pc.binary_length(image.field("bytes") if pa.types.is_struct(image.type) else image)).as_py()
    if captions == ONE:
        table = table.set_column(table.column_names.index("text"), "text", pa.array(["a brown horse on a beach"] * rows))
    pq.write_table(table, path, row_group_size=FEW, compression="none", use_dictionary=False)
    return path, size


def section(options, environment):
    if missing := [name for name in ("heaptrack", "zstd") if shutil.which(name) is None]:
        raise SystemExit(f"not installed: {', '.join(missing)}")
    few, many = (options.rows, 2 * options.rows) if options.rows else (FEW, MANY)
    case = cases.CASES["bundled"]
    lines = ["| encoder | pictures | captions | whose | calls per image | of those of 16 KiB and more | bytes per image | ÷ bytes of the picture | calls in all, fewer rows |", "|---|---|---|---|---|---|---|---|---|"]
    mock = ["--model", "mock"]
    kinds = [("mock", mock, ONE, None), (case.name, case.words, ONE, None), (case.name, case.words, OWN, None)]
    kinds += [("mock", mock, ONE, options.photos)] if options.photos else []
    for name, words, captions, photos in kinds:
        runs = []
        for rows in (few, many):
            data, picture = shard(rows, captions, photos)
            command = [options.binary, data, WORK / "kept-heap.parquet", *words, "--threads", options.threads, "--device", "cpu", "--overwrite", "--quiet"]
            runs.append(recorded(command, environment))
        for owner in sorted(runs[1].calls):
            calls, large, size = ((getattr(runs[1], field)[owner] - getattr(runs[0], field)[owner]) / (many - few) for field in ("calls", "large", "bytes"))
            lines.append(f"| {name} | {'photographs' if photos else 'small'} of {picture:,.0f} bytes | {captions} | {owner} | {calls:.1f} | {large:.2f} | {size:,.0f} | {size / picture:.1f} | {runs[0].calls[owner]:,} |")
    head = f"`heaptrack clip-filter IN OUT`, {few} and {many} rows of small pictures (about 3 kB, pages in row groups of {FEW}), keep 0.3"
    what = "Reading, decoding, tokenising, encoding, selecting and writing are all in it; the mock encoder has no ONNX Runtime. A reallocation counts as a call. With one caption for all, what is left is the images' part. Every row is read twice, to score and to write, and written once"
    return f"## Allocations per image\n\n{{stamp}}\n\n{{command}}; {head}. {what}.\n\n" + "\n".join(lines)
