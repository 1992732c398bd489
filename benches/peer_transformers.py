"""A loop over transformers' CLIPModel with the weights of the ONNX files: `python benches/peer_transformers.py --model DIR --input FILE.parquet`.

The pair comes from `build_vit_b32.py`; its weights are read out of the ONNX files, and before anything is timed the embeddings of a few
rows must agree with those of onnxruntime. Pictures are decoded in a pool of `--threads` as in `peer_python.py`, torch computes with as
many. The best 30 % of the rows are written. Prints one line of JSON.
"""

import json
import re
import resource
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import PIL
import torch
import transformers

import peer_python

LEAST_COSINE = 0.9999
# What one half of the name of a weight is called in a checkpoint.
NAMES = (
    (r"^(text|vision)\.layers", r"\1_model.encoder.layers"),
    (r"^vision\.patch\.weight", "vision_model.embeddings.patch_embedding.weight"),
    (r"^vision\.class$", "vision_model.embeddings.class_embedding"),
    (r"^(text|vision)\.position$", r"\1_model.embeddings.position_embedding.weight"),
    (r"^text\.token$", "text_model.embeddings.token_embedding.weight"),
    (r"^(text|vision)\.(pre_layrnorm|post_layernorm|final_layer_norm)", r"\1_model.\2"),
    (r"\.(fc[12])\.", r".\1."),
)


def state(folder):
    """The checkpoint that holds what the ONNX files hold."""
    import onnx
    from onnx import numpy_helper

    weights = {}
    for side in ("vision", "text"):
        for tensor in onnx.load(folder / f"onnx/{side}_model.onnx").graph.initializer:
            if tensor.name.startswith("c_"):
                continue
            name, value = tensor.name, numpy_helper.to_array(tensor)
            for pattern, replacement in NAMES:
                name = re.sub(pattern, replacement, name)
            if re.search(r"(proj|fc1|fc2|projection)\.weight$", name):
                value = value.T
            weights[name] = torch.from_numpy(np.array(value.reshape(-1) if name.endswith("class_embedding") else value, np.float32, order="C"))
    weights["logit_scale"] = torch.tensor(4.6)
    return weights


def model(folder, dtype=torch.float32):
    config = transformers.CLIPConfig.from_pretrained(folder)
    made = transformers.CLIPModel(config)
    missing, unexpected = made.load_state_dict(state(folder), strict=False)
    missing = [name for name in missing if not name.endswith("position_ids")]
    if missing or unexpected:
        raise SystemExit(f"the weights do not fit: missing {missing[:4]}, unexpected {unexpected[:4]}")
    return made.eval().to(dtype)


def embed(made, pixels, feed):
    """Both embeddings as arrays."""
    device, dtype = made.device, made.dtype
    with torch.inference_mode():
        images = made.get_image_features(pixel_values=torch.from_numpy(pixels).to(device, dtype, non_blocking=True))
        texts = made.get_text_features(**{name: torch.from_numpy(ids).to(device, non_blocking=True) for name, ids in feed.items()})
    # Later releases give the whole output of a tower.
    images, texts = (getattr(x, "pooler_output", x) for x in (images, texts))
    return images.float().cpu().numpy(), texts.float().cpu().numpy()


def check(made, options, aim=LEAST_COSINE):
    """The lowest cosine between embeddings of a few rows here and with onnxruntime in fp32."""
    reference, preprocess = peer_python.Model(options.model, "", options.threads, options.padding), peer_python.Preprocessor(options.model, options.white)
    images, captions = next(peer_python.batches(options.input, 4, 4))
    pixels, feed = np.stack([preprocess(image) for image in images]), peer_python.tokens(reference.tokenizer, captions)
    own = embed(made, pixels, feed)
    theirs = (reference.vision.run(["image_embeds"], {"pixel_values": pixels})[0], reference.text.run(["text_embeds"], {name: feed[name] for name in reference.text_inputs})[0])
    least = min(float(peer_python.cosines(a, b).min()) for a, b in zip(own, theirs))
    if not least > aim:
        raise SystemExit(f"embeddings differ from those of onnxruntime: cosine {least}")
    return least


def main():
    options = peer_python.settled(peer_python.parser(__doc__).parse_args())
    torch.set_num_threads(options.threads)
    tokenizer, preprocess = peer_python.tokenizer(options.model, options.padding), peer_python.Preprocessor(options.model, options.white)
    began = time.perf_counter()
    made = model(options.model)
    loaded = time.perf_counter() - began
    least = check(made, options)
    scores, began = [], time.perf_counter()
    with ThreadPoolExecutor(options.threads) as pool:
        for source in peer_python.batches(options.input, options.batch, options.limit):
            pixels, captions, good = peer_python.finish(peer_python.decoded(pool, preprocess, source))
            images, texts = embed(made, pixels, peer_python.tokens(tokenizer, captions))
            scores.append(np.where(good, peer_python.cosines(images, texts), np.nan))
    scores, encoded = np.concatenate(scores), time.perf_counter()
    kept = peer_python.write_best(options.input, options.output, scores) if options.output else None
    done = time.perf_counter()
    print(json.dumps({
        "pairs_per_sec": len(scores) / (encoded - began), "seconds": loaded + done - began, "encode_seconds": encoded - began, "load_seconds": loaded, "rows": len(scores),
        "rows_bad": int(np.isnan(scores).sum()), "rows_kept": kept, "score_mean": float(np.nanmean(scores)), "padding": options.padding, "least_cosine": least,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "onnxruntime": onnxruntime.__version__, "pillow": PIL.__version__},
    }))


if __name__ == "__main__":
    main()
