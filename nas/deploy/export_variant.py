"""Takes a compressed variant out of a run: its TFLite file, with a card that says what it is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from nas.deploy.card import SCHEMA, caveats_of, check_names, conventions, metadata_for
from nas.deploy.formats import noise
from nas.deploy.tflite_signed import signed
from nas.errors import DecodeError, InputError
from nas.networks.tflite import ConversionError, listed, run_tflite
from nas.run.atomic import write_together
from nas.run.candidate import Candidate
from nas.run.directory import RunDirectory
from nas.run.lock import utc_now
from nas.run.variants import FILE, Variant, read_variant, variants_of

FORMAT: Final = "tflite"
_COMPARED: Final = 4  # images of noise on which the named file is compared with the measured one


@dataclass(frozen=True)
class VariantOrder:
    """What is exported, apart from the variant.

    Attributes:
        directory: the run.
        out: where the variant's folder goes, ``<out>/<id>/variants/<name>/``.
        formats: ``tflite`` alone.
        class_names: in the order of the network's outputs.
        caption: how the data must be named, verbatim.
        target_names: in the order of the network's values.
    """

    directory: RunDirectory
    out: Path
    formats: tuple[str, ...]
    class_names: tuple[str, ...]
    caption: str
    target_names: tuple[str, ...] = ()


def export_variant(candidate: Candidate, name: str, order: VariantOrder) -> list[Path]:
    """Writes the variant's file and ``card.json``; returns their paths.

    Args:
        candidate: whose variant it is.
        name: such as ``prune-0.8`` (or ``prune:0.8``).
        order: where and as what.

    Raises:
        InputError: no such variant, one that failed, or a format that it cannot have.
        DecodeError: its file is damaged or gone.
        EnvironmentStopError: the disk is full, or the folder cannot be written.
    """
    variant = _found(candidate, name, order.directory)
    others = [f for f in order.formats if f != FORMAT]
    if others or not order.formats:
        raise InputError(
            f"{variant.label}: format {', '.join(others) or 'none'}: what was compressed is the TFLite file itself, "
            f"and no other format holds it; use --format {FORMAT}"
        )
    content = read_variant(order.directory, variant)
    if content is None:
        raise DecodeError(
            f"{variant.label}: its file is gone, or is not the one that was measured; make it again: "
            f"nas compress {order.directory.path} --pick {variant.id} --method {variant.method}"
        )
    named = _named(content, candidate, variant, order)
    folder = order.out / variant.id / "variants" / variant.name
    card = _card(candidate, variant, order) | {"sha256": hashlib.sha256(named).hexdigest(), "size_bytes": len(named)}
    text = json.dumps(card, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_together({folder / FILE: named, folder / "card.json": text})
    return [folder / FILE, folder / "card.json"]


def _named(content: bytes, candidate: Candidate, variant: Variant, order: VariantOrder) -> bytes:
    """The measured file with the signature and the metadata that all exported files have; it computes the same."""
    graph = candidate.network().graph()
    stored = str(variant.details.get("what", variant.method))
    check_names(graph, order.class_names, order.target_names)
    metadata = metadata_for(graph, variant.id, stored, order.caption, order.class_names, order.target_names)
    named, shown = signed(content, metadata), noise(graph, _COMPARED)
    pairs = zip(listed(run_tflite(content, shown)), listed(run_tflite(named, shown)), strict=True)
    if not all(np.array_equal(before, after) for before, after in pairs):
        raise ConversionError(f"{variant.label}: its answers changed as its names were written into it; report this")
    return named


def _found(candidate: Candidate, name: str, directory: RunDirectory) -> Variant:
    made = {v.name: v for v in variants_of(directory).get(candidate.id, ())}
    variant = made.get(name.replace(":", "-"))
    if variant is None:
        there = ", ".join(made) or f"none; make some: nas compress {directory.path} --pick {candidate.id}"
        raise InputError(f"{candidate.id} has no variant {name!r}; there are: {there}")
    if variant.failure is not None:
        raise InputError(f"{variant.label} failed ({variant.failure['reason']}): there is no file of it")
    return variant


def _card(candidate: Candidate, variant: Variant, order: VariantOrder) -> dict[str, Any]:
    """The card as plain data; what was not measured is absent."""
    graph = candidate.network().graph()
    return {
        "schema": SCHEMA,
        "id": variant.id,
        "variant": variant.name,
        "written": utc_now(),
        "measured_on": order.caption,
        "caveats": list(caveats_of(graph)),
        **conventions(graph, order.class_names, order.target_names),
        "file": FILE,
        **{name: value for name, value in variant.to_json().items() if name not in ("id", "name", "failure")},
    }
