"""What the engine says of accuracies, against the truth, in a simulation with the structure of CK+.

    python benchmarks/honesty.py                        # coverage of intervals, and claims of searches (some minutes)
    python benchmarks/honesty.py --simulations 200      # sooner, rougher
    python benchmarks/honesty.py --few                  # intervals over 5 to 40 subjects
    python benchmarks/honesty.py --corrections          # rules against each other for many tests

118 subjects, 327 sequences (1 to 8 a subject), 3 nearly equal frames each.  An image is right where a latent normal
value is above 0: the network's level, a part of the subject (25 % of the variance), of the sequence (70 %), of the
frame (5 %).  A training shifts the level, with all subjects at once, so that the accuracy's standard deviation between
trainings is --noise points: the hardest kind of luck, since the spread between subjects shows nothing of it.  The truth
is the expected accuracy over subjects and trainings; it is exact.  Networks of one search share 70 % of each part.

Intervals are those of nas.statistics, which the search calls: of one training of each fold, without knowledge of the
noise (all that a search has), of one training with the noise measured elsewhere (four other networks, three trainings
each), and of three trainings.  The bootstrap is the percentile bootstrap over subjects.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from nas.statistics.accuracy import SeedNoise, accuracy_estimate, pooled_noise, seed_noise
from nas.statistics.correction import corrected_confidence
from nas.statistics.estimate import Estimate

SUBJECTS, SEQUENCES, FRAMES = 118, 327, 3
SUBJECT_OF = np.repeat(
    np.arange(SUBJECTS),
    1 + np.random.default_rng(5).multinomial(SEQUENCES - SUBJECTS, np.full(SUBJECTS, 1 / SUBJECTS)),
)
GROUPS = np.repeat(SUBJECT_OF, FRAMES)
PARTS = {"subject": 0.25, "sequence": 0.7, "frame": 0.05}
SHARED = 0.7
TRUTHS = (0.85, 0.92, 0.95, 0.98)
NOISES = (0.0, 0.005, 0.010, 0.014)
BOUND, CANDIDATES, GOOD = 0.92, 50, 5
RESAMPLES = 2000
Hits = np.ndarray  # bool, (networks, trainings, images)


@cache
def shift_sd(accuracy: float, noise: float) -> float:
    """Standard deviation of the latent shift that gives the accuracy one of ``noise``, about a mean of ``accuracy``."""
    if noise == 0:
        return 0.0
    nodes, weights = np.polynomial.hermite_e.hermegauss(81)
    weights = weights / weights.sum()

    def excess(sd: float) -> float:
        values = ndtr(ndtri(accuracy) * np.sqrt(1 + sd**2) + sd * nodes)
        return float(np.sqrt(weights @ values**2 - (weights @ values) ** 2)) - noise

    return float(brentq(excess, 1e-6, 5.0))


def draw(truths: np.ndarray, noise: float, trainings: int, rng: np.random.Generator) -> Hits:
    """Which predictions of several networks on the same people are right."""
    k = len(truths)

    def part(name: str, *shape: int) -> np.ndarray:
        common, own = rng.standard_normal((1, *shape)), rng.standard_normal((k, *shape))
        return np.sqrt(PARTS[name]) * (np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * own)

    fixed = part("subject", SUBJECTS)[:, SUBJECT_OF] + part("sequence", SEQUENCES)
    images = (fixed[..., None] + part("frame", SEQUENCES, FRAMES)).reshape(k, -1)
    sd = np.array([shift_sd(float(t), noise) for t in truths])
    level = ndtri(truths) * np.sqrt(1 + sd**2)
    shift = level[:, None] + sd[:, None] * rng.standard_normal((k, trainings))
    return images[:, None, :] + shift[..., None] > 0


def one(hits: Hits, elsewhere: SeedNoise | None = None) -> Estimate:
    """Of the first training alone."""
    return accuracy_estimate(hits[0], GROUPS, elsewhere=elsewhere)


def three(hits: Hits) -> Estimate:
    """Of all trainings of one network."""
    rounds = np.repeat(np.arange(len(hits)), len(GROUPS))
    return accuracy_estimate(hits.ravel(), np.tile(GROUPS, len(hits)), rounds)


def noise_elsewhere(noise: float, rng: np.random.Generator) -> SeedNoise:
    """Measured on four other networks, three trainings each."""
    hits = draw(np.full(4, 0.92), noise, 3, rng)
    rounds = np.repeat(np.arange(3), len(GROUPS))
    found = pooled_noise(n for h in hits if (n := seed_noise(h.ravel(), np.tile(GROUPS, 3), rounds)))
    assert found is not None
    return found


SIZES = np.bincount(GROUPS).astype(float)
DRAWS = np.random.default_rng(0).multinomial(SUBJECTS, np.full(SUBJECTS, 1 / SUBJECTS), size=RESAMPLES).astype(float)


def bootstrap(hits: Hits, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap over subjects of first trainings: lower and upper bounds, shape (networks,)."""
    totals = np.array([np.bincount(GROUPS, weights=h[0]) for h in hits])
    shares = totals @ DRAWS.T / (DRAWS @ SIZES)
    return np.quantile(shares, 1 - confidence, axis=1), np.quantile(shares, confidence, axis=1)


