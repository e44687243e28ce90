"""How one candidate is evaluated, inside an evaluator process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nas.cost import cost_of
from nas.deploy.converted import converted_files, disturbed
from nas.deploy.fingerprint import fingerprint
from nas.deploy.latency import SEARCH, THOROUGH, Latency, LatencyProtocol, measure_latency
from nas.evaluation.bundle import Bundle
from nas.evaluation.climb import Climb
from nas.evaluation.job import Job, Setup
from nas.evaluation.metrics import measure_predictions, measure_values
from nas.evaluation.precision import Precision, precision_of
from nas.evaluation.quiet import Quiet
from nas.evaluation.train import Trainer
from nas.indicator import LATENCY_RATIO, Constraint, Status, Step, Verdict, overall
from nas.measurement import Measurement
from nas.networks.build import build_model
from nas.run.candidate import Outcome, State
from nas.run.predictions import Predictions
from nas.rung import Rung

NEAR: Final = 0.05  # of a latency: a bound this close to its interval is worth a second measurement
LOADED: Final = 0.25  # quotients were seen to be off by up to 15 % where another process had half of the core


@dataclass
class Evaluation:
    """Evaluates candidates one after another; keeps the prototype's exported file between them."""

    bundle: Bundle
    setup: Setup
    exclusive: bool
    quiet: Quiet
    progress: Callable[[], None] = lambda: None  # called now and then: a sign of life
    _reference: bytes | None = field(default=None, init=False)
    _cpu: float = field(default=0.0, init=False)  # seconds of this process up to the last outcome

    @property
    def _precision(self) -> Precision:
        return precision_of(self.setup.quantized)

    def run(
        self,
        job: Job,
        inherited: Mapping[int, bytes] | None = None,
        goes_on: Callable[[Outcome, dict[str, bytes]], bool] = lambda outcome, files: True,
    ) -> tuple[Outcome, dict[str, bytes]] | None:
        """The outcome, and the files to keep (weights, predictions, the exported network).

        Args:
            job: the candidate.
            inherited: weights of its relative as files, by fold.
            goes_on: told of every rung but the last with its outcome and files; False ends the candidate with them.

        Returns:
            None where ``goes_on`` ended it.
        """
        if job.keep is not None:
            return self._files_alone(job, job.keep) if job.converts else self._predictions_alone(job, job.keep)
        start, cpu = time.perf_counter(), self._cpu
        seconds: dict[str, float] = {}
        measurements: dict[str, Measurement] = {}
        trainer = Trainer(job.graph, self.setup.recipe, job.seed)
        seconds.update(trainer.seconds)
        self._measure(trainer.model, measurements, seconds)
        self.progress()
        gate = self._judge(job, measurements, (Step.COST, Step.EXPORT, Step.LATENCY), time.perf_counter() - start)
        worker: dict[str, Any] = {"exclusive_core": self.exclusive, "device": fingerprint().hash}
        if overall(gate) is Status.VIOLATED and not job.reference:
            return Outcome(State.REJECTED, gate, measurements, None, seconds, None, self._spent(worker, cpu)), {}
        climb = Climb(job, trainer, self.bundle, inherited or {}, self.progress, self._precision)

        def outcome(rung: Rung) -> Outcome:
            measurements.update(self._metrics(climb.predictions()))
            verdicts = self._judge(job, measurements, Step, time.perf_counter() - start, gate)
            spent = {**seconds, **trainer.seconds}
            told, effort = self._spent(worker, cpu), str(rung)
            return Outcome(State.TRAINED, verdicts, {**measurements}, effort, spent, None, told, climb.inheritance)

        for rung in job.ladder[:-1]:
            climb.to(rung)
            if not goes_on(outcome(rung), climb.predicted()):  # who ends here hands no weights down
                return None
        climb.to(job.ladder[-1])
        content = self._export(trainer.model, measurements, seconds, worker)
        return outcome(job.ladder[-1]), {**climb.files(), self._precision.file: content}

    def _spent(self, worker: Mapping[str, Any], before: float) -> dict[str, Any]:
        """What is told of this process: also the CPU time since ``before``; its loading with the first candidate's."""
        self._cpu = time.process_time()
        return {**worker, "cpu_seconds": round(self._cpu - before, 3)}

    def _export(
        self, model: Any, measurements: dict[str, Measurement], seconds: dict[str, float], worker: dict[str, Any]
    ) -> bytes:
        """The trained network as it would ship, compared with the model."""
        begin = time.perf_counter()
        train, test = (self.bundle.inputs(part) for part in self.bundle.folds[0])
        content = self._precision.convert(model, train)
        worker |= self._precision.compare(model, content, test)
        measurements["size_bytes"] = Measurement.exact(len(content), "bytes", f"the exported {self._precision.what}")
        seconds["convert"] += time.perf_counter() - begin
        return content

    def _judge(
        self,
        job: Job,
        measurements: dict[str, Measurement],
        steps: Any,
        elapsed: float,
        before: tuple[Verdict, ...] = (),
    ) -> tuple[Verdict, ...]:
        """Verdicts in order; those that a cheaper step gave keep what they cost."""
        exact = self.setup.indicator.known(cost_of(job.graph))
        known = {(v.metric, v.side): v.seconds for v in before}
        verdicts = self.setup.indicator.judge({**exact, **measurements}, tuple(steps), elapsed)
        return tuple(Verdict(v.metric, v.value, v.bound, v.side, v.status, _seconds(v, exact, known)) for v in verdicts)

    def _measure(self, model: Any, measurements: dict[str, Measurement], seconds: dict[str, float]) -> None:
        """Size and latency of the untrained network."""
        begin = time.perf_counter()
        content = self._newborn(model)
        if self._reference is None:
            import tf_keras

            self._reference = self._newborn(build_model(self.setup.prototype, tf_keras))
        seconds["convert"] = time.perf_counter() - begin
        begin = time.perf_counter()
        measurements.update(self._precision.said(self._latency(content, self._reference)))
        measurements["size_bytes"] = Measurement.exact(len(content), "bytes", "exported before training")
        seconds["measure"] = time.perf_counter() - begin

    def _newborn(self, model: Any) -> bytes:
        """The file of a fresh network, as large and as fast as that of a trained one."""
        with disturbed(model, 0):
            return self._precision.convert(model, self.bundle.inputs(self.bundle.folds[0][0]))

    def _latency(self, content: bytes, reference: bytes) -> dict[str, Measurement]:
        """Its latency; measured again, thoroughly, where a constraint on it would hang on the first glance."""

        def measured(protocol: LatencyProtocol) -> dict[str, Measurement]:
            with self.quiet.alone() as alone:
                return latency_measurements(measure_latency(content, reference, protocol), alone)

        first = measured(SEARCH)
        bounds = [c for c in self.setup.indicator.at(Step.LATENCY) if c.measured in first]
        if not any(close(c, first[c.measured]) for c in bounds):
            return first
        second = measured(THOROUGH)
        return {name: m if m.doubt is None else both(first[name], m) for name, m in second.items()}

    def _predictions_alone(self, job: Job, name: str) -> tuple[Outcome, dict[str, bytes]]:
        """Trains from fresh weights, and keeps what the network says of the images that it was not trained on."""
        cpu, trainer = self._cpu, Trainer(job.network, self.setup.recipe, job.seed)
        climb = Climb(job, trainer, self.bundle, {}, self.progress, self._precision)
        for rung in job.ladder:
            climb.to(rung)
        measurements, told = self._metrics(climb.predictions()), self._spent({}, cpu)
        outcome = Outcome(State.TRAINED, (), measurements, str(job.ladder[-1]), trainer.seconds, None, told)
        return outcome, {name: climb.predictions().to_bytes()}

    def _files_alone(self, job: Job, name: str) -> tuple[Outcome, dict[str, bytes]]:
        """Converts the untrained network, whose costs do not depend on the weights' values; ``name`` tells of them."""
        cpu, begin = self._cpu, time.perf_counter()
        inputs = self.bundle.inputs(self.bundle.folds[0][0])
        files = converted_files(job.network, inputs, name, seed=job.seed)
        seconds = {"convert": time.perf_counter() - begin}
        return Outcome(State.TRAINED, (), {}, None, seconds, None, self._spent({}, cpu)), files

    def _metrics(self, predictions: Predictions) -> dict[str, Measurement]:
        index, b = predictions.index, self.bundle
        about: dict[str, Any] = {"confidence": self.setup.indicator.confidence(), "group_kind": b.group_kind}
        measured: dict[str, Measurement] = {}
        if predictions.probabilities.shape[1]:
            labels, called = b.labels[index], predictions.predicted
            measured |= measure_predictions(labels, called, b.groups[index], classes=b.classes, **about)
        if predictions.values is not None and predictions.targets is not None:
            true, values = predictions.targets, predictions.values
            measured |= measure_values(true, values, b.groups[index], names=b.targets, **about)
        return self._precision.said(measured)


