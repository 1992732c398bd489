"""Adapters in closed form over made-up pairs, in float64 NumPy: a discriminant of classes, and a ridge from image to text.

Writes closed.json beside this file. Run it again: the bytes do not change. Embeddings are multiples of 2^-12, to which the program rounds.
"""

import json
from pathlib import Path

import numpy as np

DIM, ROWS, CLASSES = 7, 60, 4
UNITS = 2.0**12


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def rounded(rows):
    return np.rint(unit(rows) * UNITS) / UNITS


def linear(weight, bias):
    return {"weight": weight.ravel().tolist(), "bias": bias.tolist()}


def discriminant(images, labels, shrinkage):
    """Even priors, one covariance; scores over the number of dimensions."""
    mean = images.mean(axis=0)
    means = np.array([images[labels == c].mean(axis=0) if (labels == c).any() else mean for c in range(CLASSES)])
    rest = images - means[labels]
    within = rest.T @ rest / (len(images) - len(np.unique(labels)))
    shrunk = (1 - shrinkage) * within + shrinkage * np.trace(within) / DIM * np.eye(DIM)
    directions = np.linalg.solve(shrunk, (means - mean).T).T
    bias = -directions @ mean - ((means - mean) * directions).sum(axis=1) / 2
    whiten = np.linalg.inv(np.linalg.cholesky(shrunk))
    return {"classes": linear(directions / DIM, bias / DIM), "whitening": linear(whiten, -whiten @ mean)}


def ridge(images, texts, strength):
    """Around both means; the penalty is in mean variances."""
    x, y = images - images.mean(axis=0), texts - texts.mean(axis=0)
    covariance = x.T @ x / len(x)
    penalty = strength * np.trace(covariance) / DIM * np.eye(DIM)
    weight = np.linalg.solve(covariance + penalty, x.T @ y / len(x)).T
    return linear(weight, texts.mean(axis=0) - weight @ images.mean(axis=0))


def main():
    random = np.random.default_rng(20_261_130)
    # The last class has no row.
    labels = random.integers(0, CLASSES - 1, ROWS)
    images = rounded(random.normal(size=(CLASSES, DIM))[labels] + 0.6 * random.normal(size=(ROWS, DIM)) + 0.5)
    texts = rounded(images @ random.normal(size=(DIM, DIM)) + 0.3 * random.normal(size=(ROWS, DIM)))
    content = {
        "dim": DIM,
        "classes": CLASSES,
        "numpy": np.__version__,
        "images": images.ravel().tolist(),
        "texts": texts.ravel().tolist(),
        "labels": labels.tolist(),
        "discriminant": {str(s): discriminant(images, labels, s) for s in (0.1, 0.9)},
        "ridge": {str(s): ridge(images, texts, s) for s in (0.3, 3)},
    }
    Path(__file__).with_name("closed.json").write_text(json.dumps(content, separators=(",", ":")).replace('],"', '],\n"') + "\n")


if __name__ == "__main__":
    main()
