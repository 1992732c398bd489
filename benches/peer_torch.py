"""A torch + Pillow DataLoader on the same weights and files: `python benches/peer_torch.py --model DIR --input FILE.parquet... [--device cuda]`.

Workers decode with Pillow and tokenise; batches are pinned; the towers of `build_vit_b32.py` run in half precision on a GPU. The bytes are in
memory before the clock starts, which begins with the first batch that is asked for and so has the start of the workers in it. One line of JSON.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
import PIL
import pyarrow.parquet as pq
import torch
import transformers

import peer_python
import peer_transformers


class Pairs(torch.utils.data.Dataset):
    """Pixels, or none for a bad picture, and the caption of each row."""

    def __init__(self, paths, preprocess):
        tables = [pq.read_table(path, columns=["image", "text"]) for path in paths]
        self.images = [cell["bytes"] for table in tables for cell in table.column("image").to_pylist()]
        self.captions = [caption or "" for table in tables for caption in table.column("text").to_pylist()]
        self.preprocess = preprocess

    def __len__(self):
        return len(self.captions)

    def __getitem__(self, row):
        try:
            return self.preprocess(self.images[row]), self.captions[row]
        except Exception:
            return None, self.captions[row]


class Collate:
    """Batches of arrays, made in the workers."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def __call__(self, rows):
        blank = np.zeros(next((x.shape for x, _ in rows if x is not None), (3, 224, 224)), np.float32)
        pixels = np.stack([blank if x is None else x for x, _ in rows])
        feed = peer_python.tokens(self.tokenizer, [caption for _, caption in rows])
        return torch.from_numpy(pixels), {name: torch.from_numpy(ids) for name, ids in feed.items()}, torch.tensor([x is not None for x, _ in rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--input", type=Path, nargs="+", required=True)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--padding", choices=("max", "longest"), default="longest")
    options = parser.parse_args()
    began = time.perf_counter()
    device = torch.device(options.device)
    made = peer_transformers.model(options.model, torch.float16 if device.type == "cuda" else torch.float32).to(device)
    first = argparse.Namespace(**vars(options) | {"input": options.input[0], "threads": options.workers, "white": False})
    least = peer_transformers.check(made, first, 0.9999 if made.dtype == torch.float32 else 0.999)
    pairs = Pairs(options.input, peer_python.Preprocessor(options.model, False))
    collate = Collate(peer_python.tokenizer(options.model, options.padding))
    loader = torch.utils.data.DataLoader(pairs, options.batch, num_workers=options.workers, collate_fn=collate, pin_memory=device.type == "cuda", prefetch_factor=4)
    # The first batch off the clock loads kernels and chooses algorithms.
    pixels, feed, _ = collate([pairs[row] for row in range(min(options.batch, len(pairs)))])
    scores_of(made, pixels, feed)
    start, scores = time.perf_counter(), []
    for pixels, feed, good in loader:
        scores.append(torch.where(good.to(device), scores_of(made, pixels, feed), torch.nan))
    scores = torch.cat(scores).cpu().numpy()
    done = time.perf_counter()
    print(json.dumps({
        "pairs_per_sec": len(scores) / (done - start), "seconds": done - began, "load_seconds": start - began, "rows": len(scores), "rows_bad": int(np.isnan(scores).sum()),
        "score_mean": float(np.nanmean(scores)), "padding": options.padding, "least_cosine": least, "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "pillow": PIL.__version__},
    }))


@torch.inference_mode()
def scores_of(made, pixels, feed):
    """Cosines, left on the device."""
    to = lambda x: x.to(made.device, non_blocking=True)
    images, texts = made.get_image_features(pixel_values=to(pixels).to(made.dtype)), made.get_text_features(**{name: to(ids) for name, ids in feed.items()})
    images, texts = (getattr(x, "pooler_output", x) for x in (images, texts))
    return torch.nn.functional.cosine_similarity(images.float(), texts.float())


if __name__ == "__main__":
    main()
