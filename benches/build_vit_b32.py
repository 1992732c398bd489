"""Writes a seeded CLIP of the published ViT-B/32 size, as the hub's exports lay it out: `python benches/build_vit_b32.py OUT_DIR [--int8]`.

The weights are random, so its scores mean nothing; its cost is that of the real one (151 million parameters).
Needs `tests/golden/requirements.txt` and the golden CLIP tokenizer in `tests/golden/clip`.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests/golden"
sys.path.insert(0, str(GOLDEN))
import towers  # noqa: E402

VISION = towers.Tower(width=768, layers=12, heads=12, projection=512)
TEXT = towers.Tower(width=512, layers=12, heads=8, projection=512, vocabulary=49408, context=77)
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "preprocessor_config.json")


class PublishedInit(towers.Weights):
    """Smaller residual branches, as in training from scratch: twelve layers stay finite and int8 keeps some signal."""

    def normal(self, name, shape, std):
        depth = 0.3 if name.endswith(("out_proj.weight", "fc2.weight")) else 1.0
        return super().normal(name, shape, std * depth)


def config():
    """`config.json` with the published sizes."""
    value = json.loads((GOLDEN / "clip/config.json").read_text())
    value["projection_dim"] = 512
    for name, tower in (("vision_config", VISION), ("text_config", TEXT)):
        value[name] |= {"hidden_size": tower.width, "num_hidden_layers": tower.layers, "num_attention_heads": tower.heads, "intermediate_size": 4 * tower.width, "projection_dim": 512}
    return value


def check(folder, suffix):
    """Both towers answer with finite vectors, and different ones for different inputs."""
    import onnxruntime

    random = np.random.default_rng(0)
    ids = random.integers(1, 49405, (2, 12))
    ids[:, -1] = 49407
    feeds = {"vision": {"pixel_values": random.standard_normal((2, 3, 224, 224), np.float32)}, "text": {"input_ids": ids, "attention_mask": np.ones_like(ids)}}
    for side, output in (("vision", "image_embeds"), ("text", "text_embeds")):
        model = onnxruntime.InferenceSession(str(folder / f"onnx/{side}_model{suffix}.onnx"), providers=["CPUExecutionProvider"])
        x = model.run([output], feeds[side])[0]
        assert x.shape == (2, 512) and np.isfinite(x).all() and np.linalg.norm(x, axis=1).min() > 1e-3, (side, x.shape)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        assert x[0] @ x[1] < 0.9999, (side, x[0] @ x[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--int8", action="store_true", help="also write the dynamically quantised pair")
    parser.add_argument("--seed", type=int, default=32)
    options = parser.parse_args()
    weights = PublishedInit(options.seed)
    for name in TOKENIZER:
        (options.out / "onnx").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(GOLDEN / "clip" / name, options.out / name)
    (options.out / "config.json").write_text(json.dumps(config(), indent=1))
    for side, build, tower in (("vision", towers.vision_model, VISION), ("text", towers.text_model, TEXT)):
        path = options.out / f"onnx/{side}_model.onnx"
        print(f"{path}: {towers.save(build(weights, tower), path) / 1e6:.0f} MB")
        if options.int8:
            from onnxruntime.quantization import QuantType, quantize_dynamic

            quantised = path.with_name(f"{side}_model_quantized.onnx")
            quantize_dynamic(path, quantised, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gather"])
            print(f"{quantised}: {quantised.stat().st_size / 1e6:.0f} MB")
    for suffix in ["", "_quantized"] if options.int8 else [""]:
        check(options.out, suffix)


if __name__ == "__main__":
    main()
