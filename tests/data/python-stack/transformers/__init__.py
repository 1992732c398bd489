"""Stands in for transformers in a test of `--check-model`: right, or with the mistake that PLANTED names."""

import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

PLANTED = os.environ.get("PLANTED")


class AutoImageProcessor:
    """CLIP's: 32 pixels, mean and deviation of the test's model."""

    @classmethod
    def from_pretrained(cls, place, use_fast):
        assert (Path(place) / "preprocessor_config.json").is_file() and not use_fast
        return cls()

    def __call__(self, image, return_tensors):
        width, height = image.size
        short = min(width, height)
        image = image.resize((32 * width // short, 32 * height // short), Image.Resampling.BICUBIC)
        corner = (lambda margin: round(margin / 2)) if PLANTED == "crop" else (lambda margin: margin // 2)
        left, top = corner(image.width - 32), corner(image.height - 32)
        x = np.asarray(image.crop((left, top, left + 32, top + 32)), np.float32) / 255
        x = (x - np.float32([0.48, 0.46, 0.41])) / np.float32([0.27, 0.26, 0.28])
        return {"pixel_values": [x.transpose(2, 0, 1)]}


class AutoTokenizer:
    """A token for every character; runs of unknown ones are one."""

    @classmethod
    def from_pretrained(cls, place):
        self = cls()
        self.ids = json.loads((Path(place) / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
        return self

    def __call__(self, captions, truncation, max_length):
        return {"input_ids": [self.split(caption)[: max_length - 1] + [1] for caption in captions]}

    def split(self, caption):
        caption = caption if PLANTED == "case" else caption.lower()
        found = [self.ids.get(c, 3) for c in caption.replace(" ", "\u2581")]
        return [i for k, i in enumerate(found) if i != 3 or k == 0 or found[k - 1] != 3]
