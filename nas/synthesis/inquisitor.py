"""The inquisitor: learns from what was measured, and says what proposals could add to the front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.synthesis.encoding import Encoding, Rows
from nas.synthesis.generator import milestones
from nas.synthesis.gp import Posterior, Scale, fit
from nas.synthesis.history import History
from nas.synthesis.kernel import Design, Features, Matrix, Theta

Numbers = npt.NDArray[np.intp]

LARGEST: Final = 400  # results that a proposal's posterior rests on
_FITTED: Final = 160  # results that hyperparameters are fitted on
_WIDE: Final = 8.0  # a positive cost whose largest value is so many times its smallest is seen by its logarithm


@dataclass(frozen=True)
class Questions:
    """Points that the inquisitor is asked about.

    Attributes:
        rows: (q, d) coordinates.
        known: (q, m) losses that are known for certain; NaN where they are not.
    """

    rows: Rows
    known: Matrix


@dataclass(frozen=True)
class Answers:
    """Joint beliefs about points, in units in which less is better and a unit is about the spread of the good half.

    Attributes:
        losses: (draws, q, m).
        violation: (draws, q) of constraints, see :func:`nas.synthesis.history.violation_of`; above 0 it is violated.
    """

    losses: npt.NDArray[np.float64]
    violation: Matrix


@dataclass(frozen=True)
class Axes:
    """How losses become the units of :class:`Answers`: the logarithm of wide costs, then :class:`Scale` or a range."""

    logs: npt.NDArray[np.bool_]
    scales: tuple[Scale, ...]
    warped: npt.NDArray[np.bool_]

    @staticmethod
    def of(losses: Matrix, known: npt.NDArray[np.bool_]) -> Axes:
        """From observed losses (n, m)."""
        low, high = losses.min(0), losses.max(0)
        wide = (low > 0) & (high > _WIDE * np.maximum(low, 1e-300))
        # By the logarithm only where that brings the median nearer to the middle of the range.
        ends = np.stack([low, np.median(losses, axis=0), high])
        logged = np.log(np.where(wide, ends, np.array([[1.0], [2.0], [3.0]])))
        logs = np.asarray(wide & (_lopsided(logged) < _lopsided(ends)), np.bool_)
        flat = np.where(logs, np.log(np.where(logs, losses, 1.0)), losses)
        return Axes(logs, tuple(Scale.of(column) for column in flat.T), ~known)

    def units(self, losses: Matrix) -> Matrix:
        """Losses (n, m) in these units."""
        out = np.empty_like(losses)
        for j, scale in enumerate(self.scales):
            column = np.log(np.maximum(losses[:, j], 1e-300)) if self.logs[j] else losses[:, j]
            out[:, j] = scale.warp(column) if self.warped[j] else (column - scale.centre) / scale.spread
        return out

    def losses(self, units: Matrix) -> Matrix:
        """The inverse of :meth:`units`."""
        out = np.empty_like(units)
        for j, scale in enumerate(self.scales):
            column = scale.unwarp(units[:, j]) if self.warped[j] else scale.centre + scale.spread * units[:, j]
            out[:, j] = np.exp(np.minimum(column, 700)) if self.logs[j] else column
        return out


@dataclass(frozen=True)
class Belief:
    """What the surrogate makes of a measured point, noise taken out, in the order of the objectives.

    Attributes:
        trial: its number.
        mean, low, high: (m,) the middle and the ends of a 90 % interval; where a value is known, all three are it.
    """

    trial: int
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def _lopsided(ends: Matrix) -> Matrix:
    """How far the middle of (low, median, high) lies off the centre, as a share of the range."""
    return np.asarray(np.abs((ends[1] - ends[0]) / np.maximum(ends[2] - ends[0], 1e-300) - 0.5), np.float64)


class Inquisitor:
    """Gaussian processes of the objectives that must be measured, and of the violation of constraints.

    Hyperparameters are fitted again whenever the results have grown by an eighth.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._design: Design | None = None
        self._extra = -1
        self._fits: dict[tuple[int, int, int], Theta] = {}

    def answer(
        self, history: History, front: Numbers, questions: Questions, draws: int, rng: np.random.Generator
    ) -> tuple[Answers, Axes]:
        """Joint draws of what the questioned points would show at full effort."""
        known = np.asarray(~np.isnan(questions.known).any(axis=0), np.bool_)
        axes = Axes.of(history.losses[history.finished], known)
        out = np.repeat(axes.units(np.where(known, questions.known, 0.0))[None], draws, axis=0)
        for j in np.flatnonzero(~known):
            posterior, asked, (centre, spread) = self._posterior(history, front, questions, axes, int(j))
            out[:, :, j] = centre + spread * posterior.sample(asked, draws, rng)
        return Answers(out, self._violation(history, questions, axes, draws, rng)), axes

    def _posterior(
        self, history: History, front: Numbers, questions: Questions, axes: Axes, j: int
    ) -> tuple[Posterior, Features, tuple[float, float]]:
        """The process of objective ``j``, the questions' features, and the centre and spread of its values."""
        finished = history.finished
        lines = self._lines(history, axes)
        design = self._prepare(lines.count)
        used = chosen(finished, front, history.losses)
        y = axes.units(history.losses[used])[:, j]
        centre, spread = float(y.mean()), float(y.std()) or 1.0
        seen = design.features(history.rows[used], lines.seen(history, used))
        theta = self._theta(history, finished, lines, j)
        posterior = Posterior.of(design, theta, seen, (y - centre) / spread)
        return posterior, design.features(questions.rows, lines.asked(questions.known)), (centre, spread)

    @staticmethod
    def _lines(history: History, axes: Axes) -> _Extras:
        efforts = np.flatnonzero(np.ptp(history.effort[history.finished], axis=0) > 0)
        return _Extras.of(history, history.finished, axes, ~axes.warped, efforts)

    def believe(self, history: History, front: Numbers, questions: Questions, numbers: Numbers) -> list[Belief]:
        """Means and intervals of the questioned points, which are those of trials ``numbers``."""
        finished = history.finished
        known = np.asarray(~np.isnan(questions.known).any(axis=0), np.bool_)
        axes = Axes.of(history.losses[finished], known)
        mean = axes.units(np.where(known, questions.known, 0.0))
        half = np.zeros_like(mean)
        for j in np.flatnonzero(~known):
            posterior, asked, (centre, spread) = self._posterior(history, front, questions, axes, int(j))
            m, s = posterior.predict(asked)
            mean[:, j], half[:, j] = centre + spread * m, 1.645 * spread * s
        ends = [axes.losses(mean + side * half) * history.signs for side in (-1, 0, 1)]
        low, high = np.minimum(ends[0], ends[2]), np.maximum(ends[0], ends[2])
        return [
            Belief(int(n), tuple(m), tuple(a), tuple(b))
            for n, m, a, b in zip(numbers, ends[1].tolist(), low.tolist(), high.tolist(), strict=True)
        ]

    def _prepare(self, extra: int) -> Design:
        if self._design is None or extra != self._extra:
            self._design, self._extra = Design(self._encoding, extra), extra
            self._fits.clear()
        return self._design

    def _theta(self, history: History, finished: Numbers, lines: _Extras, j: int) -> Theta:
        """Hyperparameters for objective ``j``, fitted on the first results up to a milestone."""
        stones = milestones(len(finished))
        size = stones[-1] if stones else len(finished)
        prefix = finished[:size]
        key = (j, size, int(prefix[-1]))
        if key in self._fits:
            return self._fits[key]
        # Scales of the prefix alone, so that a resumed search fits what the first one fitted.
        axes = Axes.of(history.losses[prefix], lines.known)
        lines = _Extras.of(history, prefix, axes, lines.known, lines.efforts)
        return self._fitted(key, history, lines, prefix, axes.units(history.losses[prefix])[:, j])

    def _fitted(
        self, key: tuple[int, int, int], history: History, lines: _Extras, prefix: Numbers, values: Matrix
    ) -> Theta:
        theta = self._fits.get(key)
        if theta is None:
            assert self._design is not None
            best = np.argsort(values, kind="stable")[: _FITTED // 4]
            spread = np.unique(np.linspace(0, len(prefix) - 1, _FITTED - len(best)).astype(np.intp))
            pick = np.union1d(best, spread) if len(prefix) > _FITTED else np.arange(len(prefix))
            y = values[pick]
            features = self._design.features(history.rows[prefix[pick]], lines.seen(history, prefix[pick]))
            theta = fit(self._design, features, (y - y.mean()) / (float(y.std()) or 1.0))
            self._fits = {k: t for k, t in self._fits.items() if k[0] != key[0]} | {key: theta}
        return theta

    def _violation(
        self, history: History, questions: Questions, axes: Axes, draws: int, rng: np.random.Generator
    ) -> Matrix:
        """Draws (draws, q) of the violation; none is violated as long as none ever was."""
        judged = history.judged
        violation = history.violation[judged]
        if not np.any(violation > 0):
            return np.full((draws, len(questions.rows)), -1.0)
        lines = self._lines(history, axes)
        design = self._prepare(lines.count)
        y = violation
        spread = float(y.std()) or 1.0
        stones = milestones(len(judged))
        size = stones[-1] if stones else len(judged)
        theta = self._fitted((-1, size, int(judged[size - 1])), history, lines, judged[:size], y[:size])
        used = judged if len(judged) <= LARGEST else judged[np.argsort(np.abs(y), kind="stable")[:LARGEST]]
        values = (history.violation[used] - y.mean()) / spread
        seen = design.features(history.rows[used], lines.seen(history, used))
        posterior = Posterior.of(design, theta, seen, values)
        asked = design.features(questions.rows, lines.asked(questions.known))
        return np.asarray(y.mean() + spread * posterior.sample(asked, draws, rng), np.float64)


@dataclass(frozen=True)
class _Extras:
    """Free numbers that come with a row: known losses, and the effort where it differs between trials.

    Attributes:
        axes, known: of the losses.
        low, high: (k,) their range, for scaling to -1..1.
        efforts: which parts of the effort differ.
        full: (3,) the effort that questions are answered for.
    """

    axes: Axes
    known: npt.NDArray[np.bool_]
    low: Matrix
    high: Matrix
    efforts: Numbers
    full: Matrix

    @staticmethod
    def of(history: History, finished: Numbers, axes: Axes, known: npt.NDArray[np.bool_], efforts: Numbers) -> _Extras:
        effort = history.effort[finished]
        most = effort[int(np.argmax(effort[:, 0] + effort[:, 1]))]
        numbers = np.hstack([axes.units(history.losses[finished])[:, known], effort[:, efforts]])
        return _Extras(axes, known, numbers.min(0), numbers.max(0), efforts, most)

    @property
    def count(self) -> int:
        return len(self.low)

    def seen(self, history: History, numbers: Numbers) -> Matrix:
        """Of trials (n, k); a trial that was never measured counts as in the middle."""
        losses = history.losses[numbers]
        units = self.axes.units(np.where(np.isnan(losses), 1.0, losses))[:, self.known]
        units = np.where(np.isnan(losses[:, self.known]), (self.low + self.high)[: units.shape[1]] / 2, units)
        return self._scaled(np.hstack([units, history.effort[numbers][:, self.efforts]]))

    def asked(self, known: Matrix) -> Matrix:
        """Of questioned points (q, k), at full effort."""
        units = self.axes.units(np.where(np.isnan(known), 1.0, known))[:, self.known]
        return self._scaled(np.hstack([units, np.tile(self.full[self.efforts], (len(known), 1))]))

    def _scaled(self, numbers: Matrix) -> Matrix:
        span = np.where(self.high > self.low, self.high - self.low, 1.0)
        return np.asarray(np.clip(2 * (numbers - self.low) / span - 1, -1.5, 1.5), np.float64)


def chosen(finished: Numbers, front: Numbers, losses: Matrix) -> Numbers:
    """At most :data:`LARGEST` results: the front, the latest, and of the others a sample even in every objective.

    Args:
        finished: numbers of all results, ascending.
        front: those of the front.
        losses: (n, m) by number.
    """
    if len(finished) <= LARGEST:
        return finished
    third = LARGEST // 3
    keep = np.zeros(int(finished[-1]) + 1, dtype=bool)
    if len(front) > third:
        front = front[np.linspace(0, len(front) - 1, third).astype(np.intp)]
    keep[front] = True
    keep[finished[-third:]] = True
    each = (LARGEST - int(keep.sum())) // losses.shape[1]
    for column in losses[finished].T:
        order = finished[np.argsort(column, kind="stable")]
        # Denser among the good: the surrogate must tell these apart.
        keep[order[(np.linspace(0, 1, each) ** 2 * (len(order) - 1)).astype(np.intp)]] = True
    return np.flatnonzero(keep)
