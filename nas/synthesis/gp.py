"""A small Gaussian process: what was measured, and how sure that makes us of the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, cholesky, lapack, solve_triangular  # type: ignore[import-untyped]
from scipy.optimize import minimize  # type: ignore[import-untyped]

from nas.synthesis.kernel import Design, Features, Matrix, Theta, covariance, variances, weighted

_JITTER: Final = 1e-6
_STEPS: Final = 25
# Priors of the logarithms (mean, standard deviation): linear, products, neighbours, smooth, inverse length, noise.
_SCALE_PRIOR: Final = np.array([[0.0, 1.5], [-2.0, 1.5], [-1.0, 1.5], [-1.0, 1.5], [0.0, 1.5], [-4.0, 1.5]])
_BOUND: Final = 9.0


def prior_of(design: Design) -> Matrix:
    """Means and standard deviations (r + 6, 2) of the hyperparameters' logarithms."""
    relevance = np.array([[-0.5 * np.log(max(design.relevances, 1)), 1.0]] * design.relevances).reshape(-1, 2)
    return np.vstack([relevance, _SCALE_PRIOR])


def fit(design: Design, features: Features, y: Matrix) -> Theta:
    """Hyperparameters of largest posterior density, from the prior's means by L-BFGS with analytic gradients.

    Args:
        design: that made the features.
        features: of n points.
        y: (n,) standardised values.
    """
    prior = prior_of(design)
    found = minimize(
        _negative_log_posterior,
        prior[:, 0],
        args=(design, features, y, prior),
        jac=True,
        method="L-BFGS-B",
        bounds=[(m - _BOUND, m + _BOUND) for m in prior[:, 0]],
        options={"maxiter": _STEPS},
    )
    return Theta.unpack(np.asarray(found.x, np.float64))


