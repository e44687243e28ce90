"""The files of a network that is not trained, as large and as fast as those of a trained one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.cost import cost_of
from nas.deploy.held import as_input, spread_of
from nas.graph import Graph
from nas.networks.applications import counted_macs
from nas.networks.network import Network, build_network
from nas.networks.tflite import check_same_output, listed, run_tflite, to_tflite, unlisted

FLOAT: Final = "model.tflite"
INT8: Final = "model.int8.tflite"
_NOISE: Final = 0.01  # too little to make anything overflow
_COMPARED: Final = 8  # images on which the float file is compared with the model


def converted_files(network: Network, inputs: Sequence[Any], name: str, *, seed: int) -> dict[str, bytes]:
    """Both TFLite files of ``network`` with made-up weights, and under ``name`` as JSON what is known of them.

    The JSON says ``params``, ``macs``, how the latter were counted, each file's SHA-256 (``files``), and where there is
    no int8 file, why (``int8_failure``, else null).

    Args:
        network: what to build.
        inputs: uint8 images (n, h, w, c), and float32 landmarks (n, 2 x points) where the network takes them, for the
            ranges of int8 tensors.
        name: of the JSON file.
        seed: of the weights.

    Raises:
        InputError: it cannot be built.
        ConversionError: the float file computes something else than the model.
    """
    import tensorflow as tf
    import tf_keras

    with tf.device("/CPU:0"):  # a GPU's reduced precision would show in the comparison
        model = build_network(network, tf_keras, seed=seed)
        images, *told = inputs
        chosen = [as_input(spread_of(images)), *(spread_of(each) for each in told)]
        with disturbed(model, seed):
            files = {FLOAT: to_tflite(model)}
            check_same_output(model, files[FLOAT], unlisted([x[:_COMPARED] for x in chosen]))
            int8, failure = _quantized(model, chosen)
    if int8 is not None:
        files[INT8] = int8
    known = {
        **_costs(network, model),
        "files": {file: hashlib.sha256(content).hexdigest() for file, content in files.items()},
        "int8_failure": failure,
    }
    return {**files, name: json.dumps(known).encode()}  # in this order: who finds the last one finds all


@contextmanager
def disturbed(model: Any, seed: int) -> Iterator[None]:
    """While entered, a model at birth has noise on its weights, so that its files are those of a trained one.

    The converter keeps equal constants once, and many are equal or zero at birth.  A link that is closed at birth gives
    an int8 tensor without a range, which XNNPACK leaves to slower kernels.  Variances stay positive.
    """
    rng, kept = np.random.default_rng(seed), model.get_weights()
    floating = (v.dtype.kind == "f" for v in kept)
    noise = (_NOISE * rng.random(v.shape) for v in kept)
    model.set_weights([v + n if f else v for v, n, f in zip(kept, noise, floating, strict=True)])
    try:
        yield
    finally:
        model.set_weights(kept)


def _costs(network: Network, model: Any) -> dict[str, Any]:
    if isinstance(network, Graph):
        cost = cost_of(network)
        return {"params": cost.params, "macs": cost.macs, "macs_from": "the operator graph"}
    return {"params": model.count_params(), "macs": counted_macs(model), "macs_from": "the layers of the Keras model"}


def _quantized(model: Any, given: Sequence[npt.NDArray[np.float32]]) -> tuple[bytes | None, str | None]:
    """The int8 file, or why there is none."""
    try:
        content = to_tflite(model, calibration=unlisted(list(given)))
        answers = listed(run_tflite(content, unlisted([x[:1] for x in given])))
        if not all(np.isfinite(answer).all() for answer in answers):
            return None, "the int8 file puts out no numbers"
    except Exception as error:  # noqa: BLE001 - converters raise of every kind; the float file stands all the same
        return None, f"no int8 file: {(str(error).strip().splitlines() or [''])[0] or type(error).__name__}"[:500]
    return content, None
