"""Writes tiny/ and tiny.json: graphs of a few kilobytes, and what the Python stack makes of five pairs with them.

    pip install numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 pillow==13.0.0 transformers==5.24.0 ftfy==6.3.1 regex
    pip install --no-deps open_clip_torch==3.3.0
    python tests/golden/tiny.py

The picture's vector is the means of four squares in three colours, the caption's a sum over its tokens (a token is a
character), so a wrong pixel or token is another score. Captions are cleaned by open_clip's own code; its file is read
alone, as it needs torch for tensors only. `cleaned` has what it makes of the captions of captions.py and some more.
"""

import json
from pathlib import Path

import ftfy.bad_codecs
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T, helper as h, numpy_helper as nh
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil
from transformers.models.siglip2.tokenization_siglip2 import Siglip2Tokenizer
from tokenizers import Tokenizer

from captions import CAPTIONS
from open_clip_text import open_clip_cleaning

HERE = Path(__file__).parent
TINY = HERE / "tiny"
WIDE = 12
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!'-_&<>;Ã©é\u2581"
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>"]
EDGE, PATCHES = 4, 60
MEAN, STD = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]
TEXTS = ["a plain cat", "A Red CAT", "Cat, on a mat!", "snake_case  and TWO spaces.", "cafÃ© &amp; <b>tea</b>"]
MOJIBAKE = [
    "cafÃ© â€œquotedâ€\u009d donâ€™t", "Ð¿Ñ€Ð¸Ð²ÐµÑ‚ Ð¼Ð¸Ñ€", "ä¸\u00adå›½", "ðŸ˜€ smile", "Â£9 Â©2026",
    "NÃO", "« été\u00a0»", "CAFÉ… déjà‑vu", "ÃœberraschungÃŸ", "&lt;p&gt; &amp;amp; &eacute;&EACUTE;", "it&rsquo;s &#8220;so&#8221; &notin; &notit;",
]


# Ordinary captions, taken as they are and as UTF-8 read wrongly.
PLAIN = [
    "Un café crème à la terrasse d’été, où l’on rêve", "«Été»: l’œuvre à 50 €", "Größe: ein Mädchen hüpft über Öl – süß!", "São João, coração e pão à noite",
    "NÃO É MAÇÃ", "niño en la montaña ¿qué? ¡sí!", "Zażółć gęślą jaźń", "Příliš žluťoučký kůň", "İstanbul'da güneşli bir gün, şehir ışıkları", "Rødgrød med fløde, Ærø og Ålborg",
    "một con mèo đen trên ghế", "Γάτα στον καναπέ", "Чёрная кошка спит на диване", "Кіт їсть рибу", "قطة سوداء تنام", "חתול שחור ישן", "एक काली बिल्ली", "แมวดำนอนหลับ", "黑猫睡在沙发上",
    "黒い猫がソファで寝ている", "검은 고양이가 자고 있다", "a cat 🐈 on a 🛋️ – 100 % “cosy”…", "±5 °C, 3×4 cm², ½ cup, µm", "Motörhead® & Beyoncé™ © 2026", "naïve façade—résumé • voilà", "£100 €50 ¥20 ¢5",
    "Þórður Æsir Ðað", "Ångström Å…", "Ä”Ö“ “Ü”", "à côté »",
]


def save(name, nodes, ins, out, inits=()):
    graph = h.make_graph(nodes, name, ins, [out], list(inits))
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, TINY / f"{name}.onnx")


def vision(name, port, out, batch="batch"):
    nodes = [h.make_node("AveragePool", [port], ["p"], kernel_shape=[16, 16], strides=[16, 16]), h.make_node("Flatten", ["p"], [out])]
    save(name, nodes, [h.make_tensor_value_info(port, T.FLOAT, [batch, 3, 32, 32])], h.make_tensor_value_info(out, T.FLOAT, [batch, WIDE]))


