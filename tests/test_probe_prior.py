"""From probes to edits: which are tried, and whether that is worth listening to."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from planted import lived_in
from scipy.stats import norm, spearmanr
from toy_family import ChainSpace

from nas.architecture import Architecture, EditKind
from nas.errors import InputError
from nas.families.residual import Link, ResidualArchitecture, Stage
from nas.networks.build import build_model, set_weights
from nas.networks.inherit import shapes_of
from nas.networks.links import possible_links
from nas.networks.probes import Gain, Probes, probe
from nas.space import SearchSpace, load_space
from nas.statistics.ranks import RankCorrelation, rank_correlation
from nas.synthesis.encoding import Encoding
from nas.synthesis.merit import FEWEST, ProbeMerit
from nas.synthesis.probe_prior import Forecast, ProbePrior
from nas.synthesis.proposals import SpaceProposals

SPACE = load_space("emotionnet-nano")
SIMULATIONS = 200


def parent_of(space: SearchSpace) -> ResidualArchitecture:
    prototype = space.prototype
    assert isinstance(prototype, ResidualArchitecture)
    return prototype


# Two blocks in the first stage, one and three in the others, and two links into one block.
PARENT = replace(
    parent_of(SPACE),
    stages=(Stage(16, (12, 16)), Stage(32, (24,)), Stage(64, (48, 64, 32))),
    links=(Link(0, 0, 2, 1), Link(1, 0, 2, 1)),
)


@lru_cache(maxsize=1)
def real_probes() -> Probes:
    """Of a network with random weights, on a few images of noise."""
    import tf_keras

    graph = PARENT.graph()
    rng = np.random.default_rng(0)
    model = build_model(graph, tf_keras)
    set_weights(model, lived_in(shapes_of(graph), rng))
    images = rng.normal(0, 1, (8, *graph.input_shape)).astype(np.float32)
    return probe(model, graph, images, rng.integers(0, graph.classes, 8), possible_links(SPACE, PARENT))


def factors_of(probes: Probes | None, merit: ProbeMerit | None = None) -> dict[str, float]:
    prior = ProbePrior(SPACE, {PARENT.id: probes}.get, merit)
    texts = [str(e) for e in SPACE.edits(PARENT)]
    return dict(zip(texts, prior(SPACE.to_params(PARENT), texts), strict=True))


def kinds() -> dict[str, EditKind]:
    return {str(e): e.kind for e in SPACE.edits(PARENT)}


def test_every_edit_has_a_positive_factor_and_every_kind_keeps_its_share() -> None:
    factors = factors_of(real_probes())
    assert min(factors.values()) > 0.1 and max(factors.values()) < 10
    scopes: dict[tuple[EditKind, str], list[float]] = {}
    for edit in SPACE.edits(PARENT):
        scopes.setdefault((edit.kind, edit.scope), []).append(factors[str(edit)])
    for (kind, _), values in scopes.items():
        assert np.mean(values) == pytest.approx(1), kind
        if kind in (EditKind.ADD_BLOCK, EditKind.RESTRIDE):
            assert set(values) == {1.0}
        elif len(values) > 1:
            assert max(values) > 1 > min(values)
    assert {k for k, _ in scopes} == set(EditKind) - {EditKind.RETYPE}  # the space leaves no trait open


def test_parents_without_probes_and_unknown_edits_keep_factor_1() -> None:
    assert set(factors_of(None).values()) == {1.0}
    prior = ProbePrior(SPACE, {PARENT.id: real_probes()}.get)
    assert prior(SPACE.to_params(PARENT), ["narrow nothing 3->2"]).tolist() == [1.0]
    assert (
        prior(SPACE.to_params(SPACE.prototype), [str(e) for e in SPACE.edits(SPACE.prototype)][:3]).tolist() == [1] * 3
    )
    assert prior.forecast(SPACE.to_params(SPACE.prototype), "add_link s1b1->s2b1") is None


def best(factors: dict[str, float], kind: EditKind, without: str = "*") -> str:
    """The likeliest edit of a kind, of single widths alone."""
    return max((e for e in factors if kinds()[e] is kind and without not in e), key=factors.__getitem__)


def test_what_the_probes_praise_is_what_becomes_likelier() -> None:
    """Probes of which one finding is changed so that one edit of each kind must come first."""
    probes = real_probes()
    gains = {pair: Gain(0.0, 1.0) for pair in probes.gains} | {("s1b2_out", "s3b2_add"): Gain(1.0, 0.1)}
    assert best(factors_of(replace(probes, gains=gains)), EditKind.ADD_LINK) == "add_link s1b2->s3b2"
    even = {group: 1 + np.arange(len(v)) * 1e-9 for group, v in probes.importance.items()}
    spare = np.ones(48)
    spare[[7, 20, 21, 40, 41, 42, 43, 44, 45, 46, 47, 1]] = 0
    factors = factors_of(replace(probes, importance=even | {"s3b1_conv1": spare}))
    assert best(factors, EditKind.NARROW).startswith("narrow s3b1 48->36")  # twelve channels carry nothing
    ranks = dict.fromkeys(probes.rank, 2.0) | {"s1b2_conv1": 15.9}
    assert best(factors_of(replace(probes, rank=ranks)), EditKind.WIDEN).startswith("widen s1b2 16")
    branches = dict.fromkeys(probes.branches, 1.0) | {"s3b3_conv2_bn": 0.001}
    assert best(factors_of(replace(probes, branches=branches)), EditKind.REMOVE_BLOCK) == "remove_block s3b3"
    links = {("s1b1_out", "s3b2_add"): 0.5, ("s2b1_out", "s3b2_add"): 0.1}
    assert probes.links.keys() == links.keys()
    assert best(factors_of(replace(probes, links=links)), EditKind.REMOVE_LINK) == "remove_link s2b1->s3b2"


def test_a_forecast_names_the_probe_and_the_rank() -> None:
    gains = {pair: Gain(0.0, 1.0) for pair in real_probes().gains} | {("s1b2_out", "s3b2_add"): Gain(1.0, 0.1)}
    prior = ProbePrior(SPACE, {PARENT.id: replace(real_probes(), gains=gains)}.get)
    params, count = SPACE.to_params(PARENT), len(gains)
    assert prior.forecast(params, "add_link s1b2->s3b2") == Forecast("add_link", (count - 0.5) / count)
    other = prior.forecast(params, "add_link s1b1->s1b2")
    assert other is not None and other.rank == pytest.approx((count / 2 - 0.5) / count)  # of the equal rest
    assert prior.forecast(params, "add_block s1b1") is None


def test_a_probe_without_merit_has_factor_1_and_is_still_forecast() -> None:
    merit = ProbeMerit()
    prior = ProbePrior(SPACE, {PARENT.id: real_probes()}.get, merit)
    params = SPACE.to_params(PARENT)
    links, cuts = ([e for e, k in kinds().items() if k is kind] for kind in (EditKind.ADD_LINK, EditKind.NARROW))
    assert len(set(prior(params, links))) > 2
    for i in range(40):
        merit.record("add_link", i / 40, -float(i))
    assert set(prior(params, links)) == {1.0}
    assert len(set(prior(params, cuts))) > 2
    assert prior.forecast(params, links[0]) is not None
    for i in range(400):
        merit.record("add_link", i / 400, float(i))
    assert len(set(prior(params, links))) > 2  # it came back


def test_probes_that_come_later_are_heard_by_the_proposals() -> None:
    known: dict[str, Probes] = {}
    encoding = Encoding(SPACE.distributions())
    proposals = SpaceProposals(encoding, SPACE, ProbePrior(SPACE, known.get))
    odds = proposals.first(2).mixed(np.array([0.5, 0.5]))
    row = encoding.encode(SPACE.to_params(PARENT))

    def share() -> float:
        """Of added links, how often it is the praised one, among single edits drawn first."""
        draws = [proposals.children(row, odds, 1, np.random.default_rng(i))[0].edits[0] for i in range(600)]
        links = [e for e in draws if e.startswith("add_link")]
        return links.count("add_link s1b2->s3b2") / len(links)

    before = share()
    gains = {pair: Gain(0.0, 1.0) for pair in real_probes().gains} | {("s1b2_out", "s3b2_add"): Gain(1.0, 0.1)}
    known[PARENT.id] = replace(real_probes(), gains=gains)
    assert share() > 2 * before + 0.02


def test_edits_of_another_family_have_factors_too() -> None:
    import tf_keras

    space = ChainSpace()
    parent: Architecture = space.prototype
    graph = parent.graph()
    rng = np.random.default_rng(0)
    model = build_model(graph, tf_keras)
    found = probe(model, graph, rng.random((16, 16, 16, 1)).astype(np.float32), rng.integers(0, 3, 16))
    edits = [str(e) for e in space.edits(parent)]
    factors = dict(zip(edits, ProbePrior(space, {parent.id: found}.get)(space.to_params(parent), edits), strict=True))
    assert len({round(f, 6) for e, f in factors.items() if e.startswith("narrow")}) > 1
    assert all(f > 0 for f in factors.values())


# Merit.


def pairs(rho: float, count: int, rng: np.random.Generator) -> tuple[list[float], list[float]]:
    """Ranks and gains of a bivariate normal whose Spearman correlation is ``rho``."""
    pearson = 2 * np.sin(rho * np.pi / 6)
    x, e = rng.standard_normal((2, count))
    return norm.cdf(x).tolist(), (0.02 * (pearson * x + np.sqrt(1 - pearson**2) * e)).tolist()


def switched_off(rho: float, count: int) -> float:
    """Share of simulated runs in which the probe is off after ``count`` pairs."""
    off = 0
    for seed in range(SIMULATIONS):
        merit = ProbeMerit()
        for predicted, gain in zip(*pairs(rho, count, np.random.default_rng([seed, count])), strict=True):
            merit.record("add_link", predicted, gain)
        off += not merit.useful("add_link")
    return off / SIMULATIONS


def test_noise_is_switched_off_and_what_predicts_stays_on() -> None:
    assert switched_off(0.0, 80) >= 0.9
    assert switched_off(-0.3, 30) >= 0.9
    assert switched_off(0.5, 30) <= 0.05
    assert switched_off(0.5, 80) <= 0.02


def test_merit_waits_for_pairs_and_does_not_depend_on_their_order() -> None:
    merit, other = ProbeMerit(), ProbeMerit()
    for i in range(FEWEST - 1):
        merit.record("narrow", i, -i)
    assert merit.useful("narrow") and merit.of("narrow").pairs == FEWEST - 1
    merit.record("narrow", FEWEST, -FEWEST)
    assert not merit.useful("narrow")
    assert merit.useful("add_link") and merit.of("add_link").correlation is None
    for i in reversed([*range(FEWEST - 1), FEWEST]):
        other.record("narrow", i, -i)
    assert other.all() == merit.all()
    shown = merit.of("narrow").to_json()
    assert shown["pairs"] == FEWEST and shown["useful"] is False
    assert shown["correlation"] == pytest.approx(-1) and shown["low"] <= shown["high"] < -0.9
    with pytest.raises(InputError, match="finite"):
        merit.record("narrow", float("nan"), 0.0)


def test_gains_that_are_all_the_same_say_nothing() -> None:
    merit = ProbeMerit()
    for i in range(100):
        merit.record("widen", i, 0.0)
    assert merit.of("widen").to_json() == {"pairs": 100, "useful": True}


def test_the_interval_of_a_rank_correlation_covers() -> None:
    for rho in (0.0, 0.5):
        inside = 0
        for seed in range(400):
            found = rank_correlation(*pairs(rho, 40, np.random.default_rng(seed)))
            assert found is not None
            inside += found.low(0.95) <= rho <= found.high(0.95)
        assert 0.86 <= inside / 400 <= 0.94  # nominal 90 %, error 1.5 points
    x, y = pairs(0.4, 30, np.random.default_rng(0))
    found = rank_correlation(x, y)
    assert found == RankCorrelation(float(spearmanr(x, y).statistic), 30)
    assert rank_correlation([1, 2], [1, 2]) is None and rank_correlation([1] * 9, list(range(9))) is None
    assert RankCorrelation(1.0, 10).low(0.9) < 1
    with pytest.raises(ValueError, match="pairs"):
        rank_correlation([1], [1, 2])
    with pytest.raises(ValueError, match="confidence"):
        RankCorrelation(0.1, 10).high(1)
