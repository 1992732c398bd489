"""Writes a seeded CLIP of a published size, B/32 if not told otherwise, as the hub's exports lay it out:

    python benches/build_vit_b32.py OUT_DIR [--size b32|l14|tiny] [--fp16] [--int8]

The weights are random, so its scores mean nothing; its cost is that of the real one (B/32: 151 million parameters, L/14: 428 million).
`tiny` is for trying a script. Needs `onnx` and `numpy`, for `--int8` `onnxruntime`, and the golden CLIP tokenizer in `tests/golden/clip`.
"""

import argparse
import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests/golden"
sys.path.insert(0, str(GOLDEN))
import towers  # noqa: E402

WORDS = {"vocabulary": 49408, "context": 77}
SIZES = {
    "b32": (towers.Tower(width=768, layers=12, heads=12, projection=512), towers.Tower(width=512, layers=12, heads=8, projection=512, **WORDS)),
    "l14": (towers.Tower(width=1024, layers=24, heads=16, projection=768, patch=14), towers.Tower(width=768, layers=12, heads=12, projection=768, **WORDS)),
    "tiny": (towers.Tower(width=64, layers=2, heads=2, projection=32), towers.Tower(width=64, layers=2, heads=2, projection=32, **WORDS)),
}
FLOATS = {"fp32": ("", np.float32), "fp16": ("_fp16", np.float16)}
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "preprocessor_config.json")


class PublishedInit(towers.Weights):
    """Smaller residual branches, as in training from scratch: twelve layers stay finite and int8 keeps some signal."""

    def normal(self, name, shape, std):
        depth = 0.3 if name.endswith(("out_proj.weight", "fc2.weight")) else 1.0
        return super().normal(name, shape, std * depth)


def config(vision, text):
    """`config.json` with the sizes of both towers."""
    value = json.loads((GOLDEN / "clip/config.json").read_text())
    value["projection_dim"] = vision.projection
    for name, tower in (("vision_config", vision), ("text_config", text)):
        value[name] |= {"hidden_size": tower.width, "num_hidden_layers": tower.layers, "num_attention_heads": tower.heads, "intermediate_size": 4 * tower.width, "projection_dim": tower.projection}
    value["vision_config"]["patch_size"] = vision.patch
    return value


def check(folder, suffix, projection):
    """Both towers answer with finite vectors, and different ones for different inputs."""
    import onnxruntime

    random = np.random.default_rng(0)
    ids = random.integers(1, 49405, (2, 12))
    ids[:, -1] = 49407
    feeds = {"vision": {"pixel_values": random.standard_normal((2, 3, 224, 224), np.float32)}, "text": {"input_ids": ids, "attention_mask": np.ones_like(ids)}}
    for side, output in (("vision", "image_embeds"), ("text", "text_embeds")):
        model = onnxruntime.InferenceSession(str(folder / f"onnx/{side}_model{suffix}.onnx"), providers=["CPUExecutionProvider"])
        x = model.run([output], feeds[side])[0]
        assert x.shape == (2, projection) and np.isfinite(x).all() and np.linalg.norm(x, axis=1).min() > 1e-3, (side, x.shape)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        assert x[0] @ x[1] < 0.9999, (side, x[0] @ x[1])


def quantise(path, quantised):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(path, quantised, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gather"])
    return quantised.stat().st_size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", choices=SIZES, default="b32")
    parser.add_argument("--fp16", action="store_true", help="also write the pair in half precision")
    parser.add_argument("--int8", action="store_true", help="also write the dynamically quantised pair")
    parser.add_argument("--seed", type=int, default=32)
    options = parser.parse_args()
    weights, (vision, text) = PublishedInit(options.seed), SIZES[options.size]
    (options.out / "onnx").mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER:
        shutil.copyfile(GOLDEN / "clip" / name, options.out / name)
    (options.out / "config.json").write_text(json.dumps(config(vision, text), indent=1))
    suffixes = []
    for suffix, dtype in (FLOATS[name] for name in (["fp32", "fp16"] if options.fp16 else ["fp32"])):
        for side, build, tower in (("vision", towers.vision_model, vision), ("text", towers.text_model, text)):
            path = options.out / f"onnx/{side}_model{suffix}.onnx"
            print(f"{path}: {towers.save(build(weights, tower, dtype=dtype), path) / 1e6:.0f} MB")
            if options.int8 and not suffix:
                quantised = path.with_name(f"{side}_model_quantized.onnx")
                print(f"{quantised}: {quantise(path, quantised) / 1e6:.0f} MB")
        suffixes.append(suffix)
    if importlib.util.find_spec("onnxruntime") is None:
        return print("not checked: onnxruntime is not installed", file=sys.stderr)
    for suffix in suffixes + ["_quantized"] * options.int8:
        check(options.out, suffix, vision.projection)


if __name__ == "__main__":
    main()