def naflex(name, edge):
    """Sum over patches, each weighted by its place, and what the shape of the grid adds."""
    random = np.random.default_rng(11)
    table, grid = random.standard_normal((3 * edge * edge, WIDE)), random.standard_normal((2, WIDE)) / 8
    weight = 1 + random.random((1, PATCHES, 1))
    inits = [nh.from_array(a.astype(np.float32), n) for n, a in (("table", table), ("grid", grid), ("weight", weight))]
    inits += [nh.from_array(np.array([1]), "one"), nh.from_array(np.array([2]), "two")]
    ins = [h.make_tensor_value_info(*port) for port in (
        ("pixel_values", T.FLOAT, ["batch", PATCHES, 3 * edge * edge]), ("pixel_attention_mask", T.INT32, ["batch", PATCHES]), ("spatial_shapes", T.INT64, ["batch", 2]))]
    node = h.make_node
    nodes = [node("MatMul", ["pixel_values", "table"], ["p"]), node("Add", ["p", "weight"], ["a"]), node("Mul", ["a", "weight"], ["w"]), node("Cast", ["pixel_attention_mask"], ["m"], to=T.FLOAT),
             node("Unsqueeze", ["m", "two"], ["u"]), node("Mul", ["w", "u"], ["k"]), node("ReduceSum", ["k", "one"], ["s"], keepdims=0),
             node("Cast", ["spatial_shapes"], ["f"], to=T.FLOAT), node("MatMul", ["f", "grid"], ["g"]), node("Add", ["s", "g"], ["pooler_output"])]
    save(name, nodes, ins, h.make_tensor_value_info("pooler_output", T.FLOAT, ["batch", WIDE]), inits)


def text(name, port, out, kind=T.INT64, batch="batch", length=None, masked=False):
    """Sum over tokens; with a fixed length weighted by the position, without a mask padding counts as well."""
    random = np.random.default_rng(7)
    table = random.standard_normal((len(SPECIAL) + len(LETTERS), WIDE)).astype(np.float32)
    inits = [nh.from_array(table, "table"), nh.from_array(np.array([1]), "one")]
    ins = [h.make_tensor_value_info(port, kind, [batch, length or "length"])]
    nodes, last = [h.make_node("Gather", ["table", port], ["e"])], "e"
    if length:
        inits.append(nh.from_array((1 + random.random((1, length, 1))).astype(np.float32), "weight"))
    if masked:
        ins.append(h.make_tensor_value_info("attention_mask", kind, [batch, "length"]))
        inits.append(nh.from_array(np.array([2]), "two"))
        nodes += [h.make_node("Cast", ["attention_mask"], ["m"], to=T.FLOAT), h.make_node("Unsqueeze", ["m", "two"], ["weight"])]
    if length or masked:
        nodes.append(h.make_node("Mul", ["e", "weight"], ["w"]))
        last = "w"
    nodes.append(h.make_node("ReduceSum", [last, "one"], [out], keepdims=0))
    save(name, nodes, ins, h.make_tensor_value_info(out, T.FLOAT, [batch, WIDE]), inits)


def tokenizer(lower):
    eos = {"SpecialToken": {"id": "<eos>", "type_id": 0}}
    whole = {"Sequence": {"id": "A", "type_id": 0}}
    steps = [{"type": "Lowercase"}] * lower + [{"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": c, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} for i, c in enumerate(SPECIAL)],
        "normalizer": {"type": "Sequence", "normalizers": steps}, "pre_tokenizer": None,
        "post_processor": {"type": "TemplateProcessing", "single": [whole, eos], "pair": [whole, eos], "special_tokens": {"<eos>": {"id": "<eos>", "ids": [1], "tokens": ["<eos>"]}}},
        "decoder": None,
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True,
                  "byte_fallback": False, "vocab": {c: i for i, c in enumerate([*SPECIAL, *LETTERS])}, "merges": []},
    }


