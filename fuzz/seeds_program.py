"""Makes inputs for the targets that need the program, and the two graphs of fuzz/models.

    python3 fuzz/seeds_program.py PROGRAM FOLDER

Needs pyarrow and Pillow, and PROGRAM: a built clip-filter.
"""

import io
import json
import pathlib
import subprocess
import sys
import tempfile

import pyarrow
import pyarrow.parquet
from PIL import Image

FINGERPRINT = "f" * 64
MODELS = pathlib.Path(__file__).parent / "models"


def joined(*parts: bytes) -> bytes:
    """All but the last with their length before them, as fuzz/src/lib.rs takes them apart."""
    led = [len(part).to_bytes(2, "little") + part for part in parts[:-1]]
    return b"".join([*led, parts[-1]])


# ONNX, in the wire format of protobuf.


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def integer(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return varint(field << 3 | 2) + varint(len(content)) + content


def port(field: int, name: str, element: int, *dims: int) -> bytes:
    shape = [message(1, integer(1, size) if size else message(2, b"n")) for size in dims]
    tensor = message(1, integer(1, element), message(2, *shape))
    return message(field, message(1, name.encode()), message(2, tensor))


def node(operator: str, reads: list[str], makes: str, *attributes: bytes) -> bytes:
    names = [message(1, name.encode()) for name in reads]
    return message(1, *names, message(2, makes.encode()), message(4, operator.encode()), *attributes)


def weight(name: str, *fields: bytes) -> bytes:
    return message(5, integer(2, 1), message(8, name.encode()), *fields)


def model(*parts: bytes) -> bytes:
    return integer(1, 8) + message(7, *parts) + message(8, integer(2, 17))


PIXELS = port(11, "pixel_values", 1, 0, 3, 224, 224)
IDS = port(11, "input_ids", 7, 0, 0)
VISION = model(node("Identity", ["pixel_values"], "image_embeds"), PIXELS, port(12, "image_embeds", 1, 0, 4))
TEXT = model(node("Identity", ["input_ids"], "text_embeds"), IDS, port(12, "text_embeds", 1, 0, 4))
EXTERNAL = [message(13, message(1, b"location"), message(2, b"model.onnx_data")), integer(14, 1)]
BRANCH = message(5, message(1, b"then_branch"), message(6, node("DynamicQuantizeLinear", ["w"], "y")))
BOTH = model(
    node("Conv", ["pixel_values", "w"], "a"),
    node("If", ["input_ids"], "b", BRANCH),
    node("Gemm", ["a", "v"], "image_embeds"),
    node("Gemm", ["b", "v", ""], "text_embeds"),
    weight("w", message(9, bytes(16))),
    weight("v", *EXTERNAL),
    PIXELS,
    IDS,
    port(12, "image_embeds", 1, 0, 4),
    port(12, "text_embeds", 1, 0, 4),
)
GRAPHS = {"vision": VISION, "text": TEXT, "both": BOTH}

# Tokenizers, one of every kind.


def tokenizer(name: str, **parts) -> bytes:
    added = [
        {"id": place, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for place, text in enumerate(["<s>", "</s>"])
    ]
    whole = {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        **parts,
    }
    whole["model"]["type"] = name
    return json.dumps(whole, separators=(",", ":")).encode()


VOCABULARY = {"<s>": 0, "</s>": 1, "a": 2, "cat": 3, "c": 4, "##at": 5, "photo": 6, "[UNK]": 7}
TOKENIZERS = [
    tokenizer(
        "BPE",
        post_processor={"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0], "trim_offsets": False, "add_prefix_space": False},
        model={"dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "</w>", "fuse_unk": False,
               "vocab": {"<s>": 0, "</s>": 1, "a": 2, "c": 3, "t</w>": 4, "a</w>": 5, "ca": 6, "cat</w>": 7}, "merges": ["c a", "ca t</w>"]},
    ),
    tokenizer(
        "WordPiece",
        normalizer={"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        pre_tokenizer={"type": "BertPreTokenizer"},
        post_processor={"type": "BertProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0]},
        model={"unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": VOCABULARY},
    ),
    tokenizer(
        "Unigram",
        normalizer={"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
        pre_tokenizer={"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
        post_processor={"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                        "pair": [{"Sequence": {"id": "A", "type_id": 0}}], "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
        model={"unk_id": 0, "vocab": [["<unk>", 0.0], ["</s>", 0.0], ["\u2581a", -1.5], ["\u2581cat", -2.5], ["c", -4.0]], "byte_fallback": False},
    ),
    tokenizer("WordLevel", model={"vocab": VOCABULARY, "unk_token": "[UNK]"}),
    tokenizer(
        "BPE",
        normalizer={"type": "NFC"},
        pre_tokenizer={"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "'s|[\\p{L}]+|[^\\s\\p{L}]+"}, "behavior": "Removed", "invert": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]},
        model={"dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
               "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]},
    ),
]
CONFIG = b'{"model_type":"clip","text_config":{"max_position_embeddings":77,"pad_token_id":1},"logit_scale_init_value":2.6592}'
TOKENIZER_CONFIG = b'{"model_max_length":77,"pad_token":"</s>"}'
PROCESSOR = (
    b'{"crop_size":{"height":224,"width":224},"do_center_crop":true,"do_normalize":true,"do_resize":true,"image_mean":[0.5,0.5,0.5],'
    b'"image_std":[0.5,0.5,0.5],"resample":3,"rescale_factor":0.00392156862745098,"size":{"shortest_edge":224}}'
)


def pairs(path: pathlib.Path) -> None:
    images = []
    for color in [(200, 30, 30), (30, 200, 30), (30, 30, 200)]:
        file = io.BytesIO()
        Image.new("RGB", (16, 16), color).save(file, "JPEG")
        images.append(file.getvalue())
    texts = ["a red square", "a green square", "a blue one"]
    table = pyarrow.table({"image": pyarrow.array(images, pyarrow.binary()), "text": texts})
    pyarrow.parquet.write_table(table, path)


def stores_and_outputs(program: str):
    """Stores as one input each, and outputs."""
    with tempfile.TemporaryDirectory() as name:
        place = pathlib.Path(name)
        pairs(place / "in.parquet")

        def run(*arguments: str) -> None:
            # An output says how its program was called.
            called = ["clip-filter", *arguments]
            subprocess.run(called, executable=program, cwd=place, check=True, capture_output=True)

        for kind in ["none", "f16", "f32"]:
            store = place / kind
            run("score", "in.parquet", "--scores", kind, "--model", "mock", "--embeddings", kind)
            (record,) = (store / "records").iterdir()
            (scores,) = (store / "scores").iterdir()
            facts = json.loads(record.read_text())

            def renamed(path: pathlib.Path) -> bytes:
                text = path.read_text().replace(facts["fingerprint"], FINGERPRINT).replace(facts["model"], "m")
                text = text.replace(str(place.resolve()), "/gone")
                return json.dumps(json.loads(text), separators=(",", ":")).encode()

            parts = [renamed(path) for path in [store / "manifest.json", record, store / "state/shards.json"]]
            yield f"{kind}-whole", joined(*parts, b"\0" + scores.read_bytes())
            alone = json.loads(parts[0]) | {"records": []}
            parts[0] = json.dumps(alone, separators=(",", ":")).encode()
            yield f"{kind}-part", joined(parts[0], b"", parts[2], b"\1" + scores.read_bytes())
        run("in.parquet", "plain.parquet", "--model", "mock", "--keep", "0.7")
        added = "status,width,height,image_embedding,text_embedding"
        run("in.parquet", "added.parquet", "--model", "mock", "--keep", "0.7", "--add", added)
        for output in ["plain", "added"]:
            yield f"output-{output}", (place / f"{output}.parquet").read_bytes()


program, folder = str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2])
for target in ["graph", "tokenizer", "store", "report"]:
    (folder / target).mkdir(parents=True, exist_ok=True)
MODELS.mkdir(exist_ok=True)
(MODELS / "vision_model.onnx").write_bytes(VISION)
(MODELS / "text_model.onnx").write_bytes(TEXT)
for name, graph in GRAPHS.items():
    (folder / "graph" / name).write_bytes(graph)
for number, content in enumerate(TOKENIZERS):
    files = joined(CONFIG, TOKENIZER_CONFIG, PROCESSOR, "A photo of a cat, é 日本".encode(), content)
    (folder / "tokenizer" / f"kind-{number}").write_bytes(files)
for name, content in stores_and_outputs(program):
    (folder / "report" / name).write_bytes(content)
    if not name.startswith("output"):
        (folder / "store" / name).write_bytes(content)
