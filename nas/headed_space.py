"""Any search space, its networks with another end; see :mod:`nas.families.headed`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from nas.architecture import Architecture, Edit, EditKind
from nas.errors import InputError
from nas.families.headed import HeadedArchitecture, HeadedEdit
from nas.head import Head

if TYPE_CHECKING:
    import numpy as np
    from optuna.distributions import BaseDistribution

    from nas.space import SearchSpace

WIDTHS: Final = range(8, 129, 8)  # of the layers behind the landmarks
PROTOTYPE_WIDTH: Final = 32
LAYERS: Final = 2  # behind the landmarks, at most; the prototype has one
_NUMBER: Final = "landmarks_layers"
_FACTORS: Final = {EditKind.NARROW: (1 / 2, 3 / 4), EditKind.WIDEN: (4 / 3, 2)}


def _width_name(layer: int) -> str:
    return f"landmarks_width{layer}"


@dataclass(frozen=True)
class HeadedSpace:
    """The networks of ``trunk`` with ``head``; see :class:`nas.space.SearchSpace` for what every method promises.

    Parameters: those of the trunk; with landmarks also ``landmarks_layers`` (1 or 2), ``landmarks_width1`` and
    ``landmarks_width2`` (8, 16 .. 128), the dense layers behind them.

    Attributes:
        trunk: any space, fit for the images.
        head: of every network.  The widths of its branch are the prototype's; one layer of 32 where there are none.
        shrink: how often the stem halves the images.
    """

    trunk: SearchSpace
    head: Head
    shrink: int = 0

    def __post_init__(self) -> None:
        self._check_branch(self._branch)
        clash = sorted(self.trunk.distributions().keys() & self._own.keys()) if self.head.landmarks else []
        if clash:
            raise InputError(f"the space has parameters of its own called {', '.join(clash)}: rename them")

    @property
    def _branch(self) -> tuple[int, ...]:
        """The prototype's."""
        return self.head.branch or (PROTOTYPE_WIDTH,) * bool(self.head.landmarks)

    def _headed(self, trunk: Architecture, branch: tuple[int, ...]) -> HeadedArchitecture:
        return HeadedArchitecture(trunk, replace(self.head, branch=branch), self.shrink)

    @cached_property
    def prototype(self) -> HeadedArchitecture:
        """The trunk's prototype with the head."""
        return self._headed(self.trunk.prototype, self._branch)

    def adapted(self, input_shape: tuple[int, int, int], classes: int) -> SearchSpace:
        """The same for images of ``input_shape`` and, where it answers classes at all, ``classes`` of them."""
        from nas.space import fit_to_data

        return fit_to_data(self, input_shape, classes, replace(self.head, classes=classes if self.head.classes else 0))

    @cached_property
    def _own(self) -> dict[str, BaseDistribution]:
        """The branch's parameters."""
        from optuna.distributions import IntDistribution

        if not self.head.landmarks:
            return {}
        width = IntDistribution(WIDTHS[0], WIDTHS[-1], step=WIDTHS.step)
        return {_NUMBER: IntDistribution(1, LAYERS), **{_width_name(n + 1): width for n in range(LAYERS)}}

    def distributions(self) -> dict[str, BaseDistribution]:
        """The trunk's parameters and the branch's."""
        return {**self.trunk.distributions(), **self._own}

    def to_params(self, architecture: Architecture) -> dict[str, Any]:
        """Parameters of ``architecture``; a layer that is not there takes the prototype's first width."""
        a = self._member(architecture)
        branch, out = a.head.branch, self.trunk.to_params(a.trunk)
        if not branch:
            return out
        widths = [*branch, *(self._branch[0],) * (LAYERS - len(branch))]
        return {**out, _NUMBER: len(branch)} | {_width_name(n): w for n, w in enumerate(widths, 1)}

    def from_params(self, params: Mapping[str, Any]) -> HeadedArchitecture:
        """The architecture of ``params``; the width of a layer beyond the branch's is ignored."""
        trunk = self.trunk.from_params(params)
        if not self._own:
            return self._headed(trunk, ())
        try:
            branch = tuple(int(params[_width_name(n + 1)]) for n in range(int(params[_NUMBER])))
        except KeyError as error:
            raise InputError(f"parameter {error} is missing; a point of this space names every one") from error
        self._check_branch(branch)
        return self._headed(trunk, branch)

    def edits(self, architecture: Architecture) -> tuple[HeadedEdit, ...]:
        """The trunk's, then those of the branch: another width, a layer more at its end, or one of two less."""
        a = self._member(architecture)
        lifted = [HeadedEdit(edit.kind, edit) for edit in self.trunk.edits(a.trunk)]
        return (*lifted, *_branch_edits(a.head.branch))

    def sample(self, rng: np.random.Generator) -> HeadedArchitecture:
        """A random trunk; number and widths of the branch's layers uniform."""
        trunk = self.trunk.sample(rng)
        if not self._own:
            return self._headed(trunk, ())
        layers = int(rng.integers(1, LAYERS + 1))
        return self._headed(trunk, tuple(int(w) for w in rng.choice(WIDTHS, layers)))

    def _member(self, architecture: Architecture) -> HeadedArchitecture:
        a = architecture
        if not isinstance(a, HeadedArchitecture):
            raise InputError(f"a {type(a).__name__} is no member of a space of networks with a head")
        if (replace(a.head, branch=()), a.shrink) != (replace(self.head, branch=()), self.shrink):
            raise InputError(f"{a.head}, image halved {a.shrink} times: not the space's {self.head} and {self.shrink}")
        self._check_branch(a.head.branch)
        return a

    def _check_branch(self, branch: Sequence[int]) -> None:
        most = LAYERS if self.head.landmarks else 0
        if not min(most, 1) <= len(branch) <= most or any(width not in WIDTHS for width in branch):
            raise InputError(
                f"branch {tuple(branch)}: {min(most, 1)} to {most} layers of {WIDTHS[0]}, {WIDTHS[1]} .. {WIDTHS[-1]}"
            )


