"""The tokenizer files of the golden models: the real CLIP vocabulary, a small Unigram one, a tiny BPE one with pairs."""

import gzip
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

# Carries bpe_simple_vocab_16e6.txt.gz, the vocabulary OpenAI published with CLIP (MIT, as the wheel).
BPE_WHEEL, BPE_SHA256 = "open_clip_torch==3.3.0", "c549ad5ed6bfc119cc11105033c0a2b9d7a2a4afeb40a58a09aab3da1a0043ce"
CLIP_CONTEXT, SIGLIP_CONTEXT = 77, 64
PUNCTUATION = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"""


def write(path, value):
    """JSON on one line: the vocabulary is most of what this folder weighs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def clip_merges():
    """The 48,894 merges of CLIP's vocabulary, in order."""
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder, "requirement.txt")
        requirement.write_text(f"{BPE_WHEEL} --hash=sha256:{BPE_SHA256}\n")
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "-d", folder, "-r", str(requirement)], check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            text = gzip.decompress(wheel.read("open_clip/bpe_simple_vocab_16e6.txt.gz")).decode()
    return text.split("\n")[1 : 49152 - 256 - 2 + 1]


def byte_letters():
    """The letter that stands for each byte in byte-level BPE, in vocabulary order."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(b) for b in plain] + [chr(256 + n) for n in range(256 - len(plain))]


def clip_tokenizer(merges):
    """The tokenizer.json that the hub's CLIP models carry, built from the published vocabulary."""
    letters = byte_letters()
    tokens = letters + [letter + "</w>" for letter in letters] + ["".join(merge.split()) for merge in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    assert len(vocabulary) == 49408, len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, [tuple(m.split()) for m in merges], unk_token="<|endoftext|>", continuing_subword_prefix="", end_of_word_suffix="</w>", fuse_unk=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    words = Regex(r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+""")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(words, "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.post_processor = processors.RobertaProcessing(("<|endoftext|>", 49407), ("<|startoftext|>", 49406), trim_offsets=False, add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|startoftext|>", normalized=True), AddedToken("<|endoftext|>", normalized=False)])
    return json.loads(tokenizer.to_str())


def write_clip(folder, merges):
    tokenizer = clip_tokenizer(merges)
    tokenizer["model"]["merges"] = [" ".join(pair) for pair in tokenizer["model"]["merges"]]  # as most hub files have them
    write(folder / "tokenizer.json", tokenizer)
    start, end = "<|startoftext|>", "<|endoftext|>"
    write(folder / "special_tokens_map.json", {"bos_token": start, "eos_token": end, "pad_token": end, "unk_token": end})
    config = {"bos_token": start, "eos_token": end, "pad_token": end, "unk_token": end, "do_lower_case": True, "errors": "replace"}
    write(folder / "tokenizer_config.json", config | {"add_prefix_space": False, "model_max_length": CLIP_CONTEXT, "tokenizer_class": "CLIPTokenizer"})


def write_bpe_pairs(folder, merges, count=300):
    """The same tokenizer with the first merges only, kept as pairs, as newer files have them; no config beside it."""
    tokenizer = clip_tokenizer(merges)
    keep = {*byte_letters(), *(letter + "</w>" for letter in byte_letters()), *("".join(m.split()) for m in merges[:count])}
    vocabulary = [token for token in tokenizer["model"]["vocab"] if token in keep] + ["<|startoftext|>", "<|endoftext|>"]
    tokenizer["model"]["vocab"] = {token: i for i, token in enumerate(vocabulary)}
    tokenizer["model"]["merges"] = [m.split() for m in merges[:count]]
    start, end = len(vocabulary) - 2, len(vocabulary) - 1
    for token, i in zip(tokenizer["added_tokens"], (start, end)):
        token["id"] = i
    tokenizer["post_processor"] |= {"sep": ["<|endoftext|>", end], "cls": ["<|startoftext|>", start]}
    write(folder / "tokenizer.json", tokenizer)


def unigram_pieces(merges, size=3000):
    """Pieces with scores, from the head of CLIP's merges, which are ordered by how common they are."""
    pieces, seen = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0)], set()
    def add(piece, score):
        if piece not in seen and len(pieces) < size:
            seen.add(piece)
            pieces.append((piece, round(score, 4)))
    for letter in "▁abcdefghijklmnopqrstuvwxyz0123456789éèüößñçà的一猫狗":
        add(letter, -9.0)
    for rank, merge in enumerate(merges):
        token = "".join(merge.split())
        word = token.removesuffix("</w>")
        if word.isascii() and word.isalpha():
            score = -4.0 - 0.75 * (rank + 1) ** 0.2
            if token.endswith("</w>"):
                add("▁" + word, score)
            add(word, score - 0.5)
        if len(pieces) == size:
            return pieces
    raise ValueError("too few merges")


def write_siglip(folder, merges):
    """A SigLIP-style tokenizer: lower case, no punctuation, single spaces, Unigram pieces, `</s>` at the end."""
    pieces = unigram_pieces(merges)
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(PUNCTUATION), ""),
        normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip(),
    ])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in ("<pad>", "</s>", "<unk>")])
    write(folder / "tokenizer.json", json.loads(tokenizer.to_str()))
    write(folder / "special_tokens_map.json", {"eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"})
    config = {"eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>", "do_lower_case": True, "model_max_length": SIGLIP_CONTEXT}
    write(folder / "tokenizer_config.json", config | {"tokenizer_class": "SiglipTokenizer"})
    return len(pieces)
