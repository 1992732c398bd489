"""Every score of the method on sixty small rows, in float64 NumPy: loops, so that it reads like the definitions.

Writes scores.json beside this file. Run it again: the bytes do not change.
"""

import json
from pathlib import Path

import numpy as np

ROWS, DIM, CLASSES, TARGETS = 60, 16, 5, 24
NEIGHBOURS = (3, 100)
TEMPERATURE = 0.01
# Classes of 30, 16, 9, 4 rows and one of a single row.
SIZES = (30, 16, 9, 4, 1)
# Rows that become copies of an earlier row of their class: equal images, in the last case equal texts too.
COPIES = ((7, 2, False), (8, 2, False), (33, 31, False), (50, 46, True))


def unit(row):
    return row / np.sqrt(np.sum(row * row))


def units(rows):
    return np.array([unit(row) for row in rows])


def single(rows):
    """Rounded to float32, and worked with in float64."""
    return np.asarray(rows, dtype=np.float32).astype(np.float64)


def data(random):
    labels = np.repeat(np.arange(CLASSES), SIZES)
    random.shuffle(labels[:-1])
    centres = random.normal(size=(CLASSES, DIM))
    images = units(centres[labels] + 0.9 * random.normal(size=(ROWS, DIM)))
    class_texts = units(centres + 0.5 * random.normal(size=(CLASSES, DIM)))
    texts = units(class_texts[labels] + 0.5 * random.normal(size=(ROWS, DIM)))
    for copy, original, with_text in COPIES:
        images[copy], labels[copy] = images[original], labels[original]
        if with_text:
            texts[copy] = texts[original]
    weights = [np.eye(DIM) + 0.15 * random.normal(size=(DIM, DIM)) for _ in range(2)]
    biases = [0.1 * random.normal(size=DIM) for _ in range(2)]
    target = units(centres[0] + 0.7 * random.normal(size=(TARGETS, DIM)))
    return {
        "images": single(images),
        "texts": single(texts),
        "class_texts": single(class_texts),
        "labels": labels,
        "image_adapter": {"weight": single(weights[0]), "bias": single(biases[0])},
        "text_adapter": {"weight": single(weights[1]), "bias": single(biases[1])},
        "target": single(target),
    }


def adapted(rows, adapter):
    return units([adapter["weight"] @ row + adapter["bias"] for row in rows])


def members(labels, label):
    return [row for row in range(len(labels)) if labels[row] == label]


def sas_and_margin(images, class_texts, labels):
    sas, margin = [], []
    for image, label in zip(images, labels):
        cosines = [float(np.dot(image, text)) for text in class_texts]
        others = [cosine for other, cosine in enumerate(cosines) if other != label]
        sas.append(cosines[label])
        margin.append(cosines[label] - max(others))
    return sas, margin


def sds(images, labels, neighbours):
    """Mean distance to the nearest others of the class; None for a class of one row."""
    values = []
    for row, image in enumerate(images):
        others = [other for other in members(labels, labels[row]) if other != row]
        distances = sorted(np.sqrt(np.sum((image - images[other]) ** 2)) for other in others)
        nearest = distances[:neighbours]
        values.append(sum(nearest) / len(nearest) if nearest else None)
    return values


def class_means(images, labels, classes=CLASSES):
    return [sum(images[row] for row in members(labels, c)) / len(members(labels, c)) for c in range(classes)]


def dup_max_sim(images, labels, classes=CLASSES):
    """The largest cosine to an earlier row of the class, earlier being nearer to the normalised mean of the class."""
    values = [None] * len(images)
    for label, mean in enumerate(class_means(images, labels, classes)):
        centroid = unit(mean)
        order = sorted(members(labels, label), key=lambda row: (-np.dot(images[row], centroid), row))
        for place, row in enumerate(order):
            earlier = [float(np.dot(images[row], images[other])) for other in order[:place]]
            values[row] = min(max(earlier), 1.0) if earlier else -1.0
    return values


