"""The script everybody writes: pyarrow, Pillow, tokenizers, onnxruntime. Prints one line of JSON.

    python benches/peer_python.py --model DIR --input FILE.parquet --threads 2 [--batch 32] [--overlap] [--padding longest]

Rows are read in batches; images are decoded, resized and normalised in a pool of `--threads`; both towers run on the
same ONNX files with `--threads` threads; the best 30 % of the rows are written. `--overlap` decodes one batch ahead. `--least
COLUMN=NUMBER` keeps rows with at least that number: all rows are scored before, or with `--first` those rows alone.
"""

import argparse
import io
import json
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import PIL
import pyarrow as pa
import pyarrow.parquet as pq
import tokenizers
from PIL import Image

IMAGES, CAPTIONS = ("image", "jpg", "image_bytes"), ("text", "caption", "TEXT")


class Preprocessor:
    """transformers' CLIPImageProcessor (or SiglipImageProcessor) in a few lines of Pillow and numpy."""

    def __init__(self, folder, white):
        config = json.loads((folder / "preprocessor_config.json").read_text())
        self.size, self.crop, self.resample, self.white = config["size"], config.get("crop_size"), config["resample"], white
        scale = np.float32(config["rescale_factor"])
        mean, std = np.float32(config["image_mean"]), np.float32(config["image_std"])
        self.scale, self.shift = scale / std, mean / std

    def __call__(self, data):
        return self.pixels(Image.open(io.BytesIO(data)))

    def pixels(self, image):
        if self.white and (image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info):
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (255,) * 4), image)
        image = image.convert("RGB")
        width, height = image.size
        if "shortest_edge" in self.size:
            edge = self.size["shortest_edge"]
            target = (edge, int(edge * height / width)) if width <= height else (int(edge * width / height), edge)
        else:
            target = (self.size["width"], self.size["height"])
        image = image.resize(target, self.resample)
        if self.crop:
            left, top = (target[0] - self.crop["width"]) // 2, (target[1] - self.crop["height"]) // 2
            image = image.crop((left, top, left + self.crop["width"], top + self.crop["height"]))
        return (np.asarray(image, np.float32) * self.scale - self.shift).transpose(2, 0, 1)


def tokenizer(folder, padding):
    """Truncates to the model's context and pads to it (`max`) or to the longest caption of a batch."""
    config = json.loads((folder / "tokenizer_config.json").read_text())
    context = config["model_max_length"]
    made = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    made.enable_truncation(context)
    pad, length = config["pad_token"], context if padding == "max" else None
    made.enable_padding(pad_id=made.token_to_id(pad), pad_token=pad, length=length)
    return made


def usual_padding(folder):
    """As these models' own processors do it."""
    kind = json.loads((folder / "tokenizer_config.json").read_text()).get("tokenizer_class", "")
    return "max" if kind.startswith(("CLIP", "Siglip")) else "longest"


class Model:
    """Both towers and the tokenizer of a pair in the hub's layout."""

    def __init__(self, folder, suffix, threads, padding):
        self.tokenizer = tokenizer(folder, padding)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Without it a processor without VNNI gives an int8 model other vectors, faster: both sides must do the same work.
        options.add_session_config_entry("session.x64quantprecision", "1")
        load = lambda side: onnxruntime.InferenceSession(str(folder / f"onnx/{side}_model{suffix}.onnx"), options, providers=["CPUExecutionProvider"])
        self.vision, self.text = load("vision"), load("text")
        self.text_inputs = [value.name for value in self.text.get_inputs()]
        self.outputs = [self.pick(session, wanted) for session, wanted in ((self.vision, "image_embeds"), (self.text, "text_embeds"))]

    @staticmethod
    def pick(session, wanted):
        names = [value.name for value in session.get_outputs()]
        return wanted if wanted in names else "pooler_output"

    def scores(self, pixels, captions):
        image = self.vision.run([self.outputs[0]], {"pixel_values": pixels})[0]
        feed = tokens(self.tokenizer, captions)
        text = self.text.run([self.outputs[1]], {name: feed[name] for name in self.text_inputs})[0]
        return cosines(image, text)


def tokens(tokenizer, captions):
    encoded = tokenizer.encode_batch(captions)
    return {"input_ids": np.array([e.ids for e in encoded], np.int64), "attention_mask": np.array([e.attention_mask for e in encoded], np.int64)}


def cosines(image, text):
    return (image * text).sum(1) / np.linalg.norm(image, axis=1) / np.linalg.norm(text, axis=1)


def column(names, wanted):
    return next(name for name in wanted if name in names)


def passing(path, least):
    """Which rows have at least that number in that column."""
    name, _, number = least.partition("=")
    return pq.read_table(path, columns=[name]).column(name).to_numpy() >= float(number)