WAYS: dict[str, Callable[[Hits, SeedNoise], Estimate]] = {
    "one training": lambda h, _: one(h),
    "one + noise known": one,
    "three trainings": lambda h, _: three(h),
}


def coverage(simulations: int, noises: tuple[float, ...]) -> None:
    print(f"## coverage of intervals, {simulations} simulations a row\n")
    print("| true | noise | interval | both sides, 95 % | lower, 95 % | upper, 95 % | half width, points |")
    print("|---|---|---|---|---|---|---|")
    for truth, noise in itertools.product(TRUTHS, noises):
        rng = np.random.default_rng([1, round(1e4 * truth), round(1e4 * noise)])
        found: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in ("bootstrap", *WAYS)}
        for _ in range(simulations):
            hits = draw(np.array([truth]), noise, 3, rng)
            elsewhere = noise_elsewhere(noise, rng)
            ends = [float(e[0]) for c in (0.975, 0.95) for e in bootstrap(hits, c)]
            found["bootstrap"].append((ends[0], ends[1], ends[2], ends[3]))
            for name, way in WAYS.items():
                e = way(hits[0], elsewhere)
                found[name].append((e.low(0.975), e.high(0.975), e.low(0.95), e.high(0.95)))
        for name, rows in found.items():
            low, high, lower, upper = np.array(rows).T
            shown = [np.mean((low <= truth) & (truth <= high)), np.mean(lower <= truth), np.mean(truth <= upper)]
            cells = " | ".join(f"{s:.1%}" for s in shown)
            print(f"| {truth:.0%} | {100 * noise:g} | {name} | {cells} | {50 * np.mean(high - low):.2f} |", flush=True)


def few(simulations: int) -> None:
    """The same intervals where one fold, or a small set, tests on few subjects."""
    print(f"## coverage with few subjects, no noise, {simulations} simulations a row\n")
    print("| subjects | true | both sides, 95 % | lower, 95 % | upper, 95 % | half width, points |")
    print("|---|---|---|---|---|---|")
    for count, truth in itertools.product((5, 10, 20, 40), (0.85, 0.92, 0.98)):
        rng = np.random.default_rng([4, count, round(1e4 * truth)])
        chosen = count > GROUPS
        rows = []
        for _ in range(simulations):
            e = accuracy_estimate(draw(np.array([truth]), 0.0, 1, rng)[0, 0, chosen], GROUPS[chosen])
            rows.append((e.low(0.975), e.high(0.975), e.low(0.95), e.high(0.95)))
        low, high, lower, upper = np.array(rows).T
        shown = [np.mean((low <= truth) & (truth <= high)), np.mean(lower <= truth), np.mean(truth <= upper)]
        cells = " | ".join(f"{s:.1%}" for s in shown)
        print(f"| {count} | {truth:.0%} | {cells} | {50 * np.mean(high - low):.1f} |", flush=True)


def population(good: float | None, rng: np.random.Generator) -> np.ndarray:
    """True accuracies of a search's networks: a few good ones among many below the bound; None: all barely below it."""
    if good is None:
        return np.full(CANDIDATES, BOUND - 1e-4)
    truths = rng.choice(np.linspace(0.86, BOUND - 1e-3, 60), CANDIDATES)
    truths[rng.choice(CANDIDATES, GOOD, replace=False)] = good
    return truths


class Tally:
    """Counts what a rule calls ``met`` in many searches."""

    def __init__(self) -> None:
        self.true = self.false = self.wrong = self.searches = 0

    def add(self, called: np.ndarray, truths: np.ndarray) -> None:
        false = int((called & (truths < BOUND)).sum())
        self.true += int(called.sum()) - false
        self.false += false
        self.wrong += false > 0
        self.searches += 1

    def join(self, other: Tally) -> None:
        self.true += other.true
        self.false += other.false
        self.wrong += other.wrong
        self.searches += other.searches

    def cells(self) -> str:
        called = self.true + self.false
        share = f"{self.false / called:.1%} of {called}" if called else "none called"
        return f"{self.true / (GOOD * self.searches):.0%} | {share} | {self.wrong / self.searches:.1%}"


