"""Writes the golden models and reference outputs of this folder.

    pip install -r tests/golden/requirements.txt
    pip install --no-deps open_clip_torch==3.3.0
    python tests/golden/generate.py [--shared-data DIR]

Pixels come from transformers' image processors on Pillow, ids from transformers' fast tokenizers, embeddings from
ONNX Runtime on the CPU: the script a user of these models would write. README.md describes the files.
"""

import argparse
import hashlib
import importlib.metadata
import io
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
from onnxruntime.quantization import QuantType, quantize_dynamic
from PIL import Image
from transformers import BertTokenizerFast, CLIPImageProcessor, CLIPTokenizerFast, PreTrainedTokenizerFast, SiglipImageProcessor

import towers
import vocabulary
from captions import CAPTIONS
from open_clip_text import open_clip_cleaning

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SEED = 2103
CLIP_VISION = towers.Tower(width=32, layers=2, heads=2, projection=32)
CLIP_TEXT = towers.Tower(width=32, layers=2, heads=2, projection=32, vocabulary=49408, context=vocabulary.CLIP_CONTEXT, rank=4)
SIGLIP_VISION = towers.Tower(width=32, layers=2, heads=2, projection=32)
CLIP_ARTS = 60
OPENAI_MEAN, OPENAI_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
CAPTION_COLUMNS = ("text", "caption")


# -- rows --------------------------------------------------------------------------------------------------------------


def rows_of(path):
    """(key, image bytes, caption, source) of a Parquet file in any of the layouts used here."""
    for row in pq.read_table(path).to_pylist():
        image = row["image"]
        caption = next(row[c] for c in CAPTION_COLUMNS if c in row)
        yield row.get("uid") or row["key"], image["bytes"] if isinstance(image, dict) else image, caption, row


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def sample_rows(path):
    """The photographs of the sample and its first clip-arts, without the damaged rows."""
    photos, arts = [], []
    for key, data, caption, row in rows_of(path):
        art = row["source"].startswith("openclipart")
        try:
            image = opened(data)
        except Exception:  # the rows that are damaged on purpose
            continue
        (arts if art else photos).append(("sample", key, image, caption))
    assert len(photos) == 7, len(photos)
    return photos + arts[:CLIP_ARTS]


def shared_rows(folder):
    """Rows of pictures that are not in the repository; their captions and ids stay out of it too."""
    for name, source in (("captioned-photos-500", "captioned"), ("full-size-photos-150", "full-size")):
        for key, data, caption, _ in rows_of(Path(folder, f"{name}.parquet")):
            yield source, key, opened(data), caption
    for key, data, _, row in rows_of(Path(folder, "hostile-images.parquet")):
        if row["expect"] == "ok":
            yield "hostile", key, opened(data), None


