"""Optuna's own contract tests for samplers, on ours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase, RelativeSamplerTestCase

from nas.synthesis import SynthesisSampler
from nas.synthesis.mind import Effects


class TestSynthesisSampler(BasicSamplerTestCase, MultiObjectiveSamplerTestCase, RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: SynthesisSampler(seed=0)


class TestFromTheFirstResult(BasicSamplerTestCase, RelativeSamplerTestCase):
    """The inquisitor is asked as soon as two results are there, so that ten trials exercise it."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: SynthesisSampler(seed=0, effects=Effects(explore=2, children=20, fresh=10))