def moderate(images, labels, classes=CLASSES):
    values = [None] * len(images)
    for label, mean in enumerate(class_means(images, labels, classes)):
        distances = {row: np.sqrt(np.sum((images[row] - mean) ** 2)) for row in members(labels, label)}
        ordered = sorted(distances.values())
        middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
        for row, distance in distances.items():
            values[row] = abs(distance - middle)
    return values


def proto_dist(images, labels):
    centroids = [unit(mean) for mean in class_means(images, labels)]
    return [1 - max(np.dot(image, centroid) for centroid in centroids) for image in images]


def normsim_inf(images, target):
    return [max(np.dot(t, image) for t in target) for image in images]


def normsim_2(images, target):
    return [np.sqrt(sum(np.dot(t, image) ** 2 for t in target)) for image in images]


def vas(images, target):
    moment = sum(np.outer(t, t) for t in target) / len(target)
    return [image @ moment @ image for image in images]


def logsumexp(values):
    largest = max(values)
    return largest + np.log(sum(np.exp(value - largest) for value in values))


def s_cliploss(images, texts, partitions):
    """Own cosine less half the temperature times the mean, over partitions, of both logsumexps within the batch."""
    values = []
    for row in range(len(images)):
        sums = []
        for batches in partitions:
            batch = next(batch for batch in batches if row in batch)
            over_texts = [np.dot(images[row], texts[other]) / TEMPERATURE for other in batch]
            over_images = [np.dot(images[other], texts[row]) / TEMPERATURE for other in batch]
            sums.append(logsumexp(over_texts) + logsumexp(over_images))
        own = np.dot(images[row], texts[row])
        values.append(own - TEMPERATURE / 2 * sum(sums) / len(sums))
    return values


def herding(images, count, target=None):
    """Each time the row that brings the mean of the picked ones closest to the target, or the mean of all; the first of equal ones."""
    target, picked = sum(images) / len(images) if target is None else target, []
    for _ in range(count):
        free = [row for row in range(len(images)) if row not in picked]
        gap = lambda row: np.sum((target - sum(images[r] for r in picked + [row]) / (len(picked) + 1)) ** 2)
        picked.append(min(free, key=gap))
    return picked


def scores(of):
    images, texts, labels = of["images"], of["texts"], of["labels"]
    adapted_images = adapted(images, of["image_adapter"])
    adapted_classes = adapted(of["class_texts"], of["text_adapter"])
    adapted_texts = adapted(texts, of["text_adapter"])
    sas, margin = sas_and_margin(adapted_images, adapted_classes, labels)
    everything = list(range(ROWS))
    halves = [everything[0::2], everything[1::2]]
    return {
        "sas": sas,
        "sas_margin": margin,
        "sas_captioned": [np.dot(image, text) for image, text in zip(adapted_images, adapted_texts)],
        **{f"sds_{k}": sds(adapted_images, labels, k) for k in NEIGHBOURS},
        "dup_max_sim": dup_max_sim(images, labels),
        "moderate": moderate(images, labels),
        "proto_dist": proto_dist(images, labels),
        "normsim_inf": normsim_inf(images, of["target"]),
        "normsim_2": normsim_2(images, of["target"]),
        "vas": vas(images, of["target"]),
        "s_cliploss": s_cliploss(images, texts, [[everything]]),
        "s_cliploss_halves": s_cliploss(images, texts, [halves]),
        "s_cliploss_both": s_cliploss(images, texts, [[everything], halves]),
        "herding": herding(images, 40),
    }, halves


def plain(value):
    """What JSON can hold; float32 data in the fewest digits, scores in twelve."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        return [float(str(item)) for item in value.astype(np.float32).ravel()]
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.12g}")
    return int(value) if isinstance(value, np.integer) else value


def main():
    of = data(np.random.default_rng(20_240_712))
    expected, halves = scores(of)
    sizes = {"dim": DIM, "temperature": TEMPERATURE, "batches": halves, "numpy": np.__version__}
    content = plain({**sizes, "data": of, "scores": expected})
    path = Path(__file__).with_name("scores.json")
    path.write_text(json.dumps(content, separators=(",", ":")).replace('],"', '],\n"').replace('},"', '},\n"') + "\n")


if __name__ == "__main__":
    main()
