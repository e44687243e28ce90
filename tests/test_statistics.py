"""Intervals, corrections and comparisons: known formulas, laws, and coverage in simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nas.evaluation.metrics import measure_predictions
from nas.statistics.accuracy import (
    SeedNoise,
    accuracy_estimate,
    cluster_df,
    effective_groups,
    pooled_noise,
    seed_noise,
)
from nas.statistics.confusion import class_report, confusion_by_group, jackknife_estimates, scores
from nas.statistics.correction import corrected_confidence
from nas.statistics.estimate import Estimate
from nas.statistics.paired import paired_difference

Hits = np.ndarray


def people(rng: np.random.Generator, n: int, accuracy: float, frames: int = 3) -> tuple[Hits, Hits]:
    """Right or wrong, and whose: subjects with 1 to 5 sequences of equal frames, some subjects harder than others."""
    sequences = rng.integers(1, 6, n)
    of = np.repeat(np.arange(n), sequences)
    latent = stats.norm.ppf(accuracy) + 0.5 * rng.standard_normal(n)[of] + np.sqrt(0.75) * rng.standard_normal(len(of))
    return np.repeat(latent > 0, frames), np.repeat(of, frames)


samples = st.builds(
    lambda seed, n, accuracy: people(np.random.default_rng(seed), n, accuracy),
    st.integers(0, 10_000),
    st.integers(2, 60),
    st.sampled_from([0.05, 0.5, 0.9, 0.99]),
)
confidences = st.sampled_from([0.5, 0.9, 0.95, 0.975, 0.999, 0.99999])


def test_one_image_a_subject_is_the_t_interval_on_the_logit() -> None:
    hit = np.arange(50) >= 6  # 44 of 50
    e = accuracy_estimate(hit, np.arange(50))
    logit, error = math.log(44 / 6), 1 / math.sqrt(49 * 0.88 * 0.12)
    for confidence in (0.9, 0.975):
        t = stats.t.ppf(confidence, 49)
        assert e.low(confidence) == pytest.approx(1 / (1 + math.exp(-(logit - t * error))), rel=1e-12)
        assert e.high(confidence) == pytest.approx(1 / (1 + math.exp(-(logit + t * error))), rel=1e-12)


def test_faultless_and_hopeless_have_the_exact_binomial_bound_over_subjects() -> None:
    groups = np.repeat(np.arange(20), 9)
    faultless, hopeless = (accuracy_estimate(np.full(180, right), groups) for right in (True, False))
    exact = stats.binomtest(20, 20, alternative="greater").proportion_ci(0.95, method="exact").low
    assert (faultless.low(0.95), faultless.high(0.95)) == (pytest.approx(exact), 1.0)
    assert (hopeless.low(0.95), hopeless.high(0.95)) == (0.0, pytest.approx(1 - exact))


def test_one_mistake_does_not_show_more_than_none() -> None:
    groups = np.repeat(np.arange(100), 9)
    lows = []
    for wrong in range(4):
        hit = np.ones(900, bool)
        hit[: 9 * wrong : 9] = False  # one image of each of the first subjects
        lows.append(accuracy_estimate(hit, groups).low(0.95))
    assert lows[0] == pytest.approx(0.05**0.01)
    assert all(low <= lows[0] for low in lows[:3])


@given(samples, confidences)
@settings(max_examples=200, deadline=None)
def test_the_interval_lies_in_0_1_and_holds_the_estimate(sample: tuple[Hits, Hits], confidence: float) -> None:
    e = accuracy_estimate(*sample)
    assert e.value == pytest.approx(sample[0].mean())
    assert 0 <= e.low(confidence) <= e.value <= e.high(confidence) <= 1


@given(samples)
@settings(max_examples=100, deadline=None)
def test_more_confidence_is_a_wider_interval(sample: tuple[Hits, Hits]) -> None:
    e = accuracy_estimate(*sample)
    levels = (0.5, 0.8, 0.95, 0.99, 0.9999)
    assert sorted((e.low(c) for c in levels), reverse=True) == [e.low(c) for c in levels]
    assert sorted(e.high(c) for c in levels) == [e.high(c) for c in levels]


@given(samples, st.integers(2, 5))
@settings(max_examples=100, deadline=None)
def test_more_copies_of_the_same_frames_say_nothing_new(sample: tuple[Hits, Hits], copies: int) -> None:
    hit, groups = sample
    one, many = accuracy_estimate(hit, groups), accuracy_estimate(np.tile(hit, copies), np.tile(groups, copies))
    assert many.value == pytest.approx(one.value)
    binomial = one.value * (1 - one.value) / len(hit)
    if one.variance > binomial * (1 + 1e-9):
        assert many.variance == pytest.approx(one.variance)
        assert many.low(0.95) == pytest.approx(one.low(0.95))
        assert many.high(0.95) == pytest.approx(one.high(0.95))


@given(samples)
@settings(max_examples=100, deadline=None)
def test_right_and_wrong_mirror_each_other(sample: tuple[Hits, Hits]) -> None:
    hit, groups = sample
    right, wrong = accuracy_estimate(hit, groups), accuracy_estimate(~hit, groups)
    assert right.low(0.95) == pytest.approx(1 - wrong.high(0.95), abs=1e-12)


@given(samples, st.floats(0.02, 0.98))
@settings(max_examples=100, deadline=None)
def test_the_confidence_above_a_bound_is_where_the_lower_bound_meets_it(
    sample: tuple[Hits, Hits], bound: float
) -> None:
    e = accuracy_estimate(*sample)
    reached = e.confidence_above(bound)
    assert 0 <= reached <= 1
    if 0.5 < reached < 1 - 1e-9:
        assert e.low(reached) == pytest.approx(bound, abs=1e-6)
    elif reached == 1:
        assert e.low(1 - 1e-15) >= bound
    elif e.value < bound:
        assert reached <= 0.5


def test_fewer_subjects_are_a_wider_interval() -> None:
    hit, groups = people(np.random.default_rng(3), 120, 0.85)
    widths = []
    for n in (120, 60, 30, 15, 8):
        spread = []
        for first in range(0, 120 - n + 1, n):
            chosen = (groups >= first) & (groups < first + n)
            e = accuracy_estimate(hit[chosen], groups[chosen])
            spread.append(e.high(0.95) - e.low(0.95))
        widths.append(np.mean(spread))
    assert all(few > many * 1.2 for many, few in itertools.pairwise(widths))


def test_very_few_subjects() -> None:
    one = accuracy_estimate(np.array([True, True, False]), np.zeros(3, int))
    assert (one.low(0.95), one.high(0.95)) == (0, 1)
    two = accuracy_estimate(np.array([True, True, False, True, True, True]), np.repeat([0, 1], 3))
    assert two.low(0.95) < 0.25
    assert two.high(0.95) > 0.99
    with pytest.raises(ValueError, match="no prediction"):
        accuracy_estimate(np.zeros(0, bool), np.zeros(0, int))
    alike = accuracy_estimate(np.tile([True, True, True, False], 6), np.repeat(np.arange(6), 4))
    assert alike.variance == pytest.approx(0.75 * 0.25 / 24)  # no spread between subjects is no certainty


def test_seed_noise_is_the_variance_between_rounds() -> None:
    rng = np.random.default_rng(0)
    shares = np.array([0.9, 0.8, 0.88])
    groups = np.tile(np.repeat(np.arange(50), 10), 3)
    rounds = np.repeat([4, 7, 9], 500)
    hit = np.concatenate([rng.permutation(np.arange(500) < 500 * s) for s in shares])
    found = seed_noise(hit, groups, rounds)
    assert found is not None
    assert (found.variance, found.df) == (pytest.approx(shares.var(ddof=1)), 2)
    e = accuracy_estimate(hit, groups, rounds)
    assert e.luck == pytest.approx(found.variance / 3)
    plain = accuracy_estimate(hit, groups)
    assert (e.value, e.variance) == (pytest.approx(plain.value), pytest.approx(plain.variance, rel=2))
    assert e.low(0.95) < plain.low(0.95)
    assert 2 < e.df < 49
    # Satterthwaite: (V + L)^2 / (V^2 / 49 + L^2 / 2)
    assert e.df == pytest.approx((e.variance + e.luck) ** 2 / (e.variance**2 / 49 + e.luck**2 / 2))


def test_no_repeats_no_seed_noise() -> None:
    hit, groups = people(np.random.default_rng(0), 20, 0.8)
    assert seed_noise(hit, groups, np.zeros(len(hit), int)) is None
    assert seed_noise(hit, groups, groups % 2) is None  # two trainings, but no subject that both were tested on
    assert accuracy_estimate(hit, groups, np.zeros(len(hit), int)) == accuracy_estimate(hit, groups)
    assert pooled_noise([]) is None


def test_repeats_are_no_new_images() -> None:
    alike, groups = np.tile([True, True, True, False], 6), np.repeat(np.arange(6), 4)
    once = accuracy_estimate(alike, groups)
    thrice = accuracy_estimate(np.tile(alike, 3), np.tile(groups, 3), np.repeat([0, 1, 2], 24))
    assert thrice.variance == pytest.approx(once.variance)
    assert thrice.luck == 0
    assert thrice.low(0.95) == pytest.approx(once.low(0.95))


def test_noise_from_elsewhere_is_pooled_and_widens() -> None:
    pooled = pooled_noise([SeedNoise(1e-4, 2), SeedNoise(4e-4, 4)])
    assert pooled is not None
    assert (pooled.variance, pooled.df) == (pytest.approx(3e-4), 6)
    hit, groups = people(np.random.default_rng(1), 100, 0.93)
    plain, noisy = accuracy_estimate(hit, groups), accuracy_estimate(hit, groups, elsewhere=pooled)
    assert noisy.luck == pytest.approx(3e-4)
    t = stats.t.ppf(0.95, noisy.df)
    subjects = Estimate(plain.value, plain.variance, noisy.df, 100, plain.mistaken, plain.right).low(0.95)
    assert noisy.low(0.95) == pytest.approx(plain.value - math.hypot(plain.value - subjects, t * math.sqrt(3e-4)))


def test_coverage_of_accuracy() -> None:
    """The interval of 95 % holds the truth in 93 to 97 % of 1,500 draws of 100 subjects, and each side in its share.

    Of 98 % a hundred subjects make some six mistakes: with so few the lower side errs on the safe one.
    """
    for truth, seed, most in ((0.85, 1, 0.97), (0.95, 2, 0.97), (0.98, 3, 0.98)):
        rng = np.random.default_rng(seed)
        low_missed = high_missed = 0
        for _ in range(1500):
            e = accuracy_estimate(*people(rng, 100, truth))
            low_missed += e.low(0.975) > truth  # the latent variance is 1
            high_missed += e.high(0.975) < truth
        assert 0.93 <= 1 - (low_missed + high_missed) / 1500 <= most, truth
        assert max(low_missed, high_missed) <= 0.04 * 1500  # 2.5 % and three standard errors


def test_coverage_with_few_subjects() -> None:
    """The t distribution makes up for a variance that rests on few; nearer to 1 the interval errs on the wide side."""
    for n, truth, most in ((8, 0.8, 1.0), (20, 0.85, 0.975), (20, 0.95, 1.0)):
        rng = np.random.default_rng([n, round(100 * truth)])
        found = [accuracy_estimate(*people(rng, n, truth)) for _ in range(1000)]
        held = np.mean([e.low(0.975) <= truth <= e.high(0.975) for e in found])
        assert 0.93 <= held <= most, (n, truth)
        assert np.mean([e.low(0.95) <= truth for e in found]) >= 0.93, (n, truth)


def test_coverage_with_noise_between_trainings() -> None:
    """Luck of 1.4 points that a training has with all subjects: seen with three trainings, and missed with one."""
    rng = np.random.default_rng(4)
    held = {"one": 0, "three": 0}
    truth, draws, of = 0.92, 1000, np.repeat(np.arange(118), 3)
    shift = 0.014 / stats.norm.pdf(stats.norm.ppf(truth))
    level = stats.norm.ppf(truth) * math.sqrt(1 + shift**2)
    for _ in range(draws):
        fixed = 0.5 * rng.standard_normal(118)[of] + math.sqrt(0.75) * rng.standard_normal(len(of))
        hits = fixed + level + shift * rng.standard_normal((3, 1)) > 0
        one = accuracy_estimate(hits[0], of)
        three = accuracy_estimate(hits.ravel(), np.tile(of, 3), np.repeat(np.arange(3), len(of)))
        for name, e in (("one", one), ("three", three)):
            held[name] += e.low(0.975) <= truth <= e.high(0.975)
    assert 0.93 <= held["three"] / draws <= 0.975
    assert held["one"] / draws <= 0.91


def labelled(rng: np.random.Generator) -> tuple[Hits, Hits, Hits]:
    """Labels, predictions and subjects of three classes, one of them rare and hard."""
    subjects = np.repeat(np.arange(60), 4)
    labels = rng.choice(3, 240, p=[0.5, 0.4, 0.1])
    ease = np.array([1.6, 1.4, 0.8])[labels]
    right = ease + 0.5 * rng.standard_normal(60)[subjects] + math.sqrt(0.75) * rng.standard_normal(240) > 0
    return labels, np.where(right, labels, (labels + 1) % 3), subjects


def test_coverage_of_balanced_accuracy_and_macro_f1() -> None:
    rng = np.random.default_rng(5)
    large = np.zeros((3, 3))
    for _ in range(1500):
        labels, predicted, groups = labelled(rng)
        large += confusion_by_group(labels, predicted, np.zeros_like(groups), 3)[0]
    truth = scores(large)
    held = dict.fromkeys(("balanced_accuracy", "macro_f1"), 0)
    for _ in range(800):
        labels, predicted, groups = labelled(rng)
        for name, e in jackknife_estimates(confusion_by_group(labels, predicted, groups, 3).astype(float)).items():
            held[name] += e.low(0.975) <= float(truth[name]) <= e.high(0.975)
    assert all(0.925 <= count / 800 <= 0.975 for count in held.values()), held


def test_jackknife_by_leaving_each_subject_out() -> None:
    from sklearn.metrics import f1_score

    labels, predicted, groups = labelled(np.random.default_rng(1))
    without = [f1_score(labels[groups != g], predicted[groups != g], average="macro") for g in range(60)]
    found = jackknife_estimates(confusion_by_group(labels, predicted, groups, 3).astype(float))["macro_f1"]
    assert found.variance == pytest.approx(59 / 60 * sum((s - np.mean(without)) ** 2 for s in without))
    assert (found.df, found.groups) == (59, min(60, 3 * len(np.unique(groups[labels == 2]))))
    # One class, one image a subject: the recall of that class is the accuracy.
    one = confusion_by_group(np.zeros(50, int), (np.arange(50) < 6).astype(int), np.arange(50), 2)
    assert jackknife_estimates(one.astype(float))["balanced_accuracy"].variance == pytest.approx(0.88 * 0.12 / 49)


def test_scores_are_scikit_learns() -> None:
    from sklearn.metrics import balanced_accuracy_score, f1_score

    labels, predicted, groups = labelled(np.random.default_rng(0))
    found = scores(confusion_by_group(labels, predicted, groups, 3).astype(float).sum(0))
    assert found["accuracy"] == pytest.approx((labels == predicted).mean())
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))


def test_measured_metrics_say_how_and_what_is_missing() -> None:
    labels, predicted, groups = labelled(np.random.default_rng(0))
    told = {"classes": 3, "confidence": 0.95, "group_kind": "subjects"}
    plain = measure_predictions(labels, predicted, groups, **told)  # type: ignore[arg-type]
    e = accuracy_estimate(labels == predicted, groups)
    accuracy = plain["accuracy"]
    assert (accuracy.value, accuracy.low, accuracy.high) == (e.value, e.low(0.95), e.high(0.95))
    assert accuracy.n == 240
    assert accuracy.provenance == (
        "cluster-t over 60 subjects, without the variance between trainings (no repeats), one-sided 0.95"
    )
    assert plain["macro_f1"].provenance.startswith("jackknife-t over 60 subjects, without the variance")
    noisy = measure_predictions(labels, predicted, groups, elsewhere=SeedNoise(4e-4, 6), **told)  # type: ignore[arg-type]
    assert noisy["accuracy"].low < accuracy.low
    assert "with the variance between trainings of other networks (6 df)" in noisy["accuracy"].provenance
    for right in (True, False):
        found = measure_predictions(labels, labels if right else (labels + 1) % 3, groups, **told)  # type: ignore[arg-type]
        assert {m.value for m in found.values()} == {float(right)}
        assert all(m.high - m.low == pytest.approx(1 - 0.05 ** (1 / 60)) for m in [found["accuracy"]])


def test_corrected_confidence() -> None:
    assert corrected_confidence(0.95, 1) == pytest.approx(0.95)
    assert corrected_confidence(0.95, 50) == pytest.approx(0.999)
    assert corrected_confidence(0.95, 3, planned=50) == corrected_confidence(0.95, 50)
    assert corrected_confidence(0.95, 60, planned=50) == corrected_confidence(0.95, 60)
    for tested, planned in ((0, None), (1, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            corrected_confidence(0.95, tested, planned)
    with pytest.raises(ValueError, match=r"0\.5\.\.1"):
        corrected_confidence(0.4, 1)


@given(st.floats(0.5, 0.9999), st.integers(1, 500), st.integers(1, 500))
def test_laws_of_the_correction(confidence: float, tested: int, more: int) -> None:
    strict = corrected_confidence(confidence, tested)
    assert confidence - 1e-12 <= strict < 1
    assert corrected_confidence(confidence, tested + more) > strict
    assert tested * (1 - strict) == pytest.approx(1 - confidence)  # what all tests may get wrong together


def test_of_networks_called_met_few_searches_have_a_false_one() -> None:
    """All networks truly 0.1 points below the bound: naive selection is nearly always wrong, corrected rarely."""
    rng = np.random.default_rng(6)
    naive = plain = corrected = 0
    searches, networks, bound = 200, 20, 0.92
    strict = corrected_confidence(0.95, networks)
    for _ in range(searches):
        estimates = [accuracy_estimate(*people(rng, 100, bound - 0.001)) for _ in range(networks)]
        naive += any(e.value >= bound for e in estimates)
        plain += any(e.low(0.95) >= bound for e in estimates)
        corrected += any(e.low(strict) >= bound for e in estimates)
    assert naive >= 0.99 * searches
    assert plain >= 0.4 * searches
    assert corrected <= 0.08 * searches  # 5 %, and two standard errors of 200 draws


def test_a_planted_difference_is_told_and_a_copy_is_not() -> None:
    rng = np.random.default_rng(7)
    first, groups = people(rng, 100, 0.9)
    assert paired_difference(first, first.copy(), groups).indistinguishable
    assert paired_difference(first, first, groups).high == 0
    worse = first.copy()
    worse[np.flatnonzero(first)[rng.permutation(int(first.sum()))[:45]]] = False
    found = paired_difference(first, worse, groups)
    assert found.value == pytest.approx(45 / len(first))
    assert found.low > 0
    assert not paired_difference(first, worse, groups).indistinguishable
    back = paired_difference(worse, first, groups)
    assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low))
    # Unpaired, the same two intervals overlap widely.
    assert accuracy_estimate(worse, groups).high(0.975) > accuracy_estimate(first, groups).low(0.975)
    assert paired_difference(first, worse, groups, noise=SeedNoise(4e-4, 6)).indistinguishable


def test_equal_networks_with_own_luck_are_told_apart_in_one_of_twenty() -> None:
    rng = np.random.default_rng(8)
    apart = 0
    for _ in range(1000):
        of = np.repeat(np.arange(80), 3)
        shared = 1.3 + 0.5 * rng.standard_normal(80)[of]
        first, second = (shared + math.sqrt(0.75) * rng.standard_normal(len(of)) > 0 for _ in range(2))
        apart += not paired_difference(first, second, of).indistinguishable
    assert 0.03 <= apart / 1000 <= 0.07


def test_one_image_a_subject_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(9)
    first, second = rng.random(60) < 0.9, rng.random(60) < 0.6
    found = paired_difference(first, second, np.arange(60))
    known = stats.ttest_rel(first.astype(float), second.astype(float)).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((known.low, known.high))


def test_too_little_to_compare() -> None:
    few = paired_difference(np.array([True, True]), np.array([False, False]), np.zeros(2, int))
    assert (few.value, few.low, few.high) == (1, -1, 1)
    agreed = paired_difference(np.tile([True, False], 2), np.tile([True, True], 2), np.repeat([0, 1], 2))
    assert agreed.low < 0 < agreed.high  # two subjects that agree exactly are no proof
    with pytest.raises(ValueError, match="same images"):
        paired_difference(np.ones(2, bool), np.ones(3, bool), np.zeros(2, int))
    with pytest.raises(ValueError, match="confidence"):
        paired_difference(np.ones(2, bool), np.ones(2, bool), np.zeros(2, int), confidence=1.0)


def test_class_report() -> None:
    table = np.array([[3, 1, 0], [0, 0, 0], [2, 0, 2]])
    assert class_report(table, ("a", "b", "c")) == {
        "classes": ["a", "b", "c"],
        "confusion": [[3, 1, 0], [0, 0, 0], [2, 0, 2]],
        "images": [4, 0, 4],
        "recall": [0.75, None, 0.5],
    }


@pytest.mark.parametrize(
    "sizes", [[200] + [3] * 23, [150, 150] + [3] * 30, [round(3 * 40 / (k + 1)) for k in range(40)]]
)
def test_one_large_subject_does_not_make_it_certain(sizes: list[int]) -> None:
    """Subjects of very unequal size: at 95 % the lower bound was above the truth in up to a third of the samples."""
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(len(sizes)), sizes)
    threshold = 1.405  # of a standard normal variable, for a share of .92
    held = 0
    for _ in range(400):
        subject, image = rng.standard_normal(len(sizes))[of], rng.standard_normal(len(of))
        held += accuracy_estimate(threshold + 0.5 * subject + math.sqrt(0.75) * image > 0, of).low(0.95) <= 0.92
    assert held / 400 > 0.90


def test_equal_subjects_count_each_and_an_endless_one_counts_alone() -> None:
    assert effective_groups(np.full(24, 9.0)) == pytest.approx(24)
    assert effective_groups(np.array([1e9, 1.0, 1.0])) == pytest.approx(1)
    assert cluster_df(np.full(24, 9.0)) == pytest.approx(23)
    assert cluster_df(np.array([4.0])) == 0
