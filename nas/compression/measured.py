"""What a compressed file is worth, measured on the file itself as LiteRT runs it."""

from __future__ import annotations

from dataclasses import dataclass

from nas.compression.contents import kernels_of, sparsity, zip_bytes
from nas.deploy.compared import CONFIDENCE, Probabilities, answers, compare
from nas.deploy.held import HeldImages
from nas.deploy.latency import measure_latency
from nas.measurement import Measurement

_TIMED = "this machine, 1 thread, batch 1, LiteRT"
_ZIP = "a zip archive (deflate, level 9) of the file"


@dataclass(frozen=True, eq=False)
class Original:
    """The float network's own file, beside which every variant is measured.

    Attributes:
        content: its bytes.
        probabilities: what it answers, (m, classes) of the m test images.
        measurements: of it.
    """

    content: bytes
    probabilities: Probabilities
    measurements: dict[str, Measurement]

    @classmethod
    def of(cls, content: bytes, images: HeldImages) -> Original:
        """Runs and times the file."""
        got = answers(content, images)
        measured = _weighed(content) | _timed(content, None)
        accuracy = compare(got, got, images).accuracy
        return cls(content, got, measured if accuracy is None else {"accuracy": accuracy} | measured)


def measure(content: bytes, original: Original, images: HeldImages) -> dict[str, Measurement]:
    """Accuracy, paired difference, agreement, sizes, sparsity and latency of a file.

    Raises:
        ConversionError: it is no TFLite file, or its answers are not all numbers.
    """
    found = compare(answers(content, images), original.probabilities, images)
    out: dict[str, Measurement] = {}
    if found.accuracy is not None:
        out["accuracy"] = found.accuracy
    if (d := found.difference) is not None:
        how = f"accuracy less the float file's, paired by image, over {d.groups} {images.group_kind}, {CONFIDENCE:g}"
        out["difference"] = Measurement(d.value, d.low, d.high, "share", d.images, how)
    out["agreement"] = Measurement(
        *(found.agreement, found.agreement, found.agreement, "share", found.images),
        "same answer as the float file, all out-of-fold images of fold 0",
    )
    return out | _weighed(content) | _timed(content, original.content)


def _weighed(content: bytes) -> dict[str, Measurement]:
    share = sparsity(kernels_of(content))
    return {
        "size_bytes": Measurement.exact(len(content), "bytes", "the TFLite file"),
        "zip_bytes": Measurement.exact(zip_bytes(content), "bytes", _ZIP),
        "sparsity": Measurement.exact(share, "share", "zeros among the kernels' weights in the file"),
    }


def _timed(content: bytes, reference: bytes | None) -> dict[str, Measurement]:
    """Latency, and where there is a reference its ratio to that one's."""
    timed = measure_latency(content, reference, beside="float file")
    ends, n, doubt = (timed.median_ms, timed.low_ms, timed.high_ms), timed.runs, timed.doubt
    out = {"latency_ms": Measurement(*ends, "ms", n, _TIMED, doubt)}
    if reference is None or timed.ratio is None or timed.ratio_low is None or timed.ratio_high is None:
        return out
    quotient = timed.ratio, timed.ratio_low, timed.ratio_high
    return out | {"latency_ratio": Measurement(*quotient, "ratio", n, f"to the float file's, {_TIMED}", doubt)}
