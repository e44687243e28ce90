"""Takes a trained candidate out of a run: files that others can load, with a card that says what they are."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.deploy.card import card_json, card_markdown
from nas.deploy.formats import FORMATS, Exported, Trained, check_formats
from nas.deploy.order import ExportOrder
from nas.errors import DecodeError, InputError
from nas.run.atomic import write_atomic
from nas.run.candidate import Candidate, State
from nas.run.directory import IMPORTANCE, RunDirectory, weights_name

WEIGHTS: Final = weights_name(0)


def export_candidate(candidate: Candidate, order: ExportOrder) -> dict[str, Path]:
    """Writes ``<out>/<id>/`` with one file a format, ``card.json``, ``card.md`` and ``architecture.json``.

    Everything is made and compared before the first file is written; each file is written atomically, the cards last.
    Files that an earlier export of the same weights left in the folder stay on the card.

    Returns:
        The path of each format's file, and those of ``card`` (JSON), ``card-md`` and ``architecture``.

    Raises:
        InputError: an unknown format, a candidate without weights, or data that does not fit it.
        ConversionError: a file that does not compute what the network computes; nothing is written.
        EnvironmentStopError: the disk is full, or the folder cannot be written.
    """
    import tensorflow as tf

    formats = check_formats(order.formats)
    weights_bytes, weights = read_weights(order.directory, candidate)
    graph = candidate.network().graph()
    if len(order.class_names) != graph.classes:
        raise InputError(
            f"{len(order.class_names)} class names for a network with {graph.classes} outputs: name each one"
        )
    with tf.device("/CPU:0"):  # a GPU's reduced precision would show in the comparison
        trained = Trained.of(graph, weights, order.images)
        made = {name: FORMATS[name].make(trained) for name in formats}
    folder = order.out / candidate.id
    digest = hashlib.sha256(weights_bytes).hexdigest()
    files = {**_earlier(folder, digest), **{name: _entry(name, e) for name, e in made.items()}}
    card = card_json(candidate, order, graph, files, digest)
    paths = {name: folder / FORMATS[name].file for name in formats}
    for name, path in paths.items():
        write_atomic(path, made[name].content)
    last = {"architecture": "architecture.json", "card-md": "card.md", "card": "card.json"}
    write_atomic(folder / last["architecture"], candidate.architecture)
    write_atomic(folder / last["card-md"], card_markdown(card))
    write_atomic(folder / last["card"], json.dumps(card, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    return {**paths, **{what: folder / file for what, file in last.items()}}


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
            return content, {name: file[name] for name in file.files if not name.startswith(IMPORTANCE)}
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no weights of this candidate; only members of the current front and the prototype keep theirs: "
            "pick one of those, or search again with it as the prototype"
        ) from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DecodeError(f"{path}: damaged ({error}); restore the file, or pick another candidate") from error


def _entry(name: str, exported: Exported) -> dict[str, Any]:
    """What the card says of one file."""
    return {
        "file": FORMATS[name].file,
        "what": FORMATS[name].what,
        "size_bytes": len(exported.content),
        "sha256": hashlib.sha256(exported.content).hexdigest(),
        **exported.found,
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
