"""What a search knows of a point before it is evaluated: exact costs, and what the indicator makes of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nas.cost import Cost
from nas.indicator import COSTS, Indicator, Status, Step, overall
from nas.pareto import Objective
from nas.space import SearchSpace

_KEPT: Final = 20_000


class FreeKnowledge:
    """The two callables that samplers take.

    Args:
        space: whose parameters are asked about.
        indicator: of the search; its exact costs count.
        objectives: in the study's order.
    """

    def __init__(self, space: SearchSpace, indicator: Indicator, objectives: Sequence[Objective]) -> None:
        self._space = space
        self._indicator = indicator
        self._objectives = tuple(objectives)
        self._costs: OrderedDict[tuple[Any, ...], Cost] = OrderedDict()

    @property
    def knows_objectives(self) -> bool:
        """Whether an objective is an exact cost."""
        return any(o.name in COSTS for o in self._objectives)

    @property
    def refuses(self) -> bool:
        """Whether the indicator bounds an exact cost."""
        return bool(self._indicator.at(Step.COST))

    def known_objectives(self, params: Mapping[str, Any]) -> tuple[float | None, ...]:
        """The exact costs among the objectives; None for what must be measured."""
        if not self.knows_objectives:
            return (None,) * len(self._objectives)
        known = self._indicator.known(self._cost(params))
        return tuple(known[o.name].value if o.name in COSTS else None for o in self._objectives)

    def feasible(self, params: Mapping[str, Any]) -> bool:
        """Whether the exact costs violate no constraint."""
        if not self.refuses:
            return True
        verdicts = self._indicator.judge(self._indicator.known(self._cost(params)), (Step.COST,), 0.0)
        return overall(verdicts) is not Status.VIOLATED

    def _cost(self, params: Mapping[str, Any]) -> Cost:
        key = tuple(params[name] for name in sorted(params))
        found = self._costs.get(key)
        if found is None:
            found = self._costs[key] = self._space.from_params(params).cost()
            if len(self._costs) > _KEPT:
                self._costs.popitem(last=False)
        return found
