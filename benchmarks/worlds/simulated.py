"""Simulated human and judge scores with a known agreement, to try tests on.

A judge's score is a threshold of slope x human + error on a normal scale. Errors go together within
a document, within a system where a judge has a taste for it, and between two judges that are one
model with two prompts. Shares and correlations are those of published judges on SummEval and HANNA.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import norm, rankdata, spearmanr

Array = npt.NDArray[np.float64]

SYSTEMS = 16
_RATERS = 3
_MARGINS = (0.05, 0.15, 0.25, 0.35, 0.20)  # how often a judge says 1, 2, 3, 4, 5
_CALIBRATION = 2000  # documents


@dataclass(frozen=True)
class Errors:
    """How judges err.

    Args:
        document: The share of the error variance that goes together within a document.
        system: The share that is a judge's own taste for single systems.
        between: How two judges' errors correlate, apart from their tastes.
    """

    document: float = 0.14
    system: float = 0.0
    between: float = 0.55


@dataclass(frozen=True)
class World:
    """Documents with human scores, and two judges of known agreement with them.

    Args:
        human: The documents' human scores, shape (documents, systems).
        errors: How they err.
        slopes: How steeply the judges follow the human scores; found by `world`.
    """

    human: Array
    errors: Errors
    slopes: tuple[float, float] = (0.0, 0.0)

    def draw(self, documents: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """Draw documents, and both judges' scores of them; each of shape (documents, systems)."""
        drawn = rng.integers(len(self.human), size=documents)
        human, latent = self.human[drawn], _normal_scores(self.human)[drawn]
        shared = self._errors(latent.shape, rng)
        first, second = (
            _thresholds(slope, latent, self._judges_errors(shared, rng)) for slope in self.slopes
        )
        return human, first, second

    def _judges_errors(self, shared: Array, rng: np.random.Generator) -> Array:
        own, between = self._errors(shared.shape, rng), self.errors.between
        mixed = np.sqrt(between) * shared + np.sqrt(1 - between) * own
        taste = rng.normal(size=(1, shared.shape[1]))
        share = self.errors.system
        return np.asarray(np.sqrt(1 - share) * mixed + np.sqrt(share) * taste)

    def _errors(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        of_documents, of_texts = rng.normal(size=(shape[0], 1)), rng.normal(size=shape)
        share = self.errors.document
        return np.asarray(np.sqrt(share) * of_documents + np.sqrt(1 - share) * of_texts)


def world(human: Array, rhos: tuple[float, float], errors: Errors | None = None) -> World:
    """Find the slopes with which two judges reach a pooled rho each."""
    unfitted = World(human, errors or Errors())
    slopes = {rho: _slope(unfitted, rho) for rho in set(rhos)}
    return replace(unfitted, slopes=(slopes[rhos[0]], slopes[rhos[1]]))


def human_scores(documents: int, seed: int = 0) -> Array:
    """Make means of three raters' whole scores, with the variance shares of SummEval coherence."""
    rng = np.random.default_rng(seed)
    systems = norm.ppf((np.arange(SYSTEMS) + 0.5) / SYSTEMS)  # from bad to good, not drawn
    quality = (
        np.sqrt(0.09) * rng.normal(size=(documents, 1))
        + np.sqrt(0.31) * systems
        + np.sqrt(0.60) * rng.normal(size=(documents, SYSTEMS))
    )
    noise = rng.normal(size=(_RATERS, documents, SYSTEMS))
    opinions = np.sqrt(0.7) * quality + np.sqrt(0.3) * noise
    return np.asarray(np.clip(np.round(3.4 + 1.2 * opinions), 1, 5).mean(axis=0))


def _slope(world: World, rho: float) -> float:
    flat = replace(world.errors, system=0.0)  # their mean over systems, as over many systems
    trial = replace(world, errors=flat)

    def miss(slope: float) -> float:
        rng = np.random.default_rng(0)  # the same draws for every slope
        human, judge, _ = replace(trial, slopes=(slope, slope)).draw(_CALIBRATION, rng)
        return float(spearmanr(human.ravel(), judge.ravel()).statistic) - rho

    return float(brentq(miss, -1.0, 5.0, xtol=1e-3))


def _normal_scores(human: Array) -> Array:
    ranks = rankdata(human).reshape(human.shape)
    scores = norm.ppf((ranks - 0.5) / human.size)
    return np.asarray((scores - scores.mean()) / scores.std())


def _thresholds(slope: float, latent: Array, error: Array) -> Array:
    spread = np.sqrt(1 + slope**2)
    cuts = norm.ppf(np.cumsum(_MARGINS)[:-1])
    return np.asarray(1.0 + np.digitize((slope * latent + error) / spread, cuts))
