"""Takes a trained candidate out of a run: files that others can load, with a card that says what they are."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.deploy.card import card_json, card_markdown, check_names
from nas.deploy.formats import FORMATS, Trained, check_formats
from nas.deploy.order import ExportOrder
from nas.deploy.shipped import Shipped, describe, ship
from nas.errors import DecodeError, InputError
from nas.run.atomic import write_together
from nas.run.candidate import Candidate, State
from nas.run.directory import IMPORTANCE, RunDirectory, weights_name
from nas.run.predictions import DAMAGED

WEIGHTS: Final = weights_name(0)


def export_candidate(candidate: Candidate, order: ExportOrder) -> dict[str, Path]:
    """Writes ``<out>/<id>/`` with one file a format, ``card.json``, ``card.md`` and ``architecture.json``.

    Everything is made, read back by an independent interpreter and compared before the first file is written; then all
    are written together, the cards last.
    Files that an earlier export of the same weights left in the folder stay on the card.

    Returns:
        The path of each format's file, and those of ``card`` (JSON), ``card-md`` and ``architecture``.

    Raises:
        InputError: an unknown format, a candidate without weights, or data that does not fit it.
        ConversionError: an operator that a converter cannot take, or a file whose answers are beyond the tolerance of
            its format (:data:`nas.deploy.tolerance.TOLERANCES`); nothing is written.
        EnvironmentStopError: the disk is full, or the folder cannot be written.
    """
    import tensorflow as tf

    formats = check_formats(order.formats)
    weights_bytes, weights = read_weights(order.directory, candidate)
    graph = candidate.network().graph()
    check_names(graph, order.class_names, order.target_names)
    with tf.device("/CPU:0"):  # a GPU's reduced precision would show in the comparison
        made = _ship_all(formats, candidate.id, Trained.of(graph, weights, order.images), order)
    folder = order.out / candidate.id
    digest = hashlib.sha256(weights_bytes).hexdigest()
    files = {**_earlier(folder, digest), **{name: _entry(name, shipped) for name, shipped in made.items()}}
    card = card_json(candidate, order, graph, files, digest)
    contents: dict[str, tuple[str, bytes | str]] = {name: (FORMATS[name].file, made[name].content) for name in formats}
    contents["architecture"] = "architecture.json", candidate.architecture
    contents["card-md"] = "card.md", card_markdown(card)
    contents["card"] = "card.json", json.dumps(card, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_together({folder / file: content for file, content in contents.values()})
    return {what: folder / file for what, (file, _) in contents.items()}


def _ship_all(formats: tuple[str, ...], network: str, trained: Trained, order: ExportOrder) -> dict[str, Shipped]:
    """Each format.  TFLite files are timed beside the float32 one, made for that where it is not asked for."""
    if "tflite-int8" in formats and trained.images is None:  # before minutes are spent on the others
        FORMATS["tflite-int8"].make(trained, describe("tflite-int8", network, trained, order))
    timed = [name for name in formats if FORMATS[name].is_tflite and name != "tflite"]
    made: dict[str, Shipped] = {}
    if timed:
        made["tflite"] = ship("tflite", network, trained, order)
    reference = made["tflite"].content if timed else None
    for name in formats:
        if name not in made:
            made[name] = ship(name, network, trained, order, reference)
    return {name: made[name] for name in formats}


def read_weights(directory: RunDirectory, candidate: Candidate) -> tuple[bytes, dict[str, npt.NDArray[np.float32]]]:
    """The file of fold 0's weights, and what is in it.

    Raises:
        InputError: the candidate was not trained, or its weights were not kept.
        DecodeError: the file is damaged.
    """
    if candidate.outcome is None or candidate.outcome.state is not State.TRAINED:
        raise InputError(
            f"{candidate.id} (trial {candidate.trial}) is {candidate.state.value}: only a trained one has weights"
        )
    path = directory.model_file(candidate.id, WEIGHTS)
    try:
        content = path.read_bytes()
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            weights = {name: file[name] for name in file.files if not name.startswith(IMPORTANCE)}
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no weights of this candidate; only members of the current front and the prototype keep theirs: "
            "pick one of those, or search again with it as the prototype"
        ) from error
    except DAMAGED as error:
        raise DecodeError(f"{path}: damaged ({error}); restore the file, or pick another candidate") from error
    for name, values in weights.items():
        if values.dtype != np.float32 or not np.isfinite(values).all():
            raise DecodeError(f"{path}: damaged ({name} holds no numbers); restore the file, or pick another candidate")
    return content, weights


def _entry(name: str, shipped: Shipped) -> dict[str, Any]:
    """What the card says of one file."""
    return {
        "file": FORMATS[name].file,
        "what": FORMATS[name].what,
        "size_bytes": len(shipped.content),
        "sha256": hashlib.sha256(shipped.content).hexdigest(),
        **shipped.found,
    }


def _earlier(folder: Path, weights_sha256: str) -> dict[str, Any]:
    """Entries of an earlier card of the same weights whose files are still what they were."""
    try:
        card = json.loads((folder / "card.json").read_text())
        entries: Mapping[str, Any] = card["files"] if card["weights"]["sha256"] == weights_sha256 else {}
        return {
            name: entry
            for name, entry in entries.items()
            if name in FORMATS and _sha256(folder / FORMATS[name].file) == entry["sha256"]
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