def _negative_log_posterior(
    vector: Matrix, design: Design, features: Features, y: Matrix, prior: Matrix
) -> tuple[float, Matrix]:
    """Minus the log marginal likelihood and log prior, and its gradient (Rasmussen and Williams 2006, eq. 5.9)."""
    theta = Theta.unpack(vector)
    s = np.exp(theta.scales)
    z, p = weighted(design, theta, features)
    n = len(y)
    squares = z * z
    norms = squares.sum(1)
    linear = z @ z.T
    r = np.sqrt(np.maximum(5 * s[4] * (norms[:, None] + norms[None, :] - 2 * linear), 0))
    decay = np.exp(-r)
    smooth = (1 + r + r * r / 3) * decay
    paired = p @ p.T
    k = 1 + linear * (s[0] + s[1] * linear) + s[2] * paired + s[3] * smooth
    k[np.diag_indices(n)] += s[5] + _JITTER
    factor, info = lapack.dpotrf(k, lower=1, clean=1)
    if info:
        return 1e10, np.zeros_like(vector)
    inverse, _ = lapack.dpotri(factor, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    alpha = inverse @ y
    m = np.outer(alpha, alpha) - inverse
    # d(smooth)/d(d2) with r^2 = 5 c d2: -(5 c / 6) (1 + r) exp(-r)
    slope = m * (-5 * s[4] / 6 * s[3]) * (1 + r) * decay
    by_linear = m * (s[0] + 2 * s[1] * linear) - 2 * slope
    columns = ((by_linear @ z) * z).sum(0) + 2 * slope.sum(1) @ squares
    gradient = np.zeros_like(vector)
    np.add.at(gradient, design.owner, columns)
    if p.size:
        of_pairs = s[2] * ((m @ p) * p).sum(0)
        np.add.at(gradient, design.pair_owner, of_pairs)
        np.add.at(gradient, design.pair_owner + 1, of_pairs)
    d2_slope = -(r * r) / 6 * (1 + r) * decay * s[3]
    parts = (s[0] * linear, s[1] * linear * linear, s[2] * paired, s[3] * smooth, d2_slope)
    gradient[-6:-1] = [np.vdot(m, part) for part in parts]
    gradient[-1] = s[5] * np.trace(m)
    value = 0.5 * y @ alpha + np.log(np.diag(factor)).sum()
    off = (vector - prior[:, 0]) / prior[:, 1]
    return float(value + 0.5 * off @ off), -0.5 * gradient + off / prior[:, 1]


@dataclass(frozen=True)
class Posterior:
    """A Gaussian process that has seen n points.

    Attributes:
        design, theta: of the kernel.
        seen: weighted columns of the n points.
        factor: (n, n) lower Cholesky factor of their noisy covariance.
        alpha: (n,) covariance^-1 y.
    """

    design: Design
    theta: Theta
    seen: tuple[Matrix, Matrix]
    factor: Matrix
    alpha: Matrix

    @staticmethod
    def of(design: Design, theta: Theta, features: Features, y: Matrix) -> Posterior:
        """Conditions the process on values ``y`` (n,) at ``features``."""
        seen = weighted(design, theta, features)
        k = covariance(theta, seen, seen)
        k[np.diag_indices(len(y))] += theta.noise + _JITTER
        factor = cholesky(k, lower=True, overwrite_a=True, check_finite=False)
        return Posterior(design, theta, seen, factor, cho_solve((factor, True), y, check_finite=False))

    def predict(self, features: Features) -> tuple[Matrix, Matrix]:
        """Mean (m,) and standard deviation (m,) of the noiseless values."""
        new = weighted(self.design, self.theta, features)
        cross = covariance(self.theta, self.seen, new)
        v = solve_triangular(self.factor, cross, lower=True, check_finite=False)
        variance = variances(self.theta, new) - (v * v).sum(0)
        return cross.T @ self.alpha, np.sqrt(np.maximum(variance, 1e-12))

    def sample(self, features: Features, draws: int, rng: np.random.Generator) -> Matrix:
        """Joint draws (draws, m) of the noiseless values."""
        new = weighted(self.design, self.theta, features)
        cross = covariance(self.theta, self.seen, new)
        v = solve_triangular(self.factor, cross, lower=True, check_finite=False)
        k = covariance(self.theta, new, new) - v.T @ v
        k[np.diag_indices(len(k))] += _JITTER * 10
        noise = rng.standard_normal((draws, len(k)))
        return np.asarray(cross.T @ self.alpha + noise @ _root(k).T, np.float64)


def _root(k: Matrix) -> Matrix:
    """A lower factor of a covariance that rounding may have left slightly indefinite."""
    jitter = 0.0
    for _ in range(6):
        factor, info = lapack.dpotrf(k + jitter * np.eye(len(k)), lower=1, clean=1)
        if not info:
            return np.asarray(factor, np.float64)
        jitter = max(jitter * 10, 1e-5)
    return np.asarray(np.diag(np.sqrt(np.maximum(np.diag(k), 0))), np.float64)


@dataclass(frozen=True)
class Scale:
    """Maps losses to what a Gaussian process models, and back: standardised, and the bad half pressed together.

    Failures of training make a long tail on the bad side, of which only the order matters.
    """

    centre: float
    spread: float

    @staticmethod
    def of(losses: npt.NDArray[np.float64]) -> Scale:
        """The scale of observed losses (n,): the median, and the root mean square of the good half."""
        centre = float(np.median(losses))
        good = losses[losses <= centre] - centre
        spread = float(np.sqrt(np.mean(good**2)))
        if not spread > 1e-12 * max(abs(centre), 1e-300):
            spread = float(np.std(losses))
        return Scale(centre, spread if spread > 0 else 1.0)

    def warp(self, losses: npt.NDArray[np.float64]) -> Matrix:
        """Losses as modelled values."""
        z = (losses - self.centre) / self.spread
        return np.asarray(np.where(z > 0, np.log1p(np.maximum(z, 0)), z), np.float64)

    def unwarp(self, values: Matrix) -> Matrix:
        """Modelled values as losses."""
        z = np.where(values > 0, np.expm1(np.clip(values, 0, 30)), values)
        return np.asarray(self.centre + self.spread * z, np.float64)
