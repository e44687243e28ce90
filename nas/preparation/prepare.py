"""Prepares a data set: one folder of images of one size, with a manifest, whatever layout it came in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import __version__ as pillow_version

import nas
from nas.data.captions import SYNTHETIC_CAPTION
from nas.data.dataset import Dataset
from nas.data.imagefile import BrokenImageError
from nas.data.paths import existing_path
from nas.data.recognise import SYNTHETIC
from nas.errors import InputError
from nas.preparation.faces import Detector
from nas.preparation.folder import appearing, check_new
from nas.preparation.manifest import Manifest
from nas.preparation.picture import Maker
from nas.preparation.plan import Plan, Report
from nas.preparation.source import Source, open_source
from nas.preparation.upscale import LANCZOS, Upscaler
from nas.preparation.view import EYE_LEFT, EYE_RIGHT

RECORD: Final = "prepare.json"
MISSED: Final = "missed.txt"
SCHEMA: Final = 1

Progress = Callable[[int, int], None]


def prepare(
    source: str | Path,
    out: Path,
    plan: Plan,
    *,
    detector: Detector | None = None,
    upscaler: Upscaler | None = None,
    progress: Progress | None = None,
) -> Report:
    """Makes every image of a data set ready, and writes them with their manifest into a new folder.

    Written are ``images/``, ``manifest.csv`` (:mod:`nas.preparation.manifest`), ``missed.txt`` (images in which no face
    was found, or no eyes) and ``prepare.json`` (what was done).

    Args:
        source: what :func:`nas.data.recognise.load_dataset` takes.
        out: the folder; must not exist, or be empty.  After an error it is as before.
        plan: what is to be done to each image.
        detector: finds faces and eyes in images that have no landmarks of their own; without one those count as
            images in which no face was found.
        upscaler: enlarges what is smaller than it should be; None is Lanczos.
        progress: told how many images of how many are done.

    Raises:
        InputError: no data that can be used, something at ``out``, or nothing was left.
        EnvironmentStopError: the disk is full.
    """
    check_new(out)
    _refuse_inside(source, out)
    found = open_source(source)
    maker = Maker(plan, _is_grey(plan, found.dataset), detector, upscaler)
    report = Report()
    with appearing(out) as folder, Manifest(folder, found) as manifest:
        for index in range(len(found.dataset)):
            _make(index, found, maker, manifest, report)
            if progress is not None:
                progress(index + 1, len(found.dataset))
        if not report.made:
            raise InputError(_nothing_left(source, report))
        manifest.finish()
        report.lost = _lost(found.dataset, report)
        _write_records(folder, source, found, maker, report)
    return report


def _refuse_inside(source: str | Path, out: Path) -> None:
    """The prepared images must not become part of the data that they are made from."""
    if source == SYNTHETIC:
        return
    root = existing_path(source).resolve()
    if root.is_dir() and out.resolve().is_relative_to(root):
        raise InputError(f"{out} lies within {root}, whose images are to be prepared: name a folder outside of it")


def _is_grey(plan: Plan, dataset: Dataset) -> bool:
    return dataset.input_shape[2] == 1 if plan.colour is None else plan.colour == "grey"


def _make(index: int, found: Source, maker: Maker, manifest: Manifest, report: Report) -> None:
    """One image, written and counted."""
    name = found.name(index)
    try:
        photograph = found.photograph(index)
    except BrokenImageError:
        report.unreadable.append(name)
        return
    prepared = maker.made(photograph, found.landmarks(index, photograph))
    if prepared is None or prepared.missed:
        label = found.dataset.class_names[int(found.dataset.labels[index])]
        report.missed.setdefault(label, []).append(name)
    if prepared is not None:
        manifest.add(index, prepared)
        report.add(name, prepared)


def _nothing_left(source: str | Path, report: Report) -> str:
    missed, unreadable = len(report.missed_names), len(report.unreadable)
    return (
        f"{source}: nothing is left: no face was found in {missed} images, {unreadable} cannot be read; look at some "
        "of them, or add --missing keep"
    )


def _lost(dataset: Dataset, report: Report) -> list[str]:
    """What is known of the data and does not come through."""
    lost = ["soft labels (each image has its one label)"] if dataset.soft_labels is not None else []
    if dataset.landmarks is not None and report.without_landmarks:
        lost.append(f"landmarks of {report.without_landmarks} images")
    return lost


def _write_records(folder: Path, source: str | Path, found: Source, maker: Maker, report: Report) -> None:
    if report.missed:
        lines = "".join(f"{name}\n" for name in report.missed_names)
        (folder / MISSED).write_text(lines, encoding="utf-8", errors="replace")
    record = _record(source, found, maker, report)
    (folder / RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if found.dataset.caption == SYNTHETIC_CAPTION:  # which must go with whatever is measured on them
        (folder / "README.txt").write_text(f"{SYNTHETIC_CAPTION}\n", encoding="utf-8")


def _asked(maker: Maker, report: Report) -> str | None:
    """The detector, where it was needed: images with landmarks of their own are not shown to it."""
    needed = report.missed or "detector" in report.placed_by
    return maker.detector.name if needed and maker.detector is not None else None


def _record(source: str | Path, found: Source, maker: Maker, report: Report) -> dict[str, Any]:
    dataset = found.dataset
    return {
        "schema": SCHEMA,
        "versions": {"nanosynth": nas.__version__, "numpy": np.__version__, "pillow": pillow_version},
        "source": {
            "path": str(source),
            "kind": dataset.kind,
            "caption": dataset.caption,
            "images": len(dataset),
            "fingerprint": dataset.fingerprint,
            "warnings": list(dataset.warnings),
        },
        "plan": asdict(maker.plan),
        "channels": 1 if maker.grey else 3,
        "eyes_at": [EYE_LEFT, EYE_RIGHT] if maker.plan.align else None,
        "detector": _asked(maker, report),
        "enlarged_by": LANCZOS if maker.upscaler is None else maker.upscaler.name,
        "counts": {
            "made": report.made,
            "placed_by": report.placed_by,
            "missed": len(report.missed_names),
            "missed_by_class": {name: len(names) for name, names in sorted(report.missed.items())},
            "unreadable": len(report.unreadable),
            "several_faces": len(report.several),
            "enlarged": report.enlarged,
            "enlarged_by_model": report.by_model,
            "without_landmarks": report.without_landmarks,
        },
        "lost": report.lost,
        "missed": report.missed_names,
        "several_faces": report.several,
        "unreadable": report.unreadable,
    }
