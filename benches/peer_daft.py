"""Daft with an onnxruntime UDF on the same ONNX files: `python benches/peer_daft.py --model DIR --input FILE.parquet [--decode daft]`.

The UDF's instances share both towers. Pictures are decoded in a pool of `--threads` (Pillow), or by Daft's own `decode_image` ahead of the
UDF; resizing is Pillow's either way, for Daft's knows no filter. The best 30 % of the rows are written. Prints one line of JSON.
"""

import json
import os
import resource
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import daft
import numpy as np
import onnxruntime
import PIL
from daft import DataType, col
from PIL import Image

import peer_python

one_at_a_time, shared = threading.Lock(), {}


def parts(options):
    """Preprocessing, model and pool, made once in a process, and how long that took."""
    with one_at_a_time:
        if not shared:
            began = time.perf_counter()
            shared["preprocess"] = peer_python.Preprocessor(options.model, options.white)
            shared["model"] = peer_python.Model(options.model, options.suffix, options.threads, options.padding)
            shared["pool"] = ThreadPoolExecutor(options.threads)
            shared["seconds"] = time.perf_counter() - began
    return shared


@daft.cls(use_process=False)
class Scorer:
    """The Python peer's model and preprocessing behind Daft's interface."""

    def __init__(self, options):
        self.parts = parts(options)

    @daft.method.batch(return_dtype=DataType.float32(), batch_size=32)
    def score(self, images, captions):
        work = peer_python.decoded(self.parts["pool"], self.pixels, (images.to_pylist(), [caption or "" for caption in captions.to_pylist()]))
        pixels, captions, good = peer_python.finish(work)
        return np.where(good, self.parts["model"].scores(pixels, captions), np.nan).astype(np.float32)

    def pixels(self, image):
        preprocess = self.parts["preprocess"]
        return preprocess(image) if isinstance(image, bytes) else preprocess.pixels(Image.fromarray(image))


def main():
    words = peer_python.parser(__doc__)
    words.add_argument("--decode", choices=("pillow", "daft"), default="pillow")
    options = peer_python.settled(words.parse_args())
    os.environ["DAFT_PROGRESS_BAR"] = "0"
    daft.set_runner_native(options.threads)
    began = time.perf_counter()
    frame = daft.read_parquet(str(options.input))
    image, caption = (peer_python.column(frame.column_names, names) for names in (peer_python.IMAGES, peer_python.CAPTIONS))
    picture = col(image)
    if frame.schema()[image].dtype.is_struct():
        picture = picture.get("bytes")
    if options.decode == "daft":
        picture = picture.decode_image(on_error="null")
    frame = frame.limit(options.limit) if options.limit else frame
    scores = frame.select(Scorer(options).score(picture, col(caption)).alias("clip_score")).to_pydict()["clip_score"]
    scores = np.array(scores, np.float32)
    encoded = time.perf_counter()
    kept = peer_python.write_best(options.input, options.output, scores) if options.output else None
    done = time.perf_counter()
    if "seconds" not in shared:
        raise SystemExit("the UDF ran in another process: what loading took is not known")
    seconds = encoded - began - shared["seconds"]
    print(json.dumps({
        "pairs_per_sec": len(scores) / seconds, "seconds": done - began, "encode_seconds": seconds, "load_seconds": shared["seconds"],
        "rows": len(scores), "rows_bad": int(np.isnan(scores).sum()), "rows_kept": kept, "score_mean": float(np.nanmean(scores)), "padding": options.padding,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "versions": {"daft": daft.__version__, "onnxruntime": onnxruntime.__version__, "pillow": PIL.__version__},
    }))


if __name__ == "__main__":
    # What Daft pickles must be found by its module's name, not copied: lock and model are shared.
    import peer_daft

    peer_daft.main()