def batches(path, size, limit, wanted=None):
    """Image bytes and captions, a batch at a time; of the wanted rows only, if there is a mask of them."""
    if wanted is not None:
        size, at = round(size / wanted.mean()), 0
    file = pq.ParquetFile(path)
    image, caption = column(file.schema_arrow.names, IMAGES), column(file.schema_arrow.names, CAPTIONS)
    left = limit or file.metadata.num_rows
    for batch in file.iter_batches(size, columns=[image, caption]):
        batch = batch.slice(0, left)
        left -= len(batch)
        if wanted is not None:
            mask, at = wanted[at : at + len(batch)], at + len(batch)
            batch = batch.filter(pa.array(mask))
        if len(batch):
            cells = batch.column(image).to_pylist()
            yield [c["bytes"] if isinstance(c, dict) else c for c in cells], [c or "" for c in batch.column(caption).to_pylist()]


def decoded(pool, preprocess, source):
    """Starts decoding a batch; the answer waits for it."""
    def guarded(data):
        try:
            return preprocess(data)
        except Exception:
            return None
    images, captions = source
    return pool.map(guarded, images), captions


def finish(work):
    images, captions = work
    images = list(images)
    shape = next((x.shape for x in images if x is not None), None)
    good = np.array([x is not None for x in images])
    return np.stack([x if x is not None else np.zeros(shape, np.float32) for x in images]), captions, good


def encode(model, preprocess, options, wanted=None):
    """The scores of all (wanted) rows, NaN for a bad one."""
    scores, waiting = [], None
    def score(work):
        pixels, captions, good = finish(work)
        scores.append(np.where(good, model.scores(pixels, captions), np.nan))
    with ThreadPoolExecutor(options.threads) as pool:
        for source in batches(options.input, options.batch, options.limit, wanted):
            work = decoded(pool, preprocess, source)
            if not options.overlap:
                score(work)
                continue
            if waiting:
                score(waiting)
            waiting = work
        if waiting:
            score(waiting)
    return np.concatenate(scores)


def write_best(path, out, scores, keep=0.3):
    """The best rows, in the order of the input, with their score."""
    count = round(keep * np.isfinite(scores).sum())
    chosen = np.zeros(len(scores), bool)
    chosen[np.argsort(np.where(np.isfinite(scores), -scores, np.inf), kind="stable")[:count]] = True
    file, writer, at = pq.ParquetFile(path), None, 0
    for batch in file.iter_batches(256):
        rows = min(len(batch), len(scores) - at)
        batch, mask = batch.slice(0, rows), chosen[at : at + rows]
        table = pa.Table.from_batches([batch]).append_column("clip_score", pa.array(scores[at : at + rows].astype(np.float32)))
        writer = writer or pq.ParquetWriter(out, table.schema, compression="zstd")
        writer.write_table(table.filter(pa.array(mask)))
        at += rows
    writer.close()
    return count


def filtered(model, preprocess, options):
    """The scores of the rows that pass, NaN for the others."""
    wanted = passing(options.input, options.least)
    if not options.first:
        return np.where(wanted, encode(model, preprocess, options), np.nan)
    scores = np.full(len(wanted), np.nan, np.float32)
    scores[wanted] = encode(model, preprocess, options, wanted)
    return scores


def parser(description):
    """The words that all Python peers understand."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--output", type=Path, help="the pruned Parquet file; none is written without it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--limit", type=int, help="rows to take")
    parser.add_argument("--suffix", help="_quantized, _fp16; default: the plain file if there is one, else _quantized")
    parser.add_argument("--padding", choices=("max", "longest"), help="default: max for CLIP and SigLIP tokenizers, else longest")
    parser.add_argument("--white", action="store_true", help="transparency over white, as the bundled model asks")
    return parser


def settled(options):
    """The options with what was left to the model's files."""
    if options.suffix is None:
        options.suffix = "" if (options.model / "onnx/vision_model.onnx").exists() else "_quantized"
    options.padding = options.padding or usual_padding(options.model)
    return options


def main():
    words = parser(__doc__)
    words.add_argument("--overlap", action="store_true", help="decode one batch ahead")
    words.add_argument("--least", metavar="COLUMN=NUMBER", help="keep only rows with at least this number in an input column")
    words.add_argument("--first", action="store_true", help="and score no other rows")
    options = settled(words.parse_args())

    began = time.perf_counter()
    model, preprocess = Model(options.model, options.suffix, options.threads, options.padding), Preprocessor(options.model, options.white)
    loaded = time.perf_counter()
    scores = filtered(model, preprocess, options) if options.least else encode(model, preprocess, options)
    encoded = time.perf_counter()
    kept = write_best(options.input, options.output, scores) if options.output else None
    done = time.perf_counter()
    versions = {"onnxruntime": onnxruntime.__version__, "pillow": PIL.__version__, "numpy": np.__version__, "pyarrow": pa.__version__, "tokenizers": tokenizers.__version__}
    print(json.dumps({
        "pairs_per_sec": len(scores) / (encoded - loaded), "seconds": done - began, "encode_seconds": encoded - loaded, "load_seconds": loaded - began,
        "rows": len(scores), "rows_bad": int(np.isnan(scores).sum()), "rows_kept": kept, "score_mean": float(np.nanmean(scores)),
        "padding": options.padding, "overlap": options.overlap, "suffix": options.suffix, "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "versions": versions,
    }))


if __name__ == "__main__":
    main()
