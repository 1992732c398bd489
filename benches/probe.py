"""A linear probe: what embeddings of the kept rows teach, at fixed settings, on two cores in minutes.

Multinomial logistic regression (scikit-learn, L-BFGS, float32) on image embeddings standardised by mean and deviation of all training rows.
"""

import os

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

import multiprocessing
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

MOST_ITERATIONS = 300
USUAL_STRENGTH = 1.0
STRENGTHS = (1.0, 0.1, 0.01, 0.001, 0.0001)
# Most rows that C is chosen on, and the share of all rows.
FITTED_ROWS, HELD_OUT_ROWS, FITTED_SHARE = 15_000, 10_000, 0.6


class Probe:
    """Training and test embeddings, and the test labels; strengths are C, the inverse of regularisation: the chosen one and scikit-learn's own."""

    def __init__(self, train, test, test_labels):
        mean, deviation = train.mean(0), train.std(0)
        self.train, self.test = (train - mean) / deviation, (test - mean) / deviation
        self.test_labels, self.strengths = test_labels, (USUAL_STRENGTH,)

    def choose_strength(self, labels):
        """The C whose probe, fitted to random training rows, agrees best with the given labels of others; all agreements."""
        rows = np.random.default_rng(0).permutation(len(labels))
        end = min(FITTED_ROWS, int(FITTED_SHARE * len(rows)))
        fitted, held_out = rows[:end], rows[end : end + HELD_OUT_ROWS]
        jobs = [(strength, fitted, labels[fitted], held_out, labels[held_out]) for strength in STRENGTHS]
        found = dict(zip(STRENGTHS, self.run(agreement, jobs)))
        self.strengths = (max(found, key=found.get), USUAL_STRENGTH)
        return found

    def accuracies(self, jobs):
        """Shares of test rows told rightly, one per strength, for each `(rows, their labels)`."""
        every = [(strength, rows, labels, None, self.test_labels) for rows, labels in jobs for strength in self.strengths]
        found = self.run(agreement, every)
        return [found[i : i + len(self.strengths)] for i in range(0, len(found), len(self.strengths))]

    def run(self, work, jobs):
        global probe
        probe = self
        with multiprocessing.get_context("fork").Pool(len(os.sched_getaffinity(0))) as pool:
            return pool.map(work, jobs, chunksize=1)


def agreement(job):
    """Fits to some training rows; the share of other ones, or of the test rows, that get the label given."""
    strength, rows, labels, others, expected = job
    tested = probe.test if others is None else probe.train[others]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=strength, max_iter=MOST_ITERATIONS).fit(probe.train[rows], labels)
    return float(model.score(tested, expected))
