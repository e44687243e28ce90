"""Explanations as lines for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final

from nas.cost import INT8_BYTES
from nas.indicator import LATENCY_RATIO, METRICS, PRIMARY
from nas.report.explain import bound_text
from nas.units import format_duration

_WIDTH: Final = 110
_LONGEST_NAME: Final = 30


def candidate_lines(explanation: Mapping[str, Any]) -> list[str]:
    """What :func:`nas.report.explain.explain_candidate` found, as plain lines without colour.

    With what :func:`nas.report.compared.explain_predictions` found, that too.
    """
    e = explanation
    lines = [f"candidate {e['id']}  trial {e['trial']}  {e['state']}" + (f", {e['status']}" if e["status"] else "")]
    lines += textwrap.wrap(e["why"], _WIDTH, initial_indent="  ", subsequent_indent="  ")
    lines.append(f"  parent: {e['parent'] or 'none'}" + (f"  effort: {e['effort']}" if e["effort"] else ""))
    lines += [f"  edit: {edit}" for edit in e["edits"]]
    lines += [*_climb(e)]
    counted = "counted from the graph" + ", with int8 activations" * (e["element_bytes"] == INT8_BYTES)
    lines += ["", f"costs ({counted})", *_values(e["costs"])]
    if e["measurements"]:
        lines += ["", "measured", *_values(e["measurements"])]
    lines += [*_by_class(e), *_compared(e)]
    if e["verdicts"] or e["not_judged"]:
        lines += ["", "constraints, in the order of evaluation", *_verdicts(e)]
    lines += _claims(e)
    if e.get("certificates"):
        lines += ["", "certified", *(f"  {line}" for line in e["certificates"])]
    if e["not_measured"]:
        lines += ["", "never measured", *(f"  {m['metric']}: {m['reason']}" for m in e["not_measured"])]
    lines += ["", f"time: {_time(e['seconds_total'])}"]
    lines += [f"  {phase}: {seconds:.2f} s" for phase, seconds in _longest(e["seconds"] or {})]
    if e["failure"] and e["failure"].get("log"):
        lines += ["", "end of the log", *(f"  {line}" for line in e["failure"]["log"].splitlines()[-20:])]
    return lines


def summary_lines(found: Mapping[str, Any]) -> list[str]:
    """What :func:`nas.report.explain.summary` found, as plain lines without colour."""
    s = found
    lines = [
        f"{s['candidates']} candidates: {s['trained']} trained, {s['rejected']} rejected, {s['failed']} failed, "
        f"{s['repeats']} repeats, {s['running']} running"
    ]
    if s["trained_by_status"]:
        lines.append("trained: " + ", ".join(f"{n} {status}" for status, n in s["trained_by_status"].items()))
    if s["stopped_at"]:
        lines.append("stopped on the way: " + ", ".join(f"{n} after {rung}" for rung, n in s["stopped_at"].items()))
    if s["lot"]["drawn"]:
        lines.append(
            f"  {s['lot']['drawn']} more were trained to the end by lot, to see: "
            f"{s['lot']['wrongly_doubted']} of them should not have been doubted"
        )
    lines += _probes(s.get("probes") or {})
    lines += _foretold(s.get("foretold") or {})
    for c in s["constraints"]:
        lines.append(
            f"  {c['constraint']} ({c['step']}): {c['rejected']} rejected before training in "
            f"{c['rejected_seconds']:.1f} s, {c['refuted_after_training']} refuted after training"
        )
    lines += [f"  failed, {kind}: {n}" for kind, n in s["failed_by_kind"].items()]
    phases = ", ".join(f"{phase} {format_duration(seconds)}" for phase, seconds in _longest(s["seconds_by_phase"]))
    lines.append(f"time of the evaluators: {phases or 'none recorded'}")
    usual, saved = s["median_trained_seconds"], s["seconds_saved"]
    if saved is None:
        lines.append("saved by rejecting early: unknown, no candidate has been trained")
    else:
        lines.append(
            f"saved by rejecting early: about {_signed(saved)} (a trained candidate takes {usual:.1f} s, the median)"
        )
    return lines


def _climb(e: Mapping[str, Any]) -> Iterator[str]:
    """Where the weights began, and what was shown on the way."""
    if e["inheritance"] is not None:
        i = e["inheritance"]
        epochs = ", ".join(map(str, i["epochs"]))
        yield (
            f"  weights from {i['relative']} (distance {i['distance']:.2f}, {i['share']:.0%} of the numbers, "
            f"{epochs} epochs by fold{', function kept' if i['preserving'] else ''})"
        )
    for rung in e["rungs"]:
        doubt = "" if rung["doubt"] is None else f"; went on by lot though {rung['doubt']}"
        shown = next(((name, rung["values"][name]) for name in PRIMARY if name in rung["values"]), None)
        told = "nothing recorded" if shown is None else f"{shown[0]} {METRICS[shown[0]].text(shown[1])}"
        yield f"  after {rung['rung']}: {told}{doubt}"


def _foretold(found: Mapping[str, int]) -> Iterator[str]:
    """What a predicted device rejected, and how that stands with those that were measured all the same."""
    if found.get("rejected") or found.get("drawn"):
        yield (
            f"  {found['rejected']} rejected by the latency foretold; {found['drawn']} more were measured by lot, to "
            f"see: {found['wrongly_foretold']} of them keep the bound"
        )


def _probes(merits: Mapping[str, Any]) -> Iterator[str]:
    """How well each kind of probe ranked the gains that followed."""
    for kind, merit in merits.items():
        if not isinstance(merit, Mapping):
            continue
        value = merit.get("correlation")
        known = f"rank correlation {value:+.2f}" if isinstance(value, int | float) else "rank correlation not known yet"
        if all(isinstance(merit.get(end), int | float) for end in ("low", "high")):
            known += f" [{merit['low']:+.2f}, {merit['high']:+.2f}]"
        state = "steers" if merit.get("useful") else "switched off"
        yield f"  probe of {kind}: {known} with the gains that followed, {merit.get('pairs')} tried; {state}"


def _values(values: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, v in values.items():
        interval = "" if v.get("low") == v.get("high") else f" [{v['low']:.4g}, {v['high']:.4g}]"
        ratio = "" if v["ratio"] is None or name == LATENCY_RATIO else f"  ({v['ratio']:.3g} of the prototype's)"
        yield f"  {name}: {_number(v['value'])}{interval}{_unit(name)}{ratio}"
        if v.get("doubt"):
            yield f"    in doubt: {v['doubt']}"


def _verdicts(e: Mapping[str, Any]) -> Iterator[str]:
    for v in e["verdicts"]:
        exact = v["low"] is None or v["low"] == v["high"]
        interval = "" if exact else f" [{v['low']:.4g}, {v['high']:.4g}]"
        cost = "free" if v["seconds"] == 0 else f"known after {v['seconds']:.2f} s"
        yield f"  {bound_text(v)}: {v['status']}, {_number(v['value'])}{interval} ({cost})"
    for text in e["not_judged"] or ():
        yield f"  {text}: not judged"


def _claims(e: Mapping[str, Any]) -> Iterator[str]:
    """Bounds on accuracy, corrected for how many candidates were put to the test."""
    for number, c in enumerate(e.get("claims") or ()):
        if number == 0:
            yield ""
            yield f"corrected for {c['tests']} tests (Bonferroni; one training each, its luck is not counted)"
        word = "holds" if c["holds"] else "is not shown"
        yield f"  {c['constraint']}: {word} (p {1 - c['reached']:.2g}, at most {1 - c['needed']:.2g} allowed)"


def _by_class(e: Mapping[str, Any]) -> Iterator[str]:
    """Recall of each class, and what its images were taken for."""
    if e.get("by_class_missing"):
        yield from ("", f"recall by class: unknown: {e['by_class_missing']}")
    if not e.get("by_class"):
        return
    found = e["by_class"]
    names = found["classes"]
    width = min(max(map(len, names)), _LONGEST_NAME)
    yield from ("", f"recall by class [{found['confidence']:.0%} on each side], and what its images were taken for")
    for row, name in enumerate(names):
        recall, images = found["recall"][row], found["images"][row]
        taken = sorted(((n, other) for other, n in zip(names, found["confusion"][row], strict=True) if n), reverse=True)
        missed = ", ".join(f"{n} {_short(other)}" for n, other in taken if other != name)
        share = "no image" if recall is None else f"{recall:.1%} of {images}{_ends(found, row)}"
        yield f"  {_short(name):{width}}  {share}" + (f": {missed}" if missed else "")


def _ends(found: Mapping[str, Any], row: int) -> str:
    low, high = found["recall_low"][row], found["recall_high"][row]
    return "" if low is None else f" [{low:.1%}, {high:.1%}]"


def _short(name: str) -> str:
    return textwrap.shorten(name, _LONGEST_NAME, placeholder="...")


def _compared(e: Mapping[str, Any]) -> Iterator[str]:
    """The accuracy beside that of the front's members."""
    if not e.get("compared"):
        return
    yield ""
    yield "accuracy less that of the front's members, on the same images [95 %, paired by subject where known]"
    for c in e["compared"]:
        word = "cannot be told apart" if c["indistinguishable"] else ("better" if c["difference"] > 0 else "worse")
        ends = f"[{100 * c['low']:+.1f}, {100 * c['high']:+.1f}]"
        yield f"  {c['id']}: {100 * c['difference']:+.1f} points {ends} on {c['images']} images: {word}"


def _unit(name: str) -> str:
    unit = METRICS[name].unit if name in METRICS else ""
    return f" {unit}" if unit in ("bytes", "ms") else ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def _longest(seconds: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(((p, s) for p, s in seconds.items() if s > 0), key=lambda item: -item[1])


def _time(seconds: float | None) -> str:
    return "none recorded" if seconds is None else f"{seconds:.2f} s"


def _signed(seconds: float) -> str:
    return format_duration(seconds) if seconds >= 0 else f"minus {format_duration(-seconds)}"
