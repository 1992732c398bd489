"""What a model's own Python stack makes of a few pairs; the program compares it with what it makes itself.

Takes a directory with pictures (0.bmp, 1.bmp, ...), captions.json, and the files that describe each tower in image/ and
text/. Writes there 0.f32, 1.f32, ... (planes of floats, as the tower takes them) and answer.json.
"""

import json
import sys
from pathlib import Path

sys.path = [place for place in sys.path if place]

import numpy as np
from PIL import Image

place = Path(sys.argv[1])
captions = json.loads((place / "captions.json").read_text(encoding="utf-8"))
used = {}


def version(package):
    from importlib.metadata import PackageNotFoundError, version as installed

    try:
        used[package] = installed(package)
    except PackageNotFoundError:
        used[package] = "of unknown version"


def described(tower, name):
    path = place / tower / name
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def open_clip_config(tower):
    """open_clip's configuration, also where it is config.json."""
    for name in ("open_clip_config.json", "config.json"):
        config = described(tower, name)
        config = config if "model_cfg" in config else {"model_cfg": config}
        if "text_cfg" in config["model_cfg"]:
            return config
    return None


def by_open_clip(keys, size):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    version("open_clip_torch")
    known = ("size", "mode", "mean", "std", "interpolation", "resize_mode", "fill_color")
    size = {"size": size} if size else {}
    transform = image_transform_v2(PreprocessCfg(**size, **{k: keys[k] for k in known if k in keys}), is_train=False)
    return lambda image: transform(image).numpy()


def by_transformers():
    from transformers import AutoImageProcessor

    version("transformers")
    processor = AutoImageProcessor.from_pretrained(place / "image", use_fast=False)
    return lambda image: np.asarray(processor(image, return_tensors="np")["pixel_values"][0])


def pictures():
    own = described("image", "preprocessor_config.json") or described("image", "processor_config.json")
    own = own.get("image_processor", own)
    if own and not ("image_mean" not in own and ("mean" in own or "resize_mode" in own or "interpolation" in own)):
        return by_transformers()
    config = open_clip_config("image") or {"model_cfg": {}}
    size = config["model_cfg"].get("vision_cfg", {}).get("image_size")
    keys = own or described("image", "preprocess_cfg.json") or config.get("preprocess_cfg", {})
    return by_open_clip(keys, None if "size" in keys else size)


def words(length):
    config = open_clip_config("text")
    if config:
        from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

        version("open_clip_torch")
        text = config["model_cfg"]["text_cfg"]
        kwargs = {"context_length": length, **text.get("tokenizer_kwargs", {})}
        if text.get("hf_tokenizer_name"):
            tokenizer = HFTokenizer(str(place / "text"), **kwargs)
        else:
            tokenizer = SimpleTokenizer(**kwargs)
        return tokenizer(captions).tolist()
    import transformers

    version("transformers")
    kind = described("text", "config.json").get("model_type", "")
    gemma = described("text", "tokenizer_config.json").get("tokenizer_class", "").startswith("Gemma")
    # AutoTokenizer takes Gemma's for SigLIP 2, which keeps capitals.
    siglip2 = kind.startswith("siglip2") or kind.startswith("siglip") and gemma
    tokenizer = getattr(transformers, "Siglip2Tokenizer" if siglip2 else "AutoTokenizer").from_pretrained(place / "text")
    return [list(map(int, ids)) for ids in tokenizer(captions, truncation=True, max_length=length)["input_ids"]]


see = pictures()
for k in range(len(captions)):
    with Image.open(place / f"{k}.bmp") as image:
        np.ascontiguousarray(see(image.convert("RGB")), "<f4").tofile(place / f"{k}.f32")
ids = words(int(sys.argv[2]))
version("pillow")
stack = ", ".join(f"{name} {found}" for name, found in used.items())
(place / "answer.json").write_text(json.dumps({"stack": stack, "ids": ids}), encoding="utf-8")
