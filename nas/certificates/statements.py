"""What a certificate says in sentences: its protocol, its interval, the selection behind it, the subjects set aside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nas.certificates.protocol import FULL


def statements(content: Mapping[str, Any]) -> list[str]:
    """All of them, each one or a few sentences.

    Args:
        content: the certificate but for these.
    """
    return [_trained(content), _interval(content), *_selection(content), *_aside(content)]


def _trained(c: Mapping[str, Any]) -> str:
    p, split = c["protocol"], c["split"]
    n = len(p["seeds"])
    how = (
        f"trained from scratch for {p['epochs']} epochs on each of {p['folds']} folds with {_counted(n, 'seed')} that "
        f"the search had not used; {split['protocol']}"
    )
    if not c["reduced"]:
        return f"Full protocol: {how}."
    full = f"{FULL[0]} folds, {FULL[1]} epochs, {FULL[2]} seeds"
    return f"REDUCED protocol: {how}. It shows less than the full one ({full})."


def _interval(c: Mapping[str, Any]) -> str:
    result, kind = c["result"], c["data"]["groups"]
    over = f"the {result['groups']} {kind} stand for others like them"
    if result["trainings"] > 1:
        return (
            f"The interval (each end one-sided {result['confidence']:.6g}) is of the expected accuracy of such a "
            f"training on such data: {over}, and {result['trainings']} trainings of every fold show the luck of each."
        )
    return (
        f"The interval (each end one-sided {result['confidence']:.6g}) says how far {over}. With one training seed "
        "nothing shows the luck of the training: it is not in the interval."
    )


def _selection(c: Mapping[str, Any]) -> Iterator[str]:
    selection, kind = c["selection"], c["data"]["groups"]
    tests = len(selection["tests"])
    whom = f"most of these {kind}" if c["protocol"]["everyone"] and c["holdout"] else f"these {kind}"
    yield (
        f"Selection: the search judged {_counted(selection['judged'], 'candidate')} on {whom}, and this one was "
        f"chosen. Training it afresh with fresh seeds removes what was luck of the search's training, but not what is "
        f"luck of these {kind}."
    )
    corrected = (
        f"The verdict is corrected (Bonferroni) for {_counted(tests, 'certification')} begun in this run up to now"
    )
    if not c["bounds"]:
        yield f"{corrected}; no bound on accuracy was set, so that there is none."
        return
    strict = ", ".join(f"{b['constraint']}: {b['status_if_all_counted']}" for b in c["bounds"])
    yield f"{corrected}. If all {max(tests, selection['judged'])} that were judged counted, it would be: {strict}."


def _aside(c: Mapping[str, Any]) -> Iterator[str]:
    kind, split, aside = c["data"]["groups"], c["split"], c["holdout"]
    if c["protocol"]["everyone"]:
        if c["holdout"] is None:
            yield f"The search set no {kind} aside: all of these {kind} influenced the selection of this network."
        else:
            before = _before(aside["looked_before"])
            yield (
                f"The paper's protocol: all {split['search_groups']} {kind} are in these folds. "
                f"{split['search_groups'] - aside['groups']} of them influenced the selection of this network: the "
                f"search judged by them. The {aside['groups']} that it had set aside are in these folds too: the "
                f"hold-out is spent ({before})."
            )
    elif aside is None:
        yield f"The search set no {kind} aside: there is no check on others."
    elif c["holdout_result"] is None:
        yield f"The {aside['groups']} {kind} set aside were not looked at for this verdict; their check is to follow."
    else:
        found, k = c["holdout_result"]["less_cross_validated"], c["protocol"]["folds"]
        word = "they cannot be told apart" if found["indistinguishable"] else "they DIFFER"
        yield (
            f"The {aside['groups']} {kind} set aside were looked at once, after the verdict "
            f"({_before(aside['looked_before'])}): a check of consistency with a wide interval, never the verdict. "
            f"Its accuracy less the cross-validated one is {_points(found['value'])} points "
            f"[{_points(found['low'])}, {_points(found['high'])}]: {word}. Its networks learned from all that the "
            f"search had, those of the folds from {k - 1} parts of {k}."
        )


def _before(times: int) -> str:
    often = {1: "once", 2: "twice"}.get(times, f"{times} times")
    return f"they had been looked at {often} before" if times else "they had not been looked at before"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
