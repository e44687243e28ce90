"""How one candidate is evaluated, inside an evaluator process."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.cost import cost_of
from nas.deploy.latency import Latency, measure_latency
from nas.evaluation.bundle import Bundle
from nas.evaluation.job import Job, Setup
from nas.evaluation.metrics import measure_predictions
from nas.evaluation.train import Trainer
from nas.indicator import LATENCY_RATIO, Indicator, Status, Step, Verdict, exact_costs, overall
from nas.measurement import Measurement
from nas.networks.build import build_model, get_weights
from nas.networks.tflite import check_same_output, to_tflite
from nas.run.candidate import Outcome, State
from nas.run.predictions import PREDICTIONS, Predictions

_COMPARED: Final = 8  # images on which a converted file is compared with its model


@dataclass
class Evaluation:
    """Evaluates candidates one after another; keeps the prototype's exported file between them."""

    bundle: Bundle
    setup: Setup
    exclusive: bool
    progress: Callable[[], None] = lambda: None  # called now and then: a sign of life
    _reference: bytes | None = field(default=None, init=False)

    def run(self, job: Job) -> tuple[Outcome, dict[str, bytes]]:
        """The outcome, and the files to keep (weights, predictions, the exported network)."""
        if job.keep is not None:
            return self._predictions_alone(job, job.keep)
        start = time.perf_counter()
        seconds: dict[str, float] = {}
        measurements: dict[str, Measurement] = {}
        trainer = Trainer(job.graph, self.setup.recipe, job.seed)
        seconds.update(trainer.seconds)
        self._measure(trainer.model, measurements, seconds)
        self.progress()
        gate = self._judge(job, measurements, (Step.COST, Step.EXPORT, Step.LATENCY), time.perf_counter() - start)
        worker: dict[str, Any] = {"exclusive_core": self.exclusive}
        if overall(gate) is Status.VIOLATED and not job.reference:
            return Outcome(State.REJECTED, gate, measurements, None, seconds, None, worker), {}
        files = self._train(job, trainer, measurements)
        seconds.update(trainer.seconds)
        begin = time.perf_counter()
        content = to_tflite(trainer.model)
        sample = self.bundle.images[:_COMPARED].astype(np.float32) / np.float32(255)
        worker["conversion_difference"] = check_same_output(trainer.model, content, sample)
        measurements["size_bytes"] = Measurement.exact(len(content), "bytes", "the exported float32 TFLite file")
        seconds["convert"] += time.perf_counter() - begin
        verdicts = self._judge(job, measurements, Step, time.perf_counter() - start, gate)
        files["model.tflite"] = content
        return Outcome(State.TRAINED, verdicts, measurements, str(job.rung), seconds, None, worker), files

    def _judge(
        self,
        job: Job,
        measurements: dict[str, Measurement],
        steps: Any,
        elapsed: float,
        before: tuple[Verdict, ...] = (),
    ) -> tuple[Verdict, ...]:
        """Verdicts in order; those that a cheaper step gave keep what they cost."""
        exact = exact_costs(cost_of(job.graph))
        known = {(v.metric, v.side): v.seconds for v in before}
        verdicts = self.setup.indicator.judge({**exact, **measurements}, tuple(steps), elapsed)
        return tuple(Verdict(v.metric, v.value, v.bound, v.side, v.status, _seconds(v, exact, known)) for v in verdicts)

    def _measure(self, model: Any, measurements: dict[str, Measurement], seconds: dict[str, float]) -> None:
        """Size and latency of the untrained network: they do not depend on the weights' values."""
        begin = time.perf_counter()
        content = to_tflite(model)
        if self._reference is None:
            import tf_keras

            self._reference = to_tflite(build_model(self.setup.prototype, tf_keras))
        seconds["convert"] = time.perf_counter() - begin
        begin = time.perf_counter()
        latency = measure_latency(content, self._reference)
        measurements.update(latency_measurements(latency, self.exclusive))
        measurements["size_bytes"] = Measurement.exact(len(content), "bytes", "exported before training")
        seconds["measure"] = time.perf_counter() - begin

    def _train(self, job: Job, trainer: Trainer, measurements: dict[str, Measurement]) -> dict[str, bytes]:
        """Trains every fold of the rung; adds the trained metrics; returns weights and out-of-fold predictions."""
        b = self.bundle
        tested, probabilities, files = [], [], {}
        folds = range(job.rung.folds) if job.folds is None else job.folds
        for k in reversed(folds):  # fold 0 last: its model is the one that is exported
            train, test = b.folds[k]
            trainer.fit(b.images[train], b.labels[train], job.rung.epochs, k, self.progress)
            tested.append(test)
            probabilities.append(trainer.predict(b.images[test]))
            files[f"weights-fold{k}.npz"] = _npz(**get_weights(trainer.model))
        indices, shares = np.concatenate(tested), np.concatenate(probabilities)
        measurements.update(self._metrics(indices, shares, self.setup.indicator))
        kept = Predictions(indices, shares.astype(np.float32), b.labels[indices], b.groups[indices])
        files[PREDICTIONS] = kept.to_bytes()
        return files

    def _predictions_alone(self, job: Job, name: str) -> tuple[Outcome, dict[str, bytes]]:
        """Trains from fresh weights, and keeps what the network says of the images that it was not trained on."""
        trainer = Trainer(job.graph, self.setup.recipe, job.seed)
        measurements: dict[str, Measurement] = {}
        files = self._train(job, trainer, measurements)
        outcome = Outcome(State.TRAINED, (), measurements, str(job.rung), trainer.seconds)
        return outcome, {name: files[PREDICTIONS]}

    def _metrics(
        self, indices: npt.NDArray[np.int64], shares: npt.NDArray[np.float32], indicator: Indicator
    ) -> dict[str, Measurement]:
        b = self.bundle
        return dict(
            measure_predictions(
                b.labels[indices],
                shares.argmax(1).astype(np.int64),
                b.groups[indices],
                classes=b.classes,
                confidence=indicator.confidence(),
                group_kind=b.group_kind,
            )
        )


def latency_measurements(latency: Latency, exclusive: bool) -> dict[str, Measurement]:
    """``latency_ms`` and, where a reference was timed beside it, ``latency_ratio``."""
    where = "this machine, 1 thread, batch 1, LiteRT with XNNPACK" + ("" if exclusive else ", core shared with others")
    out = {"latency_ms": Measurement(latency.median_ms, latency.low_ms, latency.high_ms, "ms", latency.runs, where)}
    if latency.ratio is not None and latency.ratio_low is not None and latency.ratio_high is not None:
        out[LATENCY_RATIO] = Measurement(
            latency.ratio, latency.ratio_low, latency.ratio_high, "ratio", latency.runs, "to the prototype's, " + where
        )
    # The median over all runs may lie outside the range of the blocks' medians by a hair; an interval contains it.
    return {k: m if m.low <= m.value <= m.high else _widened(m) for k, m in out.items()}


def _widened(m: Measurement) -> Measurement:
    return Measurement(m.value, min(m.low, m.value), max(m.high, m.value), m.unit, m.n, m.provenance)


def _seconds(verdict: Verdict, exact: dict[str, Measurement], known: dict[tuple[str, str], float]) -> float:
    return 0.0 if verdict.metric in exact else round(known.get((verdict.metric, verdict.side), verdict.seconds), 3)


def _npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