def close(constraint: Constraint, measured: Measurement) -> bool:
    """Whether a second look may change what a constraint says: the value is in doubt, or its bound is near."""
    near = measured.low * (1 - NEAR) <= constraint.limit <= measured.high * (1 + NEAR)
    return near or measured.doubt is not None


def both(first: Measurement, second: Measurement) -> Measurement:
    """Two looks of which the second is in doubt, too: an interval around both, wider by more than load was seen to do.

    So a machine that never rests can still refuse what is far beyond a bound, and nothing else.
    """
    low, high = min(first.low, second.low) * (1 - LOADED), max(first.high, second.high) * (1 + LOADED)
    how = f"{second.provenance}; measured twice, the interval is around both and {LOADED:.0%} wider on each side"
    return Measurement(second.value, low, high, second.unit, second.n, how)


def latency_measurements(latency: Latency, alone: bool) -> dict[str, Measurement]:
    """``latency_ms`` and ``latency_ratio``.

    Args:
        latency: what was measured.
        alone: whether no evaluator of ours could run on the same core meanwhile.
    """
    threads = latency.threads
    where = (
        f"this machine (device {latency.device}), {threads} thread{'s' * (threads > 1)}, batch 1, LiteRT with XNNPACK"
    )
    doubts = [latency.doubt, None if alone else "the core is shared with other evaluators"]
    doubt = "; ".join(d for d in doubts if d) or None
    where += "" if doubt is None else f"; in doubt: {doubt}"
    out = {
        "latency_ms": Measurement(latency.median_ms, latency.low_ms, latency.high_ms, "ms", latency.runs, where, doubt)
    }
    if latency.ratio is not None and latency.ratio_low is not None and latency.ratio_high is not None:
        values = latency.ratio, latency.ratio_low, latency.ratio_high
        how = f"to the {latency.beside}'s, {where}"
        out[LATENCY_RATIO] = Measurement(*values, "ratio", latency.runs, how, doubt)
    return out


def _seconds(verdict: Verdict, exact: dict[str, Measurement], known: dict[tuple[str, str], float]) -> float:
    return 0.0 if verdict.metric in exact else round(known.get((verdict.metric, verdict.side), verdict.seconds), 3)
