"""clip-retrieval's inference with the weights of the ONNX files: `python benches/peer_clip_retrieval.py --model DIR --input FILE.parquet`.

It reads tar files, not Parquet, and writes embeddings, not rows: pictures and captions are laid out as it wants them before the clock
starts, and no rows are written. Its own statistics give the rate, from its first batch to its last. The model is handed over as a checkpoint
of the weights that `build_vit_b32.py` made. Its tokenizer is its own. Prints one line of JSON.
"""

import importlib.metadata
import io
import json
import os
import resource
import shutil
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import transformers

import peer_python
import peer_transformers


def lay_out(options, path):
    """A tar file with a file per picture and one per caption; their number."""
    count = 0
    with tarfile.open(path, "w") as tar:
        for images, captions in peer_python.batches(options.input, 256, options.limit):
            for image, caption in zip(images, captions):
                for suffix, data in (("jpg", image), ("txt", caption.encode())):
                    entry = tarfile.TarInfo(f"{count:09}.{suffix}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
                count += 1
    return count


def checkpoint(options, folder):
    """The model as transformers loads it."""
    peer_transformers.model(options.model).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "preprocessor_config.json"):
        shutil.copyfile(options.model / name, folder / name)


def least_cosine(options, folder):
    """Of the first embeddings that it wrote and those of onnxruntime, images only: captions are split by another vocabulary."""
    found = np.concatenate([np.load(path) for path in sorted(folder.glob("img_emb/*.npy"))])[:4].astype(np.float32)
    images, _ = next(peer_python.batches(options.input, 4, 4))
    preprocess = peer_python.Preprocessor(options.model, options.white)
    model = peer_python.Model(options.model, options.suffix, options.threads, options.padding)
    expected = model.vision.run(["image_embeds"], {"pixel_values": np.stack([preprocess(image) for image in images])})[0]
    return float(peer_python.cosines(found, expected).min())


def main():
    from clip_retrieval.clip_inference.main import main as inference

    options = peer_python.settled(peer_python.parser(__doc__).parse_args())
    # Its processes all talk on standard output, which is for the line of JSON.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        files, made, out = (Path(folder, name) for name in ("pairs.tar", "checkpoint", "out"))
        made.mkdir()
        rows = lay_out(options, files)
        checkpoint(options, made)
        began = time.perf_counter()
        words = {"batch_size": options.batch, "num_prepro_workers": 1, "wds_number_file_per_input_file": rows}
        inference(str(files), str(out), input_format="webdataset", clip_model=f"hf_clip:{made}", **words)
        done = time.perf_counter()
        stats = [json.loads(path.read_text()) for path in (out / "stats").glob("*.json")]
        seconds = max(one["end_time"] for one in stats) - min(one["start_time"] for one in stats)
        least = least_cosine(options, out)
    if not least > 0.999:
        raise SystemExit(f"its embeddings of images differ from those of onnxruntime: cosine {least}")
    print(json.dumps({
        "pairs_per_sec": rows / seconds, "seconds": done - began, "encode_seconds": seconds, "rows": rows, "least_cosine": least,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "versions": {"clip-retrieval": importlib.metadata.version("clip-retrieval"), "torch": torch.__version__, "transformers": transformers.__version__},
    }), file=answer)


if __name__ == "__main__":
    main()
