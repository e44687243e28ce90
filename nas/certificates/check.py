"""Re-computes a certificate from the predictions that are stored beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from nas.architecture import Architecture
from nas.certificates.certificate import (
    DERIVED,
    UNSAID,
    Certificate,
    class_bounds,
    derive,
    predictions,
    seal_of,
    sha256_of,
)
from nas.certificates.ledger import CERTIFIED, CHECKED, Ledger
from nas.certificates.protocol import CertifyProtocol
from nas.certificates.text import markdown
from nas.decoding import reason
from nas.errors import InputError
from nas.indicator import Indicator
from nas.run.directory import RunDirectory

_CLOSE: Final = 1e-9  # relative; other processors and versions round elsewhere
_FAULTS: Final = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


def differences(path: Path) -> list[str]:
    """What of a certificate does not agree with what it rests on; empty where all does.

    Every number that follows from the predictions is computed again; their hashes, the architecture's id and costs and
    the seal are compared, and where the certificate still lies in its run, the run's own records.

    Raises:
        DecodeError: the file is no certificate.
    """
    certificate = Certificate.read(path)
    found: list[str] = []
    for step in (_architecture, _files, _derived, _seal, _beside, _run):
        try:
            found += step(certificate)
        except (InputError, *_FAULTS) as error:
            found.append(f"{step.__name__.strip('_')}: cannot be computed ({reason(error)})")
    return found


def _architecture(c: Certificate) -> Iterator[str]:
    architecture = Architecture.from_json(json.dumps(c.data["architecture"]))
    if architecture.id != c.id:
        yield f"id: the certificate says {c.id}, its architecture is {architecture.id}"
    if c.path.absolute().parent.name != architecture.id:
        yield f"id: it lies in the folder {c.path.absolute().parent.name}, its architecture is {architecture.id}"


def _files(c: Certificate) -> Iterator[str]:
    """The files that the protocol asks for, each with its hash."""
    said = c.data["protocol"]
    protocol = CertifyProtocol(said["folds"], said["epochs"], len(said["seeds"]), said["everyone"])
    if protocol.name != said["name"] or protocol.reduced != c.data["reduced"] or protocol.file_name != c.path.name:
        yield f"protocol: folds, epochs, seeds and everyone are those of {protocol.name} ({protocol.file_name})"
    folds = [(fold, seed) for seed in said["seeds"] for fold in range(protocol.folds)]
    aside = [(None, seed) for seed in said["seeds"]] if c.data["holdout_files"] else []
    for name, wanted in (("files", folds), ("holdout_files", aside)):
        there = [(f["fold"], f["seed"], f["path"]) for f in c.data[name]]
        if there != [(fold, seed, protocol.predictions_name(fold, seed)) for fold, seed in wanted]:
            yield f"{name}: not one of each fold and seed of the protocol"
    for f in (*c.data["files"], *c.data["holdout_files"]):
        file = c.path.parent / Path(f["path"]).name
        if not file.is_file():
            yield f"{file.name}: missing"
        elif sha256_of(file) != f["sha256"]:
            yield f"{file.name}: SHA-256 {sha256_of(file)}, the certificate says {f['sha256']}"


def _derived(c: Certificate) -> Iterator[str]:
    """All that follows from the predictions."""
    folder = c.path.parent
    parts, aside = predictions(c.data["files"], folder), predictions(c.data["holdout_files"], folder)
    again = json.loads(json.dumps(derive(c.data, parts, aside)))
    for name in DERIVED:
        yield from _compared(name, c.data.get(name), again[name])
    groups = again["result"]["groups"]
    if c.data["split"]["unit"] + "s" == c.data["data"]["groups"] and groups != c.data["split"]["search_groups"]:
        yield f"split.search_groups: the certificate says {c.data['split']['search_groups']}, the predictions {groups}"
    if aside and again["holdout_result"]["groups"] != c.data["holdout"]["groups"]:
        yield f"holdout.groups: the certificate says {c.data['holdout']['groups']}, the predictions others"


def _compared(where: str, said: Any, found: Any) -> Iterator[str]:
    """Where two pieces of plain data differ."""
    if isinstance(found, Mapping) and isinstance(said, Mapping) and set(said) == set(found):
        for name, value in found.items():
            yield from _compared(f"{where}.{name}", said[name], value)
    elif isinstance(found, list) and isinstance(said, list) and len(said) == len(found):
        for number, value in enumerate(found):
            yield from _compared(f"{where}[{number}]", said[number], value)
    elif not _equal(said, found):
        yield f"{where}: the certificate says {_short(said)}, the predictions give {_short(found)}"


def _equal(said: Any, found: Any) -> bool:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (said, found))
    if numbers and (isinstance(said, float) or isinstance(found, float)):
        return math.isclose(said, found, rel_tol=_CLOSE, abs_tol=_CLOSE)
    return type(said) is type(found) and bool(said == found)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _seal(c: Certificate) -> Iterator[str]:
    if seal_of(c.data) != c.data["seal"]:
        yield "seal: something was changed after the certificate was issued"


def _beside(c: Certificate) -> Iterator[str]:
    """The Markdown file."""
    path = c.path.with_suffix(".md")
    if not path.is_file():
        yield f"{path.name}: missing"
    elif path.read_text(errors="replace") != markdown(c.data):
        yield f"{path.name}: does not say what {c.path.name} says"


def run_of(path: Path) -> RunDirectory | None:
    """The run that a certificate lies in; None where it was taken out of it."""
    folder = path.absolute().parent
    directory = RunDirectory(folder.parent.parent)
    return directory if folder.parent == directory.models and (directory.path / "run.yaml").is_file() else None


def _run(c: Certificate) -> list[str]:
    """What run.yaml and events.jsonl say, where they are at hand."""
    directory = run_of(c.path)
    if directory is None:
        return []
    settings = directory.settings()["settings"]
    trained = [asdict(k) for k in class_bounds(Indicator.from_json(settings["indicator"]))]
    recipe = {**UNSAID, **c.data["recipe"]}
    pairs: Sequence[tuple[str, Any, Any]] = (
        ("data.fingerprint", c.data["data"]["fingerprint"], settings["data_fingerprint"]),
        # Certified by the paper's schedule, whatever the search trained with.
        ("recipe", recipe, {**recipe, **settings["recipe"], "schedule": "paper"}),
        ("constraints", c.data["constraints"], trained),
        ("split.seed", c.data["split"]["seed"], settings["seed"]),
    )
    found = [
        f"{name}: the certificate says {_short(said)}, run.yaml {_short(recorded)}"
        for name, said, recorded in pairs
        if said != recorded
    ]
    return found + list(_events(c, Ledger(directory)))


def _events(c: Certificate, ledger: Ledger) -> Iterator[str]:
    key = (c.id, c.data["protocol"]["name"])
    issued = ledger.last(key, CERTIFIED, CHECKED)
    if issued is None:
        yield "events.jsonl: has no word of this certificate"
        return
    if issued.get("seal") != c.data["seal"]:
        yield f"seal: events.jsonl recorded {issued.get('seal')}, the certificate has {c.data['seal']}"
    tests = [list(k) for k in ledger.begun_before(issued)]
    if tests != c.data["selection"]["tests"]:
        said = _short(c.data["selection"]["tests"])
        yield f"selection.tests: the certificate says {said}, events.jsonl {_short(tests)}"
    before = ledger.looks_before(key)
    looked = c.data["holdout_files"] or (c.data["protocol"]["everyone"] and c.data["holdout"])
    if looked and c.data["holdout"]["looked_before"] != before:
        yield f"holdout.looked_before: the certificate says {c.data['holdout']['looked_before']}, events.jsonl {before}"
    hashes = ledger.hashes(key)
    for f in (*c.data["files"], *c.data["holdout_files"]):
        if hashes.get(f["path"], f["sha256"]) != f["sha256"]:
            yield f"{f['path']}: events.jsonl recorded SHA-256 {hashes[f['path']]} when it was trained"