def rounded_crop(image):
    """open_clip's `shortest`: the corner of the crop is rounded half to even, as torchvision does."""
    width, height = image.size
    short = min(width, height)
    image = image.resize((32 * width // short, 32 * height // short), Image.Resampling.BICUBIC)
    left, top = round((image.width - 32) / 2), round((image.height - 32) / 2)
    return image.crop((left, top, left + 32, top + 32))


def pixels(images, how):
    if how == "transformers":
        config = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}, "resample": 3, "image_mean": MEAN, "image_std": STD}
        return CLIPImageProcessorPil(**config)(images, return_tensors="np")["pixel_values"]
    if how == "siglip":
        config = {"size": {"height": 32, "width": 32}, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        return SiglipImageProcessorPil(**config)(images, return_tensors="np")["pixel_values"]
    if how == "naflex":
        config = {"patch_size": EDGE, "max_num_patches": PATCHES, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        return dict(Siglip2ImageProcessorPil(**config)(images, return_tensors="np"))
    mean, std = np.array(MEAN, np.float32), np.array(STD, np.float32)
    return np.stack([((np.asarray(rounded_crop(i), np.float32) / 255 - mean) / std).transpose(2, 0, 1) for i in images])


def main():
    TINY.mkdir(exist_ok=True)
    vision("vision", "pixel_values", "image_embeds")
    vision("vision_two", "pixel_values", "image_embeds", batch=2)
    vision("vision_image", "image", "embedding")
    naflex("vision_naflex", EDGE)
    text("text", "input_ids", "text_embeds", masked=True)
    text("text_bare", "input_ids", "text_embeds")
    text("text_two", "input_ids", "text_embeds", batch=2, length=77)
    text("text_64", "input_ids", "text_embeds", length=64)
    text("text_one", "text", "embedding", kind=T.INT32, batch=1, length=77)
    outside = onnx.load(TINY / "text.onnx")
    (TINY / "text.onnx_data").unlink(missing_ok=True)
    onnx.save(outside, TINY / "text_external.onnx", save_as_external_data=True, location="text.onnx_data", size_threshold=1024)
    for name, lower in (("lower", True), ("cased", False)):
        (TINY / name).mkdir(exist_ok=True)
        (TINY / name / "tokenizer.json").write_text(json.dumps(tokenizer(lower), ensure_ascii=False) + "\n")
    # Odd margins: 35 - 32 and 37 - 32.
    images = [Image.fromarray(np.random.default_rng(k).integers(0, 256, (32, 35 + 2 * k, 3), dtype=np.uint8)) for k in (0, 1)]
    for k, image in enumerate(images):
        image.save(TINY / f"{k}.png")
    clean = open_clip_cleaning()
    low, cased = (Tokenizer.from_file(str(TINY / n / "tokenizer.json")) for n in ("lower", "cased"))
    siglip2 = Siglip2Tokenizer.from_pretrained(TINY / "cased", padding_side="right", pad_token="<pad>")
    ids = lambda tokenizer, texts: [tokenizer.encode(t).ids for t in texts]
    pad = lambda rows, length: [row + [0] * (length - len(row)) for row in rows]
    cleaned = lambda how: [clean(how)(t) for t in TEXTS]
    cases = {
        "transformers": ("transformers", ids(low, TEXTS), "text"),
        "open_clip": ("open_clip", pad(ids(low, cleaned("lower")), 77), "text_one"),
        "canonicalize": ("open_clip", pad(ids(cased, cleaned("canonicalize")), 64), "text_64"),
        "whitespace": ("open_clip", pad(ids(cased, cleaned("whitespace")), 64), "text_64"),
        "siglip2": ("siglip", [list(map(int, x)) for x in siglip2(TEXTS, padding="max_length", max_length=64, truncation=True)["input_ids"]], "text_64"),
        "naflex": ("naflex", [list(map(int, x)) for x in siglip2(TEXTS, padding="max_length", max_length=64, truncation=True)["input_ids"]], "text_64"),
        "cased": ("siglip", pad(ids(cased, TEXTS), 64), "text_64"),
        "mobileclip": ("transformers", pad(ids(low, TEXTS), 77), "text_bare"),
        "jina": ("open_clip", ids(low, TEXTS), "text"),
        "fixed": ("transformers", pad(ids(low, TEXTS), 77), "text_two"),
    }
    out = {"texts": TEXTS, "scores": {}, "ids": {}}
    for name, (how, rows, graph) in cases.items():
        see, read = (ort.InferenceSession(TINY / f"{n}.onnx", providers=["CPUExecutionProvider"]) for n in ("vision_naflex" if how == "naflex" else "vision", graph))
        seen = pixels(images, how)
        seen = seen if how == "naflex" else {"pixel_values": seen.astype(np.float32)}
        v = see.run(None, {port.name: seen[port.name].astype(np.int32 if "int32" in port.type else seen[port.name].dtype) for port in see.get_inputs()})[0]
        v = v[[k % 2 for k in range(len(TEXTS))]]
        ports = read.get_inputs()
        kind = np.int32 if "int32" in ports[0].type else np.int64
        batch = ports[0].shape[0] if isinstance(ports[0].shape[0], int) else 1
        feed = lambda row: {p.name: np.repeat(np.ones((1, len(row)), kind) if p.name == "attention_mask" else np.array([row], kind), batch, 0) for p in ports}
        t = np.stack([read.run(None, feed(row))[0][0] for row in rows])
        score = (v * t).sum(1) / np.linalg.norm(v, axis=1) / np.linalg.norm(t, axis=1)
        out["scores"][name] = [round(float(s), 5) for s in score]
        out["ids"][name] = [row[: max(k + 1 for k, i in enumerate(row) if i)] for row in rows]
    wrong = lambda text, codec: text.encode().decode(codec)
    captions = [*CAPTIONS, *MOJIBAKE, *PLAIN, *(wrong(text, codec) for codec in ("sloppy-windows-1252", "latin-1") for text in PLAIN)]
    out["cleaned"] = {"captions": captions} | {how: [clean(how)(c) for c in captions] for how in ("whitespace", "lower", "canonicalize")}
    (HERE / "tiny.json").write_text(json.dumps(out, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