@dataclass(frozen=True)
class ProvableHeadedSpace(HeadedSpace):
    """Of a trunk that knows its extremes.

    The head's costs grow with the branch's widths and layers, whatever the trunk; so the extremes are those of the
    trunk with the least, or the most, branch.  Where the image is shrunk, pooling behind the stem adds a tensor that
    another stride of the stem would not, so that these are among them as well.
    """

    def cheapest(self) -> tuple[HeadedArchitecture, ...]:
        """See :class:`nas.space.ProvableSpace`."""
        return self._lifted(self.trunk.cheapest(), WIDTHS[:1])  # type: ignore[attr-defined]

    def dearest(self) -> tuple[HeadedArchitecture, ...]:
        """See :class:`nas.space.ProvableSpace`."""
        return self._lifted(self.trunk.dearest(), [WIDTHS[-1]] * LAYERS)  # type: ignore[attr-defined]

    def _lifted(self, trunks: Iterable[Architecture], branch: Sequence[int]) -> tuple[HeadedArchitecture, ...]:
        every = list(trunks)
        if self.shrink:
            every += [edit.apply(a) for a in every for edit in self._strides(a)]
        return tuple(self._headed(trunk, tuple(branch) if self.head.landmarks else ()) for trunk in every)

    def _strides(self, trunk: Architecture) -> list[Edit]:
        return [edit for edit in self.trunk.edits(trunk) if edit.kind is EditKind.RESTRIDE]


def _branch_edits(branch: tuple[int, ...]) -> Iterable[HeadedEdit]:
    for layer, width in enumerate(branch, 1):
        for kind, factors in _FACTORS.items():
            for value in sorted({_snapped(width * factor) for factor in factors}):
                if value != width and (value < width) is (kind is EditKind.NARROW):
                    yield HeadedEdit(kind, None, layer, width, value)
        if len(branch) > 1:
            yield HeadedEdit(EditKind.REMOVE_BLOCK, None, layer)
    if 0 < len(branch) < LAYERS:
        yield HeadedEdit(EditKind.ADD_BLOCK, None, len(branch) + 1)


def _snapped(value: float) -> int:
    """The allowed width nearest to ``value``."""
    return min(WIDTHS, key=lambda width: (abs(width - value), width))
