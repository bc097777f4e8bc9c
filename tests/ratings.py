"""Tables of scores that several tests share."""

import numpy as np
import pytest
from scipy.stats import kendalltau, pearsonr, spearmanr

SCIPY = {"spearman": spearmanr, "kendall": kendalltau, "pearson": pearsonr}
METHODS = pytest.mark.parametrize("method", SCIPY)


def scores(documents, systems, seed, levels=5):
    """Draw tied human scores and a judge's, some documents constant for one side."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(documents, systems))
    human = np.clip(np.round(3 + latent), 1, 5)
    judge = latent + rng.normal(size=(documents, systems))
    judge = np.clip(np.round(3 + judge), 1, levels) if levels else judge
    if documents > 4:
        human[0], judge[1] = 3, 4
    groups = np.repeat([f"doc-{number:03}" for number in range(documents)], systems)
    return human.ravel(), judge.ravel(), groups.tolist()
