"""The models, the pairs and the ONNX Runtime that `run.py` measures with."""

import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import results

ROOT = results.ROOT
HERE = ROOT / "benches"
WORK = ROOT / "target/bench"
# Two thirds of the rows are below it.
WIDTH, NARROW, WIDE = "original_width", 320, 1024


@dataclass(frozen=True)
class Case:
    """One model at one precision. `aim` is what the ratio to the Python script should reach."""

    name: str
    folder: Path
    precision: str
    suffix: str
    rows: int
    aim: float | None
    model: str = ""

    @property
    def words(self):
        """The program's options that choose it."""
        return ["--model", self.model or self.folder, "--precision", self.precision]


CASES = {
    "bundled": Case("bundled", ROOT / "assets/model", "quantized", "_quantized", 600, 1.65, "bundled"),
    "vit-b32": Case("ViT-B/32 fp32", WORK / "vit-b32", "fp32", "", 96, 1.55),
    "vit-b32-int8": Case("ViT-B/32 int8", WORK / "vit-b32", "quantized", "_quantized", 320, None),
}


def build_models(cases):
    """The seeded ViT-B/32, once, where a case asks for it."""
    folder = WORK / "vit-b32"
    if any(case.folder == folder for case in cases) and not (folder / "onnx/text_model_quantized.onnx").exists():
        subprocess.run([sys.executable, HERE / "build_vit_b32.py", folder, "--int8"], check=True, stdout=sys.stderr)


def pairs(rows, options):
    """Photographs in turn with captions that all differ: identical captions would be encoded once by one side only."""
    import numpy as np
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
    widths = np.random.default_rng(3).permutation([WIDE if i % 3 == 0 else NARROW for i in range(rows)]).astype(np.int32)
    table = pa.table(
        {
            "uid": [f"{i:032x}" for i in range(rows)],
            "image": pa.array([pictures[i % len(pictures)] for i in range(rows)], pa.binary()),
            "text": captions[:rows],
            WIDTH: widths,
        }
    )
    pq.write_table(table, path, compression="none", row_group_size=400)
    return path


def wordings(table):
    """Every distinct caption: the first of each picture, then the second of each, and so on."""
    lists = table.column("captions").to_pylist() if "captions" in table.column_names else [[c] for c in table.column("text").to_pylist()]
    turns = (row[i] for i in range(max(map(len, lists))) for row in lists if i < len(row))
    return list(dict.fromkeys(caption for caption in turns if caption and caption.strip()))


def library():
    """The ONNX Runtime of the Python scripts, so that all sides run the same one."""
    folder = Path(importlib.util.find_spec("onnxruntime").origin).parent / "capi"
    return next(path for pattern in ("libonnxruntime.so*", "libonnxruntime*.dylib", "onnxruntime.dll") for path in sorted(folder.glob(pattern)))
