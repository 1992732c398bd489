#!/usr/bin/env bash
# open_clip_torch 3.3.0 (its source), transformers 5.24.0, pillow 13.0.0.
# Guess: for one model, open_clip and transformers see the same pixels; at most transparency is a matter of taste.
# Seen:  open_clip's transforms (as OpenAI's) resize and crop first and convert to RGB afterwards; transformers converts first, and
#        lays transparency on white. So a palette PNG or GIF is resized in open_clip by picking pixels, for Pillow uses
#        NEAREST on modes P and 1 whatever filter is asked for (that is documented), and a black-and-white scan loses its
#        greys; a transparent picture is weighted by alpha and then keeps its hidden colours. RGB and grey pictures agree.
# Documented: Pillow's rule and transformers' white are; the order of the two pipelines, and what follows, is not.
# Hurts: scores of logos, charts, scans and GIFs differ between the two by far more than rounding, in the same model; a cut
#        tuned with one keeps other such pairs with the other.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile transformers==5.24.0 pillow==13.0.0 numpy==2.4.6
"$dir/venv/bin/pip" install -q --no-compile --no-deps open_clip_torch==3.3.0  # the source alone: its torch is not needed
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error
cd "$dir"
venv/bin/python - <<'PY'
import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image
from transformers import CLIPImageProcessorPil

source = Path(importlib.util.find_spec("open_clip").origin).with_name("transform.py").read_text()
evaluation = source[source.index("assert resize_mode == 'shortest'"):source.index("def image_transform_v2")]
steps = ["Resize(image_size[0]", "CenterCrop(", "MaybeConvertMode()", "MaybeToTensor()"]
places = [evaluation.index(step) for step in steps]
print("open_clip's order:", ", ".join(steps))
assert places == sorted(places)

size = 224
processor = CLIPImageProcessorPil(
    size={"shortest_edge": size}, crop_size={"height": size, "width": size}, do_normalize=False, do_rescale=False)


def resize_then_rgb(picture):  # what torchvision does with a Pillow picture: Pillow's own resize and crop
    width, height = picture.size
    picture = picture.resize((size * width // height, size), Image.BICUBIC)
    left = round((picture.width - size) / 2)
    return np.asarray(picture.crop((left, 0, left + size, size)).convert("RGB")).astype(int)


y, x = np.mgrid[0:600, 0:800]
waves = [128 + 100 * np.sin(x / 17 + y / 29), 128 + 100 * np.sin(x / 5.3), 128 + 100 * np.cos(y / 7.1 - x / 23)]
rgb = Image.fromarray(np.stack(waves, -1).astype(np.uint8))
transparent = rgb.copy()
transparent.putalpha(Image.fromarray((255 * ((x // 90 + y // 70) % 2)).astype(np.uint8)))
mean = {}
for name, picture in {
    "RGB": rgb, "grey": rgb.convert("L"), "palette of 256": rgb.quantize(256), "black and white": rgb.convert("1"),
    "transparent": transparent,
}.items():
    theirs = np.asarray(processor(picture, return_tensors="np")["pixel_values"][0]).transpose(1, 2, 0)
    mean[name] = np.abs(theirs - resize_then_rgb(picture)).mean()
    print(f"{name}: mean difference {mean[name]:.1f} grey levels")
assert mean["RGB"] < 0.1 and mean["grey"] < 0.1
assert mean["palette of 256"] > 3 and mean["black and white"] > 50 and mean["transparent"] > 50
PY
