"""Networks of ``tf_keras.applications``: they have operators that a graph of ours has not, and are built by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nas.decoding import field, of_kind
from nas.errors import DecodeError, InputError, NasError
from nas.networks.build import BN_MOMENTUM

IMAGENET: Final = "imagenet"
LEAST_SIDE: Final = 32  # pixels, below which tf_keras.applications refuses to build any of them
_MEANS: Final = (123.68, 116.779, 103.939)  # of ImageNet's red, green and blue, which ResNet50 was trained without
_DEVIATIONS: Final = (0.229, 0.224, 0.225)  # EfficientNet divides by their roots


class WeightsError(NasError):
    """Pretrained weights cannot be had."""


class _Recipe(NamedTuple):
    """How one of them is built.

    Attributes:
        function: its name in ``tf_keras.applications``.
        scale, offset: what its pretrained weights expect is pixels in [0, 1] times ``scale`` plus ``offset``.
        always: whether that is so without pretrained weights as well, since it undoes the scaling that is inside.
        options: of the function.
    """

    function: str
    scale: float = 2.0
    offset: float | tuple[float, ...] = -1.0
    always: bool = False
    options: Mapping[str, Any] = {}


_BARE: Final[Mapping[str, Any]] = {"include_preprocessing": False}
_RECIPES: Final[Mapping[str, _Recipe]] = {
    "mobilenet-v1": _Recipe("MobileNet"),
    "mobilenet-v2": _Recipe("MobileNetV2"),
    "mobilenet-v3-small": _Recipe("MobileNetV3Small", options=_BARE),
    "mobilenet-v3-large": _Recipe("MobileNetV3Large", options=_BARE),
    "efficientnet-b0": _Recipe("EfficientNetB0", 255.0, 0.0, always=True),
    "nasnet-mobile": _Recipe("NASNetMobile"),
    "resnet50": _Recipe("ResNet50", 255.0, tuple(-mean for mean in _MEANS)),
}
APPLICATIONS: Final = tuple(_RECIPES)


@dataclass(frozen=True)
class Application:
    """One of :data:`APPLICATIONS`, for images and classes of any number.

    Attributes:
        name: which.
        input_shape: (height, width, channels) of the data.
        classes: number of outputs.
        weights: ``imagenet`` to start from pretrained ones; None for fresh ones.
    """

    name: str
    input_shape: tuple[int, int, int]
    classes: int
    weights: str | None = None

    def __post_init__(self) -> None:
        if self.name not in _RECIPES or self.weights not in (None, IMAGENET):
            raise InputError(
                f"{self.name!r:.80} with weights {self.weights!r:.80}: use one of {', '.join(APPLICATIONS)}, with "
                f"weights None or {IMAGENET}"
            )
        height, width, _ = self.input_shape
        if min(height, width) < LEAST_SIDE:
            raise InputError(f"{self.name} needs images of at least {LEAST_SIDE}x{LEAST_SIDE}, not {height}x{width}")
        if self.weights == IMAGENET and self.input_shape[2] not in (1, 3):
            raise InputError(f"{self.name}: {IMAGENET} weights are for grey or RGB images, not {self.input_shape[2]}")

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        return {**asdict(self), "input_shape": list(self.input_shape)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Application:
        """Reads what :meth:`to_json` wrote.  Raises DecodeError on anything else."""
        height, width, channels = (of_kind(v, "input_shape", int) for v in field(data, "input_shape", list))
        weights = of_kind(data.get("weights"), "weights", str, type(None))
        try:
            return cls(field(data, "name", str), (height, width, channels), field(data, "classes", int), weights)
        except InputError as error:
            raise DecodeError(f"not a known network: {error}") from error

    def build(self, keras: Any, *, seed: int = 0) -> Any:
        """A functional model: float32 images in [0, 1] of shape (batch, h, w, c) to probabilities (batch, classes).

        Batch normalisation has the momentum of every network here, since Keras' .99 leaves its statistics unusable
        after a few dozen steps.  Dropout is as published.  With pretrained weights grey images are repeated for the
        three colours, and pixels are brought to what the weights expect; the head is always fresh.

        Args:
            keras: the module ``tf_keras``.
            seed: of the initial weights and of dropout.  It sets the seeds of the whole process, for Keras gives its
                own networks no others.

        Raises:
            InputError: it cannot be built for such images.
            WeightsError: the pretrained weights cannot be had.
        """
        keras.utils.set_random_seed(seed % 2**32)
        image = keras.Input(self.input_shape, name="input")
        x = self._prepared(image, keras)
        recipe = _RECIPES[self.name]
        try:
            body = getattr(keras.applications, recipe.function)(
                input_tensor=x,
                input_shape=tuple(x.shape[1:]),
                weights=None,
                classes=self.classes,
                classifier_activation=None,
                **recipe.options,
            )
        except ValueError as error:
            raise InputError(f"{self.name} cannot be built for images {self.input_shape}: {error}") from error
        if self.weights is not None:
            take_body(self.name, body, self._pretrained(keras))
        for layer in body.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = BN_MOMENTUM
        logits = body.output if len(body.output.shape) == 2 else keras.layers.Flatten(name="flat")(body.output)
        softmax = keras.layers.Activation("softmax", name="softmax")(logits)
        return keras.Model(image, softmax, name="network")

    def _prepared(self, image: Any, keras: Any) -> Any:
        """The image as the network wants it."""
        recipe = _RECIPES[self.name]
        if self.weights is None and not recipe.always:
            return image
        x = image
        if self.weights is not None and self.input_shape[2] == 1:
            x = keras.layers.Concatenate(name="tiled")([image, image, image])
        return keras.layers.Rescaling(recipe.scale, recipe.offset, name="prepared")(x)

    def _pretrained(self, keras: Any) -> Any:
        """The network without its head, as it was trained on ImageNet.  Raises WeightsError."""
        recipe = _RECIPES[self.name]
        try:
            return getattr(keras.applications, recipe.function)(include_top=False, weights=IMAGENET, **recipe.options)
        except Exception as error:  # Keras raises no other where a download fails
            raise WeightsError(
                f"the {IMAGENET} weights of {self.name} cannot be had ({str(error).strip() or type(error).__name__}): "
                "connect this machine to the network, put the file into ~/.keras/models, or leave --weights out"
            ) from error


def take_body(name: str, model: Any, source: Any) -> None:
    """Assigns the weights of ``source``, a network without head, to the layers of ``model`` that it has as well.

    Layers are counted, since Keras numbers the names of some anew with every model.  ResNet50's first kernel is turned
    to take red, green, blue; EfficientNet's takes the scaling that Keras puts before it with such weights.

    Raises:
        WeightsError: the layers are not the same.
    """
    theirs = [layer for layer in source.layers if layer.weights]
    ours = [layer for layer in model.layers if layer.weights][: len(theirs)]
    first = True
    for mine, other in zip(ours, theirs, strict=True):
        values = other.get_weights()
        if type(mine) is not type(other) or [v.shape for v in values] != [v.shape for v in mine.get_weights()]:
            raise WeightsError(f"{name}: layer {mine.name} is not the {other.name} of the pretrained network")
        if first and hasattr(mine, "kernel"):
            values[0], first = _first_kernel(name, values[0]), False
        mine.set_weights(values)


def _first_kernel(name: str, kernel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The kernel (side, side, 3, n) of the first convolution, for RGB in the scale of :class:`_Recipe`."""
    if name == "resnet50":
        return kernel[:, :, ::-1]  # it was trained on blue, green, red
    if name == "efficientnet-b0":
        deviations = np.array(_DEVIATIONS, np.float32)
        return (kernel / np.sqrt(deviations)[:, None]).astype(np.float32)
    return kernel


def counted_macs(model: Any) -> int:
    """Multiply-accumulates of the convolutions and dense layers of a Keras model, from the shapes of its layers.

    As :func:`nas.cost.cost_of` counts them: each output value of a layer takes one for each element of the kernel that
    it reads; biases, normalisation, activations, pooling and sums count nothing.
    """
    total = 0
    for layer in model.layers:
        names = [v.name.split("/")[-1].split(":")[0] for v in layer.weights]
        positions = math.prod(layer.output_shape[1:-1]) if names and isinstance(layer.output_shape, tuple) else 0
        for name, variable in zip(names, layer.weights, strict=True):
            if name in ("kernel", "depthwise_kernel", "pointwise_kernel"):
                total += positions * math.prod(variable.shape)
    return total
