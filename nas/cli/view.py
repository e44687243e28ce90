"""What a user sees of a running search: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter, deque
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nas.indicator import METRICS, PRIMARY, Status, Step
from nas.run.candidate import Candidate, State
from nas.units import format_count, format_duration

if TYPE_CHECKING:
    from nas.api import Run
    from nas.run.front import Front

_STYLES = {"met": "green", "undecided": "yellow", "violated": "red"}
_SHOWN = 8


class View:
    """Follows a search.

    Args:
        budget, time_s: the limits, for what remains.
        quiet: shows nothing on standard output (it is for JSON), plain lines go to standard error.
        path: of the run.
    """

    def __init__(self, *, budget: int | None, time_s: float | None, quiet: bool, path: Path) -> None:
        self._budget, self._time_s, self._path = budget, time_s, path
        self._charged = 0
        self._console = Console(stderr=quiet, highlight=False, markup=False, emoji=False)
        self._started = time.monotonic()
        self._counts: Counter[str] = Counter()
        self._recent: deque[str] = deque(maxlen=_SHOWN)
        self._running: dict[int, Candidate] = {}
        self._front: Front | None = None
        self._live: Live | None = None
        self._trained_at: list[float] = []

    def __enter__(self) -> Self:
        self._console.print(f"run: {self._path}")
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=2, transient=True)
            self._live.start()
        else:
            self._console.print("loading data, starting workers ...", soft_wrap=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def proposed(self, candidate: Candidate) -> None:
        """A candidate goes to an evaluator."""
        self._running[candidate.trial] = candidate

    def finished(self, candidate: Candidate, front: Front) -> None:
        """A candidate has its outcome."""
        self._running.pop(candidate.trial, None)
        self._counts[candidate.state.value] += 1
        self._charged += candidate.charged
        self._front = front
        if candidate.state is State.TRAINED:
            self._trained_at.append(time.monotonic())
        line = candidate_line(candidate)
        self._recent.append(line)
        if self._live is None:
            self._console.print(f"{format_duration(self._elapsed)}  {line}  {self._progress()}", soft_wrap=True)

    def noticed(self, message: str) -> None:
        """Something that the user should know: it stays on the screen above the live table."""
        self._console.print(f"{format_duration(self._elapsed)}  note: {message}", soft_wrap=True, markup=False)

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _progress(self) -> str:
        """Done, rate and what remains."""
        done = sum(self._counts.values())
        parts = [f"{done} candidates ({self._counts['trained']} trained)"]
        if self._trained_at and self._elapsed > 1:
            parts.append(f"{self._counts['trained'] * 3600 / self._elapsed:.0f} trained an hour")
        if self._time_s is not None:
            parts.append(f"{format_duration(max(self._time_s - self._elapsed, 0))} left")
        elif self._budget is not None:
            parts.append(f"{max(self._budget - self._charged, 0)} of {self._budget} left")
        if self._front is not None:
            parts.append(f"front: {len(self._front.members)} {self._front.status}")
        return "[" + ", ".join(parts) + "]"

    def _render(self) -> Group:
        head = Text(f"{format_duration(self._elapsed)}  {self._progress()}", style="bold")
        lines = [head]
        if not self._counts and not self._running:
            lines.append(Text("loading data, starting workers ..."))
        for line in self._recent:
            lines.append(Text(line, style="dim"))
        for candidate in list(self._running.values()):
            change = "; ".join(candidate.edits) or ("the prototype" if candidate.trial == 0 else "")
            lines.append(Text(f"#{candidate.trial} evaluating {format_count(candidate.cost.params)}: {change}"))
        return Group(*lines, *([front_table(self._front)] if self._front and self._front.members else []))

    def conclude(self, run: Run) -> None:
        """The front, where everything is, and how to go on."""
        front = run.front
        self._console.print()
        self._console.print(Text(front.headline(), style="bold red" if front.status == "nearest" else "bold"))
        if front.members:
            self._console.print(front_table(front))
        for prototype in run.candidates[:1]:
            self._console.print(f"prototype: {candidate_line(prototype)}", soft_wrap=True)
        for line in baseline_lines(run):
            self._console.print(line, soft_wrap=True)
        self._console.print(f"measured on {run.caption}", soft_wrap=True)
        if front.members:
            self._console.print(f"plots: {run.directory.plots}/accuracy_params.png", soft_wrap=True)
            export = f"nas export {quote(str(run.path))} --pick knee --format keras,tflite"
            self._console.print(f"take one home:  {export}", soft_wrap=True)
        self._console.print(f"go on:  nas resume {quote(str(run.path))} --time 30m", soft_wrap=True)


def candidate_line(candidate: Candidate) -> str:
    """One candidate on one line."""
    head = f"#{candidate.trial} {candidate.id} {format_count(candidate.cost.params)}"
    if candidate.state is State.FAILED and candidate.outcome is not None and candidate.outcome.failure is not None:
        return f"{head} failed: {candidate.outcome.failure['reason'][:100]}"
    broken = next((v for v in candidate.verdicts if v.status is Status.VIOLATED), None)
    how = "foretold " if candidate.foretold else ""
    why = f": {how}{broken.metric} {broken.value:.4g}, {broken.side} {broken.bound:g}" if broken else ""
    latency = candidate.value("latency_ms")
    for name in ("accuracy", "rmse"):
        measured = candidate.measurement(name)
        if measured is not None:
            text = METRICS[name].text
            short = "acc" if name == "accuracy" else name
            head += f" {short} {text(measured.value)} [{text(measured.low)}, {text(measured.high)}]"
    if latency is not None:
        head += f" {latency:.2f} ms"
    outcome = candidate.outcome
    if outcome is not None and outcome.stopped is not None:
        return f"{head} stopped after {outcome.effort}: {outcome.stopped}"
    word = candidate.status.value if candidate.state is State.TRAINED else candidate.state.value
    return f"{head} {word}{why}"


def front_table(front: Front) -> Table:
    """The members, best in the first objective first, with the metrics that networks of this task have."""
    title = None if front.status != "nearest" else "nearest to the indicator, NOT meeting it"
    table = Table(title=title, title_style="red", box=None, pad_edge=False, header_style="dim")
    first, *more = _columns(front)
    costs = ("params", "latency", "size") if more else ("params", "MACs", "latency", "size")
    for name in ("id", _header(first), "interval", *map(_header, more), *costs, "verdict"):
        table.add_column(name, justify="left" if name in ("id", "verdict") else "right", no_wrap=True)
    for m in front.members:
        latency, size = m.value("latency_ms"), m.value("size_bytes")
        cells = {
            "params": f"{m.cost.params:,}",
            "MACs": f"{m.cost.macs / 1e6:.1f}M",
            "latency": "" if latency is None else f"{latency:.3f} ms",
            "size": "" if size is None else f"{size / 1000:.0f} kB",
        }
        table.add_row(
            m.id,
            *_score_cells(m, first),
            *(_score_cells(m, name)[0] for name in more),
            *(cells[name] for name in costs),
            Text(m.status.value, style=_STYLES[m.status.value]),
        )
    return table


def _columns(front: Front) -> list[str]:
    """The trained metrics that are shown, the first with its interval: a terminal has 80 columns.

    Those that are objectives; of a task without an objective the one by which networks are compared.
    """
    asked = [o.name for o in front.objectives if METRICS[o.name].step is Step.TRAINING]
    tasks = {METRICS[name].task for name in asked}
    wanted = asked + [name for name in PRIMARY if METRICS[name].task not in tasks]
    found = [name for name in wanted if any(m.measurement(name) for m in front.members)]
    return [*found, "ccc"] if found == ["rmse"] else found or ["accuracy"]


def _header(metric: str) -> str:
    return "balanced" if metric == "balanced_accuracy" else metric


def _score_cells(candidate: Candidate, metric: str) -> list[str]:
    """A trained metric and its interval."""
    measured, text = candidate.measurement(metric), METRICS[metric].text
    return ["", ""] if measured is None else [text(measured.value), f"{text(measured.low)}-{text(measured.high)}"]


def baseline_lines(run: Run) -> list[str]:
    """What linear models on the pixels reach."""
    lines, baseline, values = [], run.baseline, run.value_baseline
    if baseline is not None:
        lines.append(f"linear baseline (LDA on pixels, same folds): accuracy {baseline:.1%}")
    if values:
        told = ", ".join(f"{name} {METRICS[name].text(value)}" for name, value in values.items())
        lines.append(f"linear baseline (ridge regression on pixels, same folds): {told}")
    return lines
