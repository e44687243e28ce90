"""What a compressed file is worth, measured on the file itself as LiteRT runs it."""

from __future__ import annotations

from dataclasses import dataclass

from nas.compression.contents import kernels_of, sparsity, zip_bytes
from nas.deploy.compared import CONFIDENCE, Answers, Comparison, answers, compare
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
        outputs: what its answers are, see :attr:`nas.graph.Graph.outputs`.
        answers: what it says of the test images.
        measurements: of it.
    """

    content: bytes
    outputs: tuple[str, ...]
    answers: Answers
    measurements: dict[str, Measurement]

    @classmethod
    def of(cls, content: bytes, images: HeldImages, outputs: tuple[str, ...]) -> Original:
        """Runs and times the file."""
        got = answers(content, images, outputs)
        measured = _weighed(content) | _timed(content, None)
        return cls(content, outputs, got, _scored(compare(got, got, images)) | measured)


def measure(content: bytes, original: Original, images: HeldImages) -> dict[str, Measurement]:
    """Accuracy, paired difference, agreement, sizes, sparsity and latency of a file; of values, their error.

    Raises:
        ConversionError: it is no TFLite file, or its answers are not all numbers.
    """
    found = compare(answers(content, images, original.outputs), original.answers, images)
    out = _scored(found)
    if (n := found.numbers) is not None:
        how = "values less the float file's, all out-of-fold images of fold 0"
        for name, value in (("values_rms", n.rms_difference), ("values_largest", n.largest_difference)):
            out[f"{name}_difference"] = Measurement(value, value, value, "", found.images, how)
    if (d := found.difference) is not None:
        how = f"accuracy less the float file's, paired by image, over {d.groups} {images.group_kind}, {CONFIDENCE:g}"
        out["difference"] = Measurement(d.value, d.low, d.high, "share", d.images, how)
    if (same := found.agreement) is not None:
        how = "same answer as the float file, all out-of-fold images of fold 0"
        out["agreement"] = Measurement(same, same, same, "share", found.images, how)
    return out | _weighed(content) | _timed(content, original.content)


def _scored(found: Comparison) -> dict[str, Measurement]:
    """How good the answers are: accuracy, root mean square error."""
    out = {} if found.accuracy is None else {"accuracy": found.accuracy}
    if found.numbers is not None and (rmse := found.numbers.rmse) is not None:
        how = "mean over the targets, all out-of-fold images of fold 0; without an interval"
        out["rmse"] = Measurement(rmse, rmse, rmse, "", found.images, how)
    return out


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
