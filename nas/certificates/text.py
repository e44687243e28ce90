"""A certificate for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def markdown(c: Mapping[str, Any]) -> str:
    """The whole certificate as Markdown.

    Args:
        c: the content of its JSON file.
    """
    lines = [
        f"# Certificate of network {c['id']}",
        "",
        *_head(c),
        "",
        *(f"- {sentence}" for sentence in c["statements"]),
        *_section("Accuracy", _accuracies(c["result"])),
        *_section("Bounds", _bounds(c)),
        *_section("Classes", _classes(c["result"])),
        *_section(f"The {c['data']['groups']} set aside: a check, not the verdict", _held(c)),
        *_section("What it was made with", _origin(c)),
        *_section("Predictions, from which `nas certify --check` computes it again", _files(c)),
    ]
    return "\n".join(lines) + "\n"


def _head(c: Mapping[str, Any]) -> Iterator[str]:
    a, p = c["result"]["accuracy"], c["protocol"]
    kind = "**reduced protocol**" if c["reduced"] else "full protocol"
    yield (
        f"**{c['verdict']}**: accuracy {a['value']:.2%} [{a['low']:.2%}, {a['high']:.2%}]; {kind} {p['name']}, "
        f"{c['result']['images']} images of {c['result']['groups']} {c['data']['groups']}, {c['costs']['params']:,} "
        f"parameters. Measured on: **{c['data']['caption']}**. Issued {c['issued']}."
    )


def _section(title: str, lines: Iterator[str]) -> list[str]:
    return ["", f"## {title}", "", *lines]


def _accuracies(r: Mapping[str, Any]) -> Iterator[str]:
    yield f"| metric | value | interval (each end one-sided {r['confidence']:.6g}) |"
    yield "| --- | ---: | --- |"
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        yield f"| {name} | {r[name]['value']:.4f} | {r[name]['low']:.4f} .. {r[name]['high']:.4f} |"
    yield ""
    seeds = ", ".join(f"{a:.4f}" for a in r["accuracy_by_seed"])
    spread = r["accuracy_sd_between_seeds"]
    yield f"By training seed: {seeds}" + ("." if spread is None else f"; standard deviation {spread:.4f}.")


def _bounds(c: Mapping[str, Any]) -> Iterator[str]:
    for b in c["bounds"]:
        yield (
            f"- {b['constraint']}: **{b['status']}** (one-sided confidence reached {b['reached']:.6g}, needed "
            f"{b['needed']:.6g}; if all that were judged counted, {b['needed_if_all_counted']:.6g}: "
            f"{b['status_if_all_counted']})"
        )
    if not c["bounds"]:
        yield "- no bound on accuracy was set"
    for text in c["not_judged"]:
        yield f"- {text}: not judged here, see `nas explain`"


def _classes(r: Mapping[str, Any]) -> Iterator[str]:
    n, b = r["trainings"], r["by_class"]
    yield f"Rows are true classes, columns predicted ones; every image counts {'once' if n == 1 else f'{n} times'}."
    yield ""
    yield "| class | recall | interval | " + " | ".join(b["classes"]) + " |"
    yield "| --- | ---: | --- |" + " ---: |" * len(b["classes"])
    for k, name in enumerate(b["classes"]):
        recall = b["recall"][k]
        share = "| |" if recall is None else f"{recall:.4f} | {b['recall_low'][k]:.4f} .. {b['recall_high'][k]:.4f} |"
        yield f"| {name} | {share} " + " | ".join(map(str, b["confusion"][k])) + " |"


def _held(c: Mapping[str, Any]) -> Iterator[str]:
    held = c["holdout_result"]
    if held is None:
        yield "None here; see above."
        return
    a = held["accuracy"]
    yield (
        f"Accuracy {a['value']:.2%} [{a['low']:.2%}, {a['high']:.2%}] (each end one-sided {held['confidence']:g}) on "
        f"{held['images']} images of {held['groups']} {c['data']['groups']}, {held['trainings']} "
        f"training{'' if held['trainings'] == 1 else 's'} on all that the search had. See above for how it compares."
    )


def _origin(c: Mapping[str, Any]) -> Iterator[str]:
    d, s, m = c["data"], c["split"], c["machine"]
    yield f"- data: {d['caption']}; fingerprint `{d['fingerprint']}`; split `{s['hash']}`: {s['protocol']}"
    yield f"- training seeds: {', '.join(map(str, c['protocol']['seeds']))}"
    yield "- recipe: " + ", ".join(f"{name} {value}" for name, value in c["recipe"].items())
    yield f"- machine: {m['processor']}, {m['cores']} cores, {m['system']}"
    yield "- versions: " + ", ".join(f"{name} {v}" for name, v in c["versions"].items())
    tests = ", ".join(f"{name} ({protocol})" for name, protocol in c["selection"]["tests"])
    yield f"- certifications begun in the run up to now: {tests}"
    yield f"- seal: `{c['seal']}`"


def _files(c: Mapping[str, Any]) -> Iterator[str]:
    yield "| file | SHA-256 |"
    yield "| --- | --- |"
    for f in (*c["files"], *c["holdout_files"]):
        yield f"| `{f['path']}` | `{f['sha256']}` |"