def claims(searches: int, noises: tuple[float, ...]) -> None:
    print(f"\n## networks called met, bound {BOUND:.0%}; {searches} searches of {CANDIDATES} networks a row\n")
    print(f"{GOOD} good networks, the others truly 86 % to 91.9 %; or all 91.99 %: then each one called is false.\n")
    print("| good | noise | rule | good ones called | false among the called | searches with a false one |")
    print("|---|---|---|---|---|---|")
    rules = ("naive", "bootstrap", "uncorrected", *WAYS)
    together = {(noise, name): Tally() for noise in noises for name in rules}
    for noise, good in itertools.product(noises, (0.93, 0.94, 0.95, 0.96, 0.98, None)):
        rng = np.random.default_rng([2, round(1e4 * noise), round(1e4 * (good or 0))])
        tallies = {name: Tally() for name in rules}
        for _ in range(searches):
            truths = population(good, rng)
            hits = draw(truths, noise, 3, rng)
            elsewhere = noise_elsewhere(noise, rng)
            strict = corrected_confidence(0.95, CANDIDATES)
            tallies["naive"].add(hits[:, 0].mean(1) >= BOUND, truths)
            tallies["bootstrap"].add(bootstrap(hits, 0.95)[0] >= BOUND, truths)
            tallies["uncorrected"].add(np.array([one(h).low(0.95) for h in hits]) >= BOUND, truths)
            for name, way in WAYS.items():
                tallies[name].add(np.array([way(h, elsewhere).low(strict) for h in hits]) >= BOUND, truths)
        for name, tally in tallies.items():
            rule = f"corrected, {name}" if name in WAYS else name
            shown = tally.cells() if good else "- | " + tally.cells().split(" | ", 1)[1]
            print(f"| {f'{good:.0%}' if good else 'none'} | {100 * noise:g} | {rule} | {shown} |", flush=True)
            if good:
                together[noise, name].join(tally)
    for (noise, name), tally in together.items():
        print(f"| 93 to 98% | {100 * noise:g} | {f'corrected, {name}' if name in WAYS else name} | {tally.cells()} |")


def holm(p: np.ndarray, alpha: float) -> np.ndarray:
    """Holm 1979."""
    order = np.argsort(p, kind="stable")
    passed = np.cumprod(p[order] <= alpha / (len(p) - np.arange(len(p)))).astype(bool)
    called = np.zeros(len(p), bool)
    called[order[passed]] = True
    return called


def benjamini_hochberg(p: np.ndarray, alpha: float) -> np.ndarray:
    """Benjamini & Hochberg 1995."""
    order = np.sort(p)
    below = np.flatnonzero(order <= alpha * (1 + np.arange(len(p))) / len(p))
    return p <= (order[below[-1]] if len(below) else -1.0)


def corrections(searches: int) -> None:
    """What each rule for many tests finds and gets wrong, on the same p-values, in the order of the search."""
    i = 1 + np.arange(CANDIDATES)
    levels = {
        "none: 5 % each": np.full(CANDIDATES, 0.05),
        "Bonferroni (ours)": np.full(CANDIDATES, 1 - corrected_confidence(0.95, CANDIDATES)),
        "tested so far, never judged again": np.array([1 - corrected_confidence(0.95, int(n)) for n in i]),
        "spending 6 / (pi i)^2": 0.05 * 6 / (np.pi * i) ** 2,
        "spending 1 / (i (i + 1))": 0.05 / (i * (i + 1)),
        "blocks: 32 share half, 64 a quarter": 0.05 * np.where(i <= 32, 0.5 / 32, 0.25 / 64),
    }
    print(f"## rules for many tests; {searches} searches of {CANDIDATES} networks a row, no noise\n")
    print(
        "| good | rule | good ones called | false among the called | searches with a false one |\n|---|---|---|---|---|"
    )
    for good in (0.94, 0.96, 0.98, None):
        rng = np.random.default_rng([3, round(1e4 * (good or 0))])
        tallies = {name: Tally() for name in (*levels, "Holm", "Benjamini-Hochberg")}
        for _ in range(searches):
            truths = population(good, rng)
            p = np.array([1 - one(h).confidence_above(BOUND) for h in draw(truths, 0.0, 1, rng)])
            for name, level in levels.items():
                tallies[name].add(p <= level, truths)
            tallies["Holm"].add(holm(p, 0.05), truths)
            tallies["Benjamini-Hochberg"].add(benjamini_hochberg(p, 0.05), truths)
        for name, tally in tallies.items():
            shown = tally.cells() if good else "- | " + tally.cells().split(" | ", 1)[1]
            print(f"| {f'{good:.0%}' if good else 'none'} | {name} | {shown} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000, help="of each coverage; a fifth as many searches")
    parser.add_argument("--noise", type=float, action="append", help="points; may be given several times")
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--corrections", action="store_true")
    arguments = parser.parse_args()
    start = time.perf_counter()
    noises = tuple(n / 100 for n in arguments.noise) if arguments.noise else NOISES
    if arguments.corrections:
        corrections(arguments.simulations)
    elif arguments.few:
        few(arguments.simulations)
    else:
        coverage(arguments.simulations, noises)
        claims(max(arguments.simulations // 5, 1), noises)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
