"""A device that is foretold: a linear model of latency over a graph's features, with the error that it showed.

Latency is taken as a sum over operators, each coefficient at least 0, fitted by non-negative least squares of the
relative error (Lawson and Hanson 1974).  Its error is that on networks that were left out of the fit, the choice of the
vector length included.  A prediction rejects early and never certifies: its lower end is what counts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.decoding import field, reason
from nas.devices.features import LANES, NAMES, features
from nas.errors import DecodeError, InputError
from nas.graph import Graph
from nas.measurement import Measurement, is_number

SCHEMA: Final = 1
FLOAT_FILE: Final = "float32 TFLite file"  # of packs; runs say of what they are
LEAST: Final = 20  # networks: of fewer, the residuals tell no 95 % bound
TAIL: Final = 0.05  # on either side of the interval
MARGIN: Final = 0.05  # relative, on top of what the residuals tell
_OUTER: Final = 20  # parts into which the networks are divided, at most, each left out once
_INNER: Final = 10
_MAX_BYTES: Final = 1_000_000

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PredictedDevice:
    """What :func:`fit` found.

    Attributes:
        lanes: see :func:`nas.devices.features.features`.
        coefficients: ms a unit of each feature; of those that no network of the fit had, there is none.
        residuals: sorted logarithms of measured over foretold, each network left out of its fit.
        in_sample_error, cross_validated_error: medians of the absolute relative error.
        source: fingerprint of the device that was measured.
    """

    lanes: int
    coefficients: Mapping[str, float]
    residuals: tuple[float, ...]
    in_sample_error: float
    cross_validated_error: float
    source: Mapping[str, Any]

    @property
    def n(self) -> int:
        """How many networks it was fitted to."""
        return len(self.residuals)

    @property
    def file(self) -> str:
        """Whose latency it foretells."""
        return str(self.source.get("file", FLOAT_FILE))

    def predict(self, graph: Graph) -> Measurement:
        """What a network would take, in ms.

        The interval goes from the k-th smallest to the k-th largest residual, k = floor(0.05 (n + 1)) as conformal
        prediction counts, and :data:`MARGIN` is added.  What no network of the fit had counts nothing, so that for such
        networks the lower end stays one.
        """
        found = features(graph, self.lanes)
        value = sum(c * found[name] for name, c in self.coefficients.items())
        k = max(int(TAIL * (self.n + 1)), 1)
        low = value * min(math.exp(self.residuals[k - 1]), 1.0) * (1 - MARGIN)
        high = value * max(math.exp(self.residuals[-k]), 1.0) * (1 + MARGIN)
        how = f"foretold from {self.n} networks measured on {self.source.get('processor', 'an unknown device')}"
        return Measurement(value, low, high, "ms", self.n, how)

    def unseen(self, graph: Graph) -> list[str]:
        """Features of ``graph`` that no network of the fit had: their cost is not in a prediction."""
        return [n for n, v in features(graph, self.lanes).items() if v > 0 and n not in self.coefficients]

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        return {"schema": SCHEMA, **asdict(self), "residuals": list(self.residuals)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PredictedDevice:
        """Reads what :meth:`to_json` wrote.  Raises DecodeError on anything else."""
        if field(data, "schema", int) != SCHEMA:
            raise DecodeError(f"schema {data['schema']!r:.80} is not {SCHEMA}: written by another version; fit again")
        coefficients, residuals = field(data, "coefficients", dict), field(data, "residuals", list)
        if field(data, "lanes", int) not in LANES:
            raise DecodeError(f"lanes: {data['lanes']!r:.80} is none of {LANES}")
        if not set(coefficients) <= set(NAMES) or not all(is_number(v) and v >= 0 for v in coefficients.values()):
            raise DecodeError("coefficients must be numbers of at least 0, by the names of features")
        if len(residuals) < LEAST or not all(map(is_number, residuals)) or sorted(residuals) != residuals:
            raise DecodeError(f"residuals must be at least {LEAST} numbers in ascending order")
        if max(map(abs, residuals)) > 10 or not any(coefficients.values()):
            raise DecodeError("residuals or coefficients are none of a fit")
        within, across = (field(data, name, int, float) for name in ("in_sample_error", "cross_validated_error"))
        if not all(is_number(e) and e >= 0 for e in (within, across)):
            raise DecodeError(f"errors {within!r}, {across!r} must be numbers of at least 0")
        source = dict(field(data, "source", dict))
        return cls(data["lanes"], dict(coefficients), tuple(residuals), within, across, source)

    @classmethod
    def read(cls, path: Path) -> PredictedDevice:
        """From the file that ``nas device fit`` wrote.  Raises InputError for anything else."""
        try:
            with path.open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
            if len(content) > _MAX_BYTES:
                raise DecodeError(f"more than {_MAX_BYTES} bytes")
            return cls.from_json(json.loads(content))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
        except (ValueError, RecursionError, DecodeError) as error:
            raise InputError(
                f"{path}: not a device as nas device fit writes it ({reason(error)}); fit it again"
            ) from error


def fit(graphs: Sequence[Graph], latencies_ms: Sequence[float], source: Mapping[str, Any]) -> PredictedDevice:
    """Fits a device to what was measured on it.

    Args:
        graphs: of the networks.
        latencies_ms: what each took.
        source: fingerprint of the device.

    Raises:
        InputError: fewer than :data:`LEAST` different networks, or a latency that is no number above 0.
    """
    if not all(is_number(v) and v > 0 for v in latencies_ms):
        raise InputError("latencies must be numbers above 0, in ms; measure again what is not")
    different = len({json.dumps(g.to_json()) for g in graphs})
    if different < LEAST:
        raise InputError(
            f"{different} different networks: a fit needs {LEAST} or more, else its error cannot be told; "
            "measure more (nas device pack --count)"
        )
    y = np.asarray(latencies_ms, float)
    tables = {lanes: np.array([list(features(g, lanes).values()) for g in graphs]) for lanes in LANES}
    rows = np.arange(len(y))
    lanes = _best_lanes(tables, y, rows)
    b = _solve(tables[lanes], y)
    seen = tables[lanes].max(axis=0) > 0
    left_out = np.concatenate([_left_out(tables, y, rows, part) for part in _parts(rows, _OUTER)])
    return PredictedDevice(
        lanes=lanes,
        coefficients={name: float(c) for name, c, there in zip(NAMES, b, seen, strict=True) if there},
        residuals=tuple(sorted(float(r) for r in left_out)),
        in_sample_error=float(np.median(np.abs(tables[lanes] @ b / y - 1))),
        cross_validated_error=float(np.median(np.abs(np.exp(-left_out) - 1))),
        source=dict(source),
    )


def _left_out(tables: Mapping[int, Vector], y: Vector, rows: npt.NDArray[np.int64], part: Vector) -> Vector:
    """Logarithms of measured over foretold for ``part``, of which neither fit nor choice of lanes knows."""
    rest = np.setdiff1d(rows, part)
    lanes = _best_lanes(tables, y, rest)
    foretold = tables[lanes][part] @ _solve(tables[lanes][rest], y[rest])
    return np.asarray(np.log(y[part] / np.maximum(foretold, y[part] * 1e-4)))


def _best_lanes(tables: Mapping[int, Vector], y: Vector, rows: npt.NDArray[np.int64]) -> int:
    """The vector length with the least median error on networks left out."""

    def error(lanes: int) -> float:
        x, errors = tables[lanes], []
        for part in _parts(rows, _INNER):
            rest = np.setdiff1d(rows, part)
            errors.append(np.abs(x[part] @ _solve(x[rest], y[rest]) / y[part] - 1))
        return float(np.median(np.concatenate(errors)))

    return min(tables, key=error)


def _parts(rows: npt.NDArray[np.int64], most: int) -> list[Any]:
    """``rows`` dealt out in turn to at most ``most`` parts."""
    count = min(most, len(rows))
    return [rows[i::count] for i in range(count)]


def _solve(x: Vector, y: Vector) -> Vector:
    """Non-negative coefficients with the least squares of the relative error."""
    from scipy.optimize import nnls  # type: ignore[import-untyped]

    relative = x / y[:, None]
    scale = np.maximum(relative.mean(axis=0), 1e-30)  # features differ by nine orders of magnitude
    found, _ = nnls(relative / scale, np.ones(len(y)))
    return np.asarray(found / scale)
