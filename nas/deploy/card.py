"""The card of an exported network: what it is, what was measured on what, and how to feed it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from nas.deploy.metadata import Metadata, output_names
from nas.deploy.order import ExportOrder
from nas.errors import InputError
from nas.graph import Graph
from nas.run.candidate import Candidate
from nas.run.judged import not_judged
from nas.run.lock import utc_now
from nas.run.provenance import versions
from nas.rung import Rung

SCHEMA: Final = 1
IBUG: Final = 68  # points, as CK+, AffectNet and most detectors give them
CAVEATS: Final = (
    "The accuracy was measured on images by which the search chose among candidates: the best of many looks better "
    "than it is. Only a certificate makes a claim (nas certify).",
    "Its interval comes from resampling people (or sequences, or images); the variance between training seeds is not "
    "in it.",
    "A file's accuracy and its difference to the network's are of the out-of-fold images of fold 0 alone, with 95 % "
    "intervals; its latency was measured when it was exported, on that machine, single-threaded, one image at a time.",
)
_OF_VALUES: Final = (
    "The error was measured on images by which the search chose among candidates: the best of many looks better than "
    "it is.",
    "Its interval comes from leaving out one person (or sequence, or image) at a time; the variance between training "
    "seeds is not in it.",
    "A file's error is that of the out-of-fold images of fold 0 alone, without an interval; its latency was measured "
    "when it was exported, on that machine, single-threaded, one image at a time.",
)


def card_json(
    candidate: Candidate, order: ExportOrder, graph: Graph, files: Mapping[str, Any], weights_sha256: str
) -> dict[str, Any]:
    """The card as plain data; what was not measured is absent.

    Args:
        candidate: which network.
        order: the export that it belongs to.
        graph: the candidate's.
        files: by format: file, size_bytes, sha256, and what comparing it gave.
        weights_sha256: of the weights that were exported.
    """
    outcome = candidate.outcome
    measurements = {} if outcome is None else outcome.measurements
    effort = None if outcome is None else outcome.effort
    return {
        "schema": SCHEMA,
        "id": candidate.id,
        "trial": candidate.trial,
        "written": utc_now(),
        "status": candidate.status.value,
        "measured_on": order.caption,
        "effort": effort,
        "how_measured": how_measured(effort),
        "caveats": list(caveats_of(graph)),
        "costs": asdict(candidate.cost),
        "measurements": {name: m.to_json() for name, m in measurements.items()},
        "verdicts": [v.to_json() for v in candidate.verdicts],
        "not_judged": not_judged(candidate, order.indicator),
        "prototype": _prototype(order.prototype),
        **conventions(graph, order.class_names, order.target_names),
        "files": dict(files),
        **({"not_run_on_data": order.no_images} if order.no_images else {}),
        "weights": {"fold": 0, "sha256": weights_sha256},
        "lineage": {"parent": candidate.parent, "edits": list(candidate.edits), "seed": candidate.seed},
        "architecture": json.loads(candidate.architecture),
        "versions": versions(),
    }


def how_measured(effort: str | None) -> str | None:
    """What ``1x8`` means for the figures on the card."""
    if effort is None:
        return None
    rung = Rung.parse(effort)
    epochs = f"{rung.epochs} epoch{'' if rung.epochs == 1 else 's'}"
    if rung.folds == 1:
        return f"trained for {epochs}; measured on the out-of-fold images of fold 0 with the exported weights"
    return (
        f"trained for {epochs} on each of {rung.folds} folds; measured on the out-of-fold images of folds 0 to "
        f"{rung.folds - 1}, each by the weights of its own fold; the exported weights are those of fold 0"
    )


def input_convention(graph: Graph) -> dict[str, Any]:
    """How an image becomes the network's input."""
    height, width, channels = graph.input_shape
    return {
        "height": height,
        "width": width,
        "channels": channels,
        "colour": {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels"),
        "layout": "batch, height, width, channels",
        "dtype": "float32",
        "range": [0.0, 1.0],
        "how": "pixel values 0..255 divided by 255; nothing else is subtracted or scaled",
    }


def landmarks_convention(graph: Graph) -> dict[str, Any] | None:
    """How landmarks become the network's second input; None where it takes none."""
    if not graph.points:
        return None
    return {
        "points": graph.points,
        "layout": "batch, 2 x points: x of the first point, y of the first point, x of the second ...",
        "dtype": "float32",
        "how": "x as a share of the image's width, y of its height, from the upper left corner of the very image that "
        "is given" + ("; the 68 points of iBUG's annotation, in its order" if graph.points == IBUG else ""),
    }


def conventions(graph: Graph, class_names: Sequence[str], target_names: Sequence[str]) -> dict[str, Any]:
    """What a card says of inputs and answers; of what there is not, nothing."""
    landmarks = landmarks_convention(graph)
    answers = {
        "probabilities": "one a class, in the order of classes; they sum to 1",
        "values": "one a target, in the order of targets, in the units of the data that it was trained on",
    }
    told = output_names(graph.classes, graph.targets)
    plain = not graph.targets and not graph.points
    return {
        "input": input_convention(graph),
        **({} if landmarks is None else {"landmarks": landmarks}),
        "classes": list(class_names) if graph.classes else [],
        **({"targets": list(target_names)} if graph.targets else {}),
        **({} if plain else {"task": task_of(graph), "outputs": {name: answers[name] for name in told}}),
    }


def task_of(graph: Graph) -> str:
    """What a network does, in words."""
    told = [f"classification into {graph.classes} classes"] if graph.classes else []
    told += [f"regression of {graph.targets} values"] if graph.targets else []
    return " and ".join(told) + (f", from an image and {graph.points} landmarks" if graph.points else ", from an image")


def metadata_for(
    graph: Graph, network: str, stored: str, caption: str, class_names: Sequence[str], target_names: Sequence[str]
) -> Metadata:
    """What a file of a network says of itself.

    Args:
        graph: of the network.
        network: its id.
        stored: how weights and activations are.
        caption: how the data must be named.
        class_names, target_names: in the order of its answers.
    """
    return Metadata(
        network,
        tuple(class_names) if graph.classes else (),
        input_convention(graph),
        stored,
        caption,
        tuple(target_names) if graph.targets else (),
        landmarks_convention(graph),
    )


def check_names(graph: Graph, class_names: Sequence[str], target_names: Sequence[str]) -> None:
    """Raises InputError where a network's classes or values are not all named."""
    for what, names, outputs in (("class", class_names, graph.classes), ("target", target_names, graph.targets)):
        if outputs and len(names) != outputs:
            raise InputError(f"{len(names)} {what} names for a network with {outputs} outputs: name each one")


def caveats_of(graph: Graph) -> tuple[str, ...]:
    """What to keep in mind of the figures: of accuracies, or of the error of a network that answers values alone."""
    return CAVEATS if graph.classes else _OF_VALUES


def _prototype(prototype: Candidate) -> dict[str, Any]:
    names = ("accuracy", "rmse", "latency_ms", "size_bytes")
    known = {name: value for name in names if (value := prototype.value(name)) is not None}
    return {"id": prototype.id, "params": prototype.cost.params, "macs": prototype.cost.macs, **known}


def card_markdown(card: Mapping[str, Any]) -> str:
    """The card for people."""
    lines = [
        f"# Network {card['id']}",
        "",
        f"Trial {card['trial']} of its search. By the search's indicator: **{card['status']}**.",
        "",
        f"Measured on: **{card['measured_on']}**.",
        *([f"Effort {card['effort']}: {card['how_measured']}."] if card["effort"] else []),
        *_section("Files", _files(card["files"])),
        *([f"- not run on held-out images: {card['not_run_on_data']}"] if "not_run_on_data" in card else []),
        *_section(
            "Costs, counted from the graph, bytes in float32",
            (f"- {name}: {value:,}" for name, value in card["costs"].items()),
        ),
        *_section("Measured", _measured(card["measurements"])),
        *_section("Verdicts", _verdicts(card)),
        *_section("Input and output", _convention(card)),
        *_section("Origin", _origin(card)),
        *_section("What to keep in mind", (f"- {c}" for c in card["caveats"])),
        *_section("Architecture", ["```json", json.dumps(card["architecture"]), "```"]),
        *_section("Versions", [", ".join(f"{name} {v}" for name, v in card["versions"].items())]),
    ]
    return "\n".join(lines) + "\n"


def _section(title: str, lines: Any) -> list[str]:
    return ["", f"## {title}", "", *lines]


def _files(files: Mapping[str, Any]) -> Iterator[str]:
    score = "rmse" if files and all("accuracy" not in f and "rmse" in f for f in files.values()) else "accuracy"
    answers = "answers" if any("values_rms_difference" in f for f in files.values()) else "probabilities"
    yield f"| file | what | bytes | {score} | less the network's | same answer | {answers} differ by | latency |"
    yield "| --- | --- | ---: | --- | --- | ---: | ---: | --- |"
    for f in files.values():
        yield (
            f"| `{f['file']}` | {f['what']} | {f['size_bytes']:,} | {_scored(f)} | {_difference(f)} | "
            f"{_share(f.get('agreement_with_float'))} | {f['largest_difference']:.2g} | {_latency(f)} |"
        )
    yield ""
    for f in files.values():
        by = f", run by {f['run_by']}" if "run_by" in f else ""
        calibrated = f"; calibrated on {f['calibration_images']} {f['calibrated_on']}" if "calibrated_on" in f else ""
        yield f"- `{f['file']}`: compared on {f['compared_images']} {f['compared_on']}{by}{calibrated}{_numbers(f)}"


def _numbers(f: Mapping[str, Any]) -> str:
    """How far a file's values are from the network's."""
    if "values_rms_difference" not in f:
        return ""
    rmse = f"; rmse {f['rmse']:.4f} (float {f['float_rmse']:.4f})" if "rmse" in f else ""
    largest, rms = f["values_largest_difference"], f["values_rms_difference"]
    return f"{rmse}; values differ by {rms:.2g} (root mean square), {largest:.2g} at most"


def _scored(f: Mapping[str, Any]) -> str:
    """A file's accuracy; the error of one that answers values alone."""
    if "accuracy" not in f:
        return f"{f['rmse']:.4f} (float {f['float_rmse']:.4f})" if "rmse" in f else "not measured"
    interval = f" [{f['accuracy_low']:.4f}, {f['accuracy_high']:.4f}]" if "accuracy_low" in f else ""
    return f"{f['accuracy']:.4f}{interval} (float {f['float_accuracy']:.4f})"


def _difference(f: Mapping[str, Any]) -> str:
    if "accuracy_difference" not in f:
        return f"{f['rmse_difference']:+.4f}" if "rmse_difference" in f else ""
    low, high = f["accuracy_difference_low"], f["accuracy_difference_high"]
    return f"{f['accuracy_difference']:+.4f} [{low:+.4f}, {high:+.4f}]"


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


def _latency(f: Mapping[str, Any]) -> str:
    if "latency" not in f:
        return f"not measured: {f['latency_missing']}" if "latency_missing" in f else "not measured"
    found = f["latency"]
    beside = found.get("beside", "model.tflite")  # cards of the first version had no other
    ratio = f"; {found['ratio']:.2f} of `{beside}`'s" if "ratio" in found else ""
    doubt = f"; in doubt: {found['doubt']}" if "doubt" in found else ""
    return f"{found['median_ms']:.3g} ms [{found['low_ms']:.3g}, {found['high_ms']:.3g}]{ratio}{doubt}"


def _measured(measurements: Mapping[str, Any]) -> Iterator[str]:
    yield "| metric | value | interval | unit | n | how |"
    yield "| --- | ---: | --- | --- | ---: | --- |"
    for name, m in measurements.items():
        exact = m["low"] == m["high"]
        interval = "" if exact else f"{m['low']:.4g} .. {m['high']:.4g}"
        value = f"{m['value']:,.0f}" if exact else f"{m['value']:.4g}"
        yield f"| {name} | {value} | {interval} | {m['unit']} | {m['n']} | {m['provenance']} |"


def _verdicts(card: Mapping[str, Any]) -> Iterator[str]:
    for v in card["verdicts"]:
        sign = "<=" if v["side"] == "max" else ">="
        yield f"- {v['metric']} {sign} {v['bound']:.10g}: **{v['status']}** ({v['value']:.6g})"
    for text in card["not_judged"]:
        yield f"- {text}: not judged"
    if not card["verdicts"] and not card["not_judged"]:
        yield "- no constraint was set"


def _convention(card: Mapping[str, Any]) -> Iterator[str]:
    i = card["input"]
    yield (
        f"- input: {i['height']} x {i['width']}, {i['colour']}, layout ({i['layout']}), {i['dtype']} in "
        f"[{i['range'][0]:g}, {i['range'][1]:g}]: {i['how']}"
    )
    for f in card["files"].values():
        for side in ("input", "landmarks", "output", "values"):
            if side in f:
                q = f[side]
                yield f"- `{f['file']}` {side}: {q['dtype']}, real = (q - {q['zero_point']}) * {q['scale']:.10g}"
    if "landmarks" in card:
        points = card["landmarks"]
        yield f"- landmarks: {points['points']}, layout ({points['layout']}), {points['dtype']}: {points['how']}"
    named = (("classes", "output: one probability a class"), ("targets", "values: one a target"))
    for key, what in named:
        if card.get(key):
            yield f"- {what}, in this order: {', '.join(f'{k} {name}' for k, name in enumerate(card[key]))}"


def _origin(card: Mapping[str, Any]) -> Iterator[str]:
    origin, p = card["lineage"], card["prototype"]
    yield f"- parent: {origin['parent'] or 'none'}"
    yield from (f"- edit: {edit}" for edit in origin["edits"])
    yield f"- seed {origin['seed']}; weights of fold {card['weights']['fold']}"
    known = ", ".join(f"{k} {v:.6g}" for k, v in p.items() if k != "id")
    yield f"- prototype {p['id']}: {known}"
