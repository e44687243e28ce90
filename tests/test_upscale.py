"""Super-resolution by a model's file: checked by its shapes, and by what it makes of a smooth image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from nas.cli.main import app
from nas.data.recognise import load_dataset
from nas.errors import InputError
from nas.preparation.upscale import ModelUpscaler


def tflite(path: Path, compute: Any, shape: tuple[int | None, ...], dtype: str = "float32") -> Path:
    """A TFLite file of a TensorFlow function."""
    import tensorflow as tf

    function = tf.function(compute, input_signature=[tf.TensorSpec(shape, dtype)]).get_concrete_function()
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([function]).convert())
    return path


def doubled(x: Any) -> Any:
    """Each pixel four times, as a network with one transposed convolution would."""
    import tensorflow as tf

    return tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Doubles a grey image of 8x8."""
    return tflite(tmp_path_factory.mktemp("models") / "twice.tflite", doubled, (1, 8, 8, 1))


def image(channels: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side, channels), dtype=np.uint8)


def test_a_fixed_model_enlarges_by_its_factor(twice: Path) -> None:
    model = ModelUpscaler(twice)
    assert (model.side, model.factor, model.channels, model.name) == (8, 2, 1, "twice.tflite (x2)")
    given = image(1)
    np.testing.assert_array_equal(model.enlarged(given), given.repeat(2, axis=0).repeat(2, axis=1))


def test_colour_for_a_grey_model_is_refused(twice: Path) -> None:
    with pytest.raises(InputError, match="add --grey"):
        ModelUpscaler(twice).enlarged(image(3))


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_a_free_model_takes_any_side(tmp_path: Path, dtype: str) -> None:
    model = ModelUpscaler(tflite(tmp_path / "free.tflite", doubled, (1, None, None, 3), dtype))
    assert (model.side, model.factor) == (None, 2)
    for side in (6, 11):
        colour, grey = image(3, side), image(1, side)
        np.testing.assert_array_equal(model.enlarged(colour), colour.repeat(2, axis=0).repeat(2, axis=1))
        np.testing.assert_array_equal(model.enlarged(grey), grey.repeat(2, axis=0).repeat(2, axis=1))


def test_models_of_other_shapes_or_scales_are_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    cases = (
        (lambda x: x * 1.0, (1, 8, 8, 1), r"it gives \(1, 8, 8, 1\).*k from 2 to 16"),
        (lambda x: tf.reduce_mean(x, axis=(1, 2)), (1, 8, 8, 3), r"it gives \(1, 3\)"),
        (lambda x: tf.repeat(x, 2, axis=1), (1, 8, 8, 1), r"it gives \(1, 16, 8, 1\)"),
        (lambda x: doubled(x) * 200.0, (1, 8, 8, 1), "must take and give 0..1"),
        (doubled, (1, 8, 6, 1), r"its input is \(1, 8, 6, 1\)"),
        (doubled, (1, 8, 8, 5), r"its input is \(1, 8, 8, 5\)"),
    )
    for index, (compute, shape, message) in enumerate(cases):
        with pytest.raises(InputError, match=message):
            ModelUpscaler(tflite(tmp_path / f"{index}.tflite", compute, shape))


def test_files_that_are_no_models(tmp_path: Path) -> None:
    for name, message in (("a.tflite", "not a TFLite file"), ("a.pb", "takes 'lanczos', a .tflite or an .onnx file")):
        (tmp_path / name).write_bytes(b"TFL3 nothing of the kind")
        with pytest.raises(InputError, match=message):
            ModelUpscaler(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read"):
        ModelUpscaler(tmp_path / "absent.tflite")


@pytest.mark.parametrize("sides", [(8, 8), ("h", "w")])
def test_onnx_files_have_their_channels_first(tmp_path: Path, sides: tuple[Any, Any]) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    scales = helper.make_tensor("scales", kind, [4], [1.0, 1.0, 3.0, 3.0])
    node = helper.make_node(
        "Resize", ["x", "", "scales"], ["y"], mode="nearest", nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )  # fmt: skip
    graph = helper.make_graph(
        [node],
        "thrice",
        [helper.make_tensor_value_info("x", kind, [1, 1, *sides])],
        [helper.make_tensor_value_info("y", kind, None)],
        [scales],
    )
    path = tmp_path / "thrice.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    model = ModelUpscaler(path)
    assert (model.factor, model.side) == (3, 8 if sides == (8, 8) else None)
    given = image(1)
    np.testing.assert_array_equal(model.enlarged(given), given.repeat(3, axis=0).repeat(3, axis=1))
    path.write_bytes(b"no model")
    with pytest.raises(InputError, match="not an ONNX file"):
        ModelUpscaler(path)


def test_the_command_says_which_images_a_model_enlarged(twice: Path, tmp_path: Path) -> None:
    """Images of 8x8 are doubled by the model, and not at all where they need not be."""
    images = np.random.default_rng(1).integers(0, 256, (6, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "small.npz", x=images, y=np.arange(6) % 2)
    for size, said in ((16, "6 by twice.tflite (x2)"), (8, "")):
        out = tmp_path / f"out{size}"
        words = ["data", "prepare", tmp_path / "small.npz", out, "--size", size, "--upscale", twice]
        result = CliRunner().invoke(app, list(map(str, words)))
        assert result.exit_code == 0, result.output
        assert (said in result.output) and ("enlarged" in result.output) == bool(said)
        factor = size // 8
        np.testing.assert_array_equal(
            load_dataset(out).images[..., 0], images.repeat(factor, axis=1).repeat(factor, axis=2)
        )
