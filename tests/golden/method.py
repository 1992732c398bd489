"""The scores of scores.py for a score store of the mock model, with what is chosen by them, in float64 NumPy.

Writes method.json beside this file. Run it again: the bytes do not change. The class texts are those that the mock
model gives for the prompts, worked out here from its definition.
"""

import json
from pathlib import Path

import numpy as np

import scores
from scores import ROWS, adapted, plain, single, unit, units

DIM, TARGETS, NEIGHBOURS, WEIGHT = 8, 24, 3, 0.1
NAMES = ("cat", "dog", "traffic_light", "ship", "zebra")
PROMPTS = ("a photo of a {}", "one {} at night")
KEEP_ROWS = 18
# As many of each class, in proportion to its rows.
OF_CLASSES = (9, 5, 3, 1, 0)


def byte_ids():
    """The mock's token of each byte: its place among the letters of byte-level BPE, by code point, counted from 1."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: byte for byte in printable} | {byte: 256 + n for n, byte in enumerate(others)}
    order = sorted(letters.values())
    return [order.index(letters[byte]) + 1 for byte in range(256)]


def mock_text(text):
    ids, state, wide = byte_ids(), 0xCBF29CE484222325, (1 << 64) - 1
    for token in (ids[byte] for byte in text.encode()):
        for byte in token.to_bytes(8, "little"):
            state = (state ^ byte) * 0x100000001B3 & wide
    values = []
    for _ in range(DIM):
        state ^= state << 13 & wide
        state ^= state >> 7
        state ^= state << 17 & wide
        values.append(((state >> 56) - 127.5) / 127.5)
    return unit(np.array(values))


def data(random):
    labels = np.repeat(np.arange(len(NAMES)), scores.SIZES)
    random.shuffle(labels[:-1])
    prompts = {
        prompt: np.array([mock_text(prompt.replace("{}", name.replace("_", " "))) for name in NAMES])
        for prompt in PROMPTS
    }
    class_texts = prompts[PROMPTS[0]]
    images = units(class_texts[labels] + 0.35 * random.normal(size=(ROWS, DIM)))
    texts = units(images + 0.15 * random.normal(size=(ROWS, DIM)))
    for copy, original, with_text in scores.COPIES:
        images[copy], labels[copy] = images[original], labels[original]
        if with_text:
            texts[copy] = texts[original]
    weights = [np.eye(DIM) + 0.1 * random.normal(size=(DIM, DIM)) for _ in range(2)]
    biases = [0.05 * random.normal(size=DIM) for _ in range(2)]
    target = units(class_texts[0] + 0.4 * random.normal(size=(TARGETS, DIM)))
    both = units(sum(prompts.values()))
    return {
        "images": single(images),
        "texts": single(texts),
        "class_texts": single(class_texts),
        "class_texts_of_both": single(both),
        "labels": labels,
        "image_adapter": {"weight": single(weights[0]), "bias": single(biases[0])},
        "text_adapter": {"weight": single(weights[1]), "bias": single(biases[1])},
        "target": single(target),
    }


def captioned_margin(images, texts):
    """Own cosine less that of the best other caption; equal captions are one."""
    values = []
    for image, own in zip(images, texts):
        others = [np.dot(image, text) for text in texts if not np.array_equal(text, own)]
        values.append(np.dot(image, own) - max(others))
    return values


def lower_edge(value):
    """The least float32 with the same upper sixteen bits."""
    bits = np.float32(value).view(np.uint32)
    return float((bits | 0xFFFF if value < 0 else bits & 0xFFFF0000).astype(np.uint32).view(np.float32))


def selection_score(sas, sds):
    """The published objective per row, the zero of alignment at the lowest of fewer than 1,000 rows."""
    low, mean = lower_edge(min(sas)), sum(sas) / len(sas)
    known = [value for value in sds if value is not None]
    diversity = [1 if value is None else value / (sum(known) / len(known)) for value in sds]
    return [(a - low) / (mean - low) + WEIGHT * d for a, d in zip(sas, diversity)]


def best(values, count):
    """Ascending rows of the highest values, the first of equal ones; refuses a margin that float32 may not keep."""
    order = sorted(range(len(values)), key=lambda row: (-values[row], row))
    assert values[order[count - 1]] - values[order[count]] > 1e-5
    return sorted(order[:count])


def cover(images, margins, cells, counts):
    """Herding among the trusted rows of each cell: those of positive margin, and where few rows are far off those that are not, towards the mean
    of all; elsewhere towards one in which the others count the less the lower they are."""
    kept = []
    assert min(abs(margin) for margin in margins) > 1e-5
    for cell, count in enumerate(counts):
        rows = [row for row in range(len(images)) if cells[row] == cell]
        above = [margins[row] for row in rows if margins[row] > 0]
        reach = sum(above) / len(above)
        far = sum(margins[row] <= -reach for row in rows)
        right = 2 * far < len(rows) - len(above) - far
        trusted = [row for row in rows if margins[row] > (-reach if right else 0)]
        weights = [1 if right or margins[row] > 0 else max(0, 1 + margins[row] / reach) for row in rows]
        target = sum(weight * images[row] for weight, row in zip(weights, rows)) / sum(weights)
        assert len(trusted) > count and min(abs(margins[row] + reach) for row in rows) > 1e-5
        kept += [trusted[place] for place in scores.herding([images[row] for row in trusted], count, target)]
    return sorted(kept)


def in_one_cell(of, images, names):
    same = np.zeros(ROWS, dtype=int)
    found = {
        f"sds_{NEIGHBOURS}": scores.sds(images, same, NEIGHBOURS),
        "dup_max_sim": scores.dup_max_sim(of["images"], same, 1),
        "moderate": scores.moderate(of["images"], same, 1),
    }
    return {f"{name}_captioned": found[name] for name in names}


def main():
    of = data(np.random.default_rng(20_241_015))
    expected, _ = scores.scores(of)
    images = adapted(of["images"], of["image_adapter"])
    texts = adapted(of["texts"], of["text_adapter"])
    both = adapted(of["class_texts_of_both"], of["text_adapter"])
    sds = f"sds_{NEIGHBOURS}"
    expected |= in_one_cell(of, images, (sds, "dup_max_sim", "moderate"))
    expected["sas_of_both"], expected["sas_margin_of_both"] = scores.sas_and_margin(images, both, of["labels"])
    expected["sas_plain"], expected["sas_margin_plain"] = scores.sas_and_margin(
        of["images"], of["class_texts"], of["labels"]
    )
    expected["sas_margin_captioned"] = captioned_margin(images, texts)
    expected["s_cliploss_captioned"] = scores.s_cliploss(images, texts, [[list(range(ROWS))]])
    expected["selection_score"] = selection_score(expected["sas"], expected[sds])
    expected["selection_score_captioned"] = selection_score(expected["sas_captioned"], expected[f"{sds}_captioned"])
    kept = {
        "align_diverse": best(expected["selection_score"], KEEP_ROWS),
        "align_diverse_captioned": best(expected["selection_score_captioned"], KEEP_ROWS),
        "cover_captioned": cover(of["images"], expected["sas_margin_captioned"], np.zeros(ROWS, dtype=int), [KEEP_ROWS]),
        "cover_of_both": cover(of["images"], expected["sas_margin_of_both"], of["labels"], OF_CLASSES),
    }
    for name in ("herding", "s_cliploss_halves", "s_cliploss_both", "sds_100"):
        del expected[name]
    facts = {"dim": DIM, "names": NAMES, "prompts": PROMPTS, "numpy": np.__version__}
    content = plain({**facts, "data": of, "scores": expected, "kept": kept})
    path = Path(__file__).with_name("method.json")
    path.write_text(json.dumps(content, separators=(",", ":")).replace('],"', '],\n"').replace('},"', '},\n"') + "\n")


if __name__ == "__main__":
    main()