# -- the reference stack -------------------------------------------------------------------------------------------------


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def over_white(image):
    """What the bundled model's card asks for."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255,) * 4), image)
    return image


def processed(processor, images, prepare=lambda image: image):
    """Pixels by a transformers image processor of the Pillow kind."""
    return np.concatenate([processor(prepare(image).convert("RGB"), return_tensors="np", input_data_format="channels_last")["pixel_values"] for image in images])


def torchvision_like(image, size=224, mean=OPENAI_MEAN, std=OPENAI_STD):
    """open_clip's own transform. It rounds the crop's corner where transformers rounds down: one pixel in some pictures."""
    image = image.convert("RGB")
    width, height = image.size
    short, long = min(width, height), max(width, height)
    target = int(size * long / short)
    image = image.resize((size, target) if width <= height else (target, size), Image.Resampling.BICUBIC)
    left, top = (int(round((extent - size) / 2.0)) for extent in image.size)
    x = np.asarray(image.crop((left, top, left + size, top + size)), np.float32) / np.float32(255)
    return ((x - np.float32(mean)) / np.float32(std)).transpose(2, 0, 1).astype(np.float32)


def run(model, inputs, output, batch=32):
    count = len(next(iter(inputs.values())))
    parts = [model.run([output], {name: value[at : at + batch] for name, value in inputs.items()})[0] for at in range(0, count, batch)]
    return np.concatenate(parts)


def ids_of(tokenizer, texts):
    """What transformers feeds before padding: special tokens added, truncated to the context."""
    return [tokenizer(text, truncation=True, max_length=tokenizer.model_max_length)["input_ids"] for text in texts]


def padded(tokenizer, texts, names):
    """`padding="max_length"`, the plain way; a loader may pad less where that changes nothing."""
    batch = tokenizer(list(texts), truncation=True, max_length=tokenizer.model_max_length, padding="max_length", return_tensors="np")
    return {name: batch[name].astype(np.int64) for name in names}


# -- golden files ---------------------------------------------------------------------------------------------------------


class Reference:
    """The rows of one reference file."""

    SCHEMA = pa.schema([
        ("source", pa.string()), ("key", pa.string()), ("caption", pa.string()), ("ids", pa.list_(pa.int64())),
        ("image_embedding", pa.list_(pa.float32())), ("text_embedding", pa.list_(pa.float32())),
    ])

    def __init__(self, rows, images, texts, tokenizer=None):
        self.rows = []
        captions = [row[3] for row in rows if row[3] is not None]
        images, texts = unit(images), iter(unit(texts)) if texts is not None else None
        ids = iter(ids_of(tokenizer, captions)) if tokenizer else None
        for (source, key, _, caption), image in zip(rows, images):
            known = caption is not None
            tokens = next(ids) if ids and known else None
            self.add(source, key, caption, tokens, image, next(texts) if texts and known else None)

    def add(self, source, key, caption, ids, image, text):
        public = source in ("sample", "nasty")
        self.rows.append({"source": source, "key": key, "caption": caption if public else None, "ids": ids if public else None, "image_embedding": image, "text_embedding": text})

    def nasty(self, ids, texts):
        for i, (caption, tokens) in enumerate(zip(CAPTIONS, ids)):
            self.add("nasty", f"nasty-{i:03}", caption, tokens, None, unit(texts[i]) if texts is not None else None)
        return self

    def write(self, name):
        table = pa.Table.from_pylist(self.rows, self.SCHEMA)
        plain = ["source", "key", "caption", "ids.list.element"]
        split = {f"{c}.list.element": "BYTE_STREAM_SPLIT" for c in ("image_embedding", "text_embedding")}
        pq.write_table(table, HERE / name, compression="zstd", compression_level=19, use_dictionary=plain, column_encoding=split, store_schema=True)
        return name


def centre(weights, name, build, output, inputs):
    """Fixes the bias `name` so that random towers do not answer everything alike (a mean near zero over the sample).

    Rounded to 1/64: the last bits of another CPU's arithmetic do not change the model file.
    """
    weights.fixed[name] = np.zeros(32, np.float32)
    model = onnxruntime.InferenceSession(build().SerializeToString(), providers=["CPUExecutionProvider"])
    weights.fixed[name] = -(np.round(run(model, inputs, output).mean(0) * 64) / 64).astype(np.float32)


def probe(weights, tower, build, inputs, dtype=towers.TensorProto.FLOAT):
    """A model with one output, `x`, the point that `centre` calibrates."""
    g = towers.Graph(weights, compact=True)
    g.out(build(g), "x")
    return g.model(inputs, [towers.FLOATS("x", "n", tower.width)])


def make_clip(folder, merges, rows):
    vocabulary.write_clip(folder, merges)
    pixels = {"shortest_edge": 224}, {"height": 224, "width": 224}
    processor = {"crop_size": pixels[1], "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True}
    processor |= {"image_mean": OPENAI_MEAN, "image_processor_type": "CLIPImageProcessor", "image_std": OPENAI_STD, "resample": 3, "rescale_factor": 1 / 255, "size": pixels[0]}
    vocabulary.write(folder / "preprocessor_config.json", processor)
    vision = {"model_type": "clip_vision_model", "hidden_size": 32, "image_size": 224, "patch_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 32, "hidden_act": "quick_gelu"}
    text = {"model_type": "clip_text_model", "hidden_size": 32, "vocab_size": 49408, "max_position_embeddings": 77, "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 32, "hidden_act": "quick_gelu"}
    text |= {"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
    vocabulary.write(folder / "config.json", {"architectures": ["CLIPModel"], "model_type": "clip", "logit_scale_init_value": 4.6052, "projection_dim": 32, "vision_config": vision, "text_config": text})
    open_clip = {"embed_dim": 32, "quick_gelu": True, "vision_cfg": {"image_size": 224, "layers": 2, "width": 32, "patch_size": 32}, "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}}
    vocabulary.write(folder / "open_clip_config.json", {"model_cfg": open_clip, "preprocess_cfg": {"mean": OPENAI_MEAN, "std": OPENAI_STD, "interpolation": "bicubic", "resize_mode": "shortest"}})

    tokenizer, images = CLIPTokenizerFast.from_pretrained(folder), CLIPImageProcessor.from_pretrained(folder)
    weights = towers.Weights(SEED)
    seen = {"pixel_values": processed(images, [row[2] for row in rows])}
    read = padded(tokenizer, [row[3] for row in rows], ["input_ids"])
    centre(weights, "vision.post_layernorm.bias", lambda: probe(weights, CLIP_VISION, lambda g: towers.clip_vision(g, "pixel_values", CLIP_VISION)[2], [towers.PIXELS(CLIP_VISION)]), "x", seen)
    centre(weights, "text.final_layer_norm.bias", lambda: probe(weights, CLIP_TEXT, lambda g: towers.clip_text(g, "input_ids", CLIP_TEXT)[2], [towers.IDS()]), "x", read)

    save = lambda model, name: towers.save(model, folder / name)
    save(towers.vision_model(weights, CLIP_VISION, compact=True), "vision_model.onnx")
    save(towers.text_model(weights, CLIP_TEXT, compact=True), "text_model.onnx")
    save(towers.vision_model(weights, CLIP_VISION, dtype=np.float16, compact=True), "vision_model_fp16.onnx")
    save(towers.text_model(weights, CLIP_TEXT, masked=False, dtype=np.float16, compact=True), "text_model_fp16.onnx")
    save(towers.text_model(weights, CLIP_TEXT, masked=False, compact=True), "plain.onnx")
    for source, name in (("vision_model", "vision_model"), ("plain", "text_model")):
        quantize_dynamic(folder / f"{source}.onnx", folder / f"{name}_quantized.onnx", weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"])
    (folder / "plain.onnx").unlink()
    save(towers.open_clip_visual(weights, CLIP_VISION, compact=True), "visual.onnx")
    save(towers.open_clip_textual(weights, CLIP_TEXT, compact=True), "textual.onnx")
    save(towers.combined_model(weights, CLIP_VISION, CLIP_TEXT, compact=True), "model.onnx")
    return tokenizer, images


def clip_references(folder, tokenizer, processor, rows):
    images = processed(processor, [row[2] for row in rows])
    captions = [row[3] for row in rows if row[3] is not None] + CAPTIONS
    full = padded(tokenizer, captions, ["input_ids", "attention_mask"])
    text = run(session(folder / "text_model.onnx"), full, "text_embeds")
    embeds = run(session(folder / "vision_model.onnx"), {"pixel_values": images}, "image_embeds")
    count = len(captions) - len(CAPTIONS)
    ids = ids_of(tokenizer, CAPTIONS)
    written = [Reference(rows, embeds, text[:count], tokenizer).nasty(ids, text[count:]).write("clip.parquet")]

    pixels = np.stack([torchvision_like(row[2]) for row in rows])
    cleaned = [open_clip_cleaning()("lower")(caption) for caption in captions]
    full = padded(tokenizer, cleaned, ["input_ids", "attention_mask"])
    text = run(session(folder / "text_model.onnx"), full, "text_embeds")
    zeros = {"text": np.where(full["attention_mask"] == 1, full["input_ids"], 0)}
    visual = run(session(folder / "visual.onnx"), {"image": pixels}, "image_features")
    textual = run(session(folder / "textual.onnx"), zeros, "text_features")
    assert np.abs(unit(textual) - unit(text)).max() < 1e-5, "padding must not matter"
    written.append(Reference(rows, visual, textual[:count]).nasty(ids_of(tokenizer, cleaned[count:]), textual[count:]).write("clip-open_clip.parquet"))

    # Row by row: a dynamically quantised graph answers a row according to the batch it is in.
    few = [row for row in rows if row[0] == "sample"]
    vision = run(session(folder / "vision_model_quantized.onnx"), {"pixel_values": images[: len(few)]}, "image_embeds", batch=1)
    words = session(folder / "text_model_quantized.onnx")
    text = np.concatenate([words.run(["text_embeds"], {"input_ids": np.array([i], np.int64)})[0] for i in ids_of(tokenizer, [row[3] for row in few])])
    written.append(Reference(few, vision, text).write("clip-quantized.parquet"))
    return written


def make_siglip(folder, merges, rows):
    tower = towers.Tower(width=32, layers=2, heads=2, projection=32, vocabulary=vocabulary.write_siglip(folder, merges), context=vocabulary.SIGLIP_CONTEXT)
    half = [0.5, 0.5, 0.5]
    processor = {"do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": half, "image_processor_type": "SiglipImageProcessor", "image_std": half}
    vocabulary.write(folder / "preprocessor_config.json", processor | {"processor_class": "SiglipProcessor", "resample": 3, "rescale_factor": 1 / 255, "size": {"height": 224, "width": 224}})
    vision = {"model_type": "siglip_vision_model", "hidden_size": 32, "image_size": 224, "patch_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"model_type": "siglip_text_model", "hidden_size": 32, "vocab_size": tower.vocabulary, "max_position_embeddings": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    vocabulary.write(folder / "config.json", {"architectures": ["SiglipModel"], "model_type": "siglip", "vision_config": vision, "text_config": text})

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), eos_token="</s>", pad_token="</s>", unk_token="<unk>", model_max_length=vocabulary.SIGLIP_CONTEXT)
    images = SiglipImageProcessor.from_pretrained(folder)
    weights = towers.Weights(SEED + 1)
    seen = {"pixel_values": processed(images, [row[2] for row in rows])}
    read = padded(tokenizer, [row[3] for row in rows], ["input_ids"])
    centre(weights, "vision.head.shift", lambda: towers.siglip_vision_model(weights, SIGLIP_VISION, compact=True), "pooler_output", seen)
    centre(weights, "text.head.bias", lambda: towers.siglip_text_model(weights, tower, compact=True), "pooler_output", read)
    towers.save(towers.siglip_vision_model(weights, SIGLIP_VISION, compact=True), folder / "vision_model.onnx")
    towers.save(towers.siglip_text_model(weights, tower, compact=True), folder / "text_model.onnx")
    return tokenizer, images


def siglip_reference(folder, tokenizer, processor, rows):
    images = run(session(folder / "vision_model.onnx"), {"pixel_values": processed(processor, [row[2] for row in rows])}, "pooler_output")
    captions = [row[3] for row in rows if row[3] is not None] + CAPTIONS
    text = run(session(folder / "text_model.onnx"), padded(tokenizer, captions, ["input_ids"]), "pooler_output")
    count = len(captions) - len(CAPTIONS)
    return [Reference(rows, images, text[:count], tokenizer).nasty(ids_of(tokenizer, CAPTIONS), text[count:]).write("siglip.parquet")]


def bundled_reference(folder, rows):
    tokenizer, processor = BertTokenizerFast.from_pretrained(folder), CLIPImageProcessor.from_pretrained(folder)
    images = run(session(folder / "onnx/vision_model_quantized.onnx"), {"pixel_values": processed(processor, [row[2] for row in rows], over_white)}, "image_embeds")
    captions = [row[3] for row in rows if row[3] is not None] + CAPTIONS
    model, text = session(folder / "onnx/text_model_quantized.onnx"), []
    for at in range(0, len(captions), 32):
        batch = tokenizer(captions[at : at + 32], truncation=True, max_length=77, padding="longest", return_tensors="np")
        text.append(model.run(["text_embeds"], {name: batch[name].astype(np.int64) for name in ("input_ids", "attention_mask")})[0])
    text, count = np.concatenate(text), len(captions) - len(CAPTIONS)
    return [Reference(rows, images, text[:count], tokenizer).nasty(ids_of(tokenizer, CAPTIONS), text[count:]).write("bundled.parquet")]


def pairs_reference(folder, merges):
    vocabulary.write_bpe_pairs(folder, merges)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), model_max_length=77)
    return [Reference([], np.zeros((0, 1)), None).nasty(ids_of(tokenizer, CAPTIONS), None).write("bpe-pairs.parquet")]


def manifest(files, bundle):
    config = ["config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
    same = lambda folder, names=config: {name: f"{folder}/{name}" for name in names}
    pair = lambda folder, suffix="": {f"onnx/{side}_model{suffix}.onnx": f"{folder}/{side}_model{suffix}.onnx" for side in ("vision", "text")}
    fp32 = {"cosine_mean": 0.9999, "cosine_min": 0.9995}
    layouts = {
        "clip-xenova": {"files": same("clip") | pair("clip") | pair("clip", "_fp16") | pair("clip", "_quantized"), "reference": "clip.parquet", "precision": "fp32", **fp32},
        "clip-combined": {"files": same("clip") | {"onnx/model.onnx": "clip/model.onnx"}, "reference": "clip.parquet", "precision": "fp32", **fp32},
        "clip-open_clip": {"files": same("clip", ["open_clip_config.json", *config[2:]]) | {n: f"clip/{n}" for n in ("visual.onnx", "textual.onnx")}, "reference": "clip-open_clip.parquet", "precision": "fp32", "pad_id": 0, **fp32},
        "clip-fp16": {"files": same("clip") | pair("clip", "_fp16"), "reference": "clip.parquet", "precision": "fp16", **fp32},
        "clip-quantized": {"files": same("clip") | pair("clip", "_quantized"), "reference": "clip-quantized.parquet", "precision": "quantized", "batch_dependent": True, "cosine_mean": 0.999, "cosine_min": 0.99},
        "siglip-xenova": {"files": same("siglip") | pair("siglip"), "reference": "siglip.parquet", "precision": "fp32", **fp32},
        "bundled": {"files": None, "reference": "bundled.parquet", "precision": "quantized", "cosine_mean": 0.999},
    }
    hashes = {str(path.relative_to(HERE)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(HERE.rglob("*")) if path.suffix in (".onnx", ".parquet") or path.name == "tokenizer.json"}
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "onnx", "onnxruntime", "pillow", "pyarrow", "tokenizers", "transformers")}
    bundled = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(bundle.rglob("*.onnx"))}
    out = {"seed": SEED, "versions": versions, "vocabulary": vocabulary.BPE_WHEEL, "layouts": layouts, "tokenizers": {"bpe-pairs/tokenizer.json": "bpe-pairs.parquet"}, "references": files, "sha256": hashes, "bundled_sha256": bundled}
    (HERE / "manifest.json").write_text(json.dumps(out, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=Path, default=ROOT / "assets/sample.parquet")
    parser.add_argument("--bundle", type=Path, default=ROOT / "assets/model", help="the bundled model's folder")
    parser.add_argument("--shared-data", type=Path, help="folder with the development pictures; without it their rows are left out")
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)
    for name in ("clip", "siglip", "bpe-pairs"):
        shutil.rmtree(HERE / name, ignore_errors=True)
    merges = vocabulary.clip_merges()
    sample = sample_rows(options.sample)
    rows = sample + (list(shared_rows(options.shared_data)) if options.shared_data else [])
    files = clip_references(HERE / "clip", *make_clip(HERE / "clip", merges, sample), rows)
    files += siglip_reference(HERE / "siglip", *make_siglip(HERE / "siglip", merges, sample), rows)
    files += bundled_reference(options.bundle, rows) + pairs_reference(HERE / "bpe-pairs", merges)
    manifest(files, options.bundle)
    print(f"{len(rows)} rows, {len(CAPTIONS)} captions, {sum(p.stat().st_size for p in HERE.rglob('*') if p.is_file() and '__pycache__' not in p.parts):,} bytes")


if __name__ == "__main__":
    main()
