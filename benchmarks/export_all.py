"""Every format of every front member of a run, as it ships: bytes, agreement, accuracy, paired difference, latency.

    nas search --space benchmarks/small.yaml --data synthetic --image-size 24 --recipe benchmarks/small-recipe.yaml \\
        --constraints none --time 4m --effort 1x20 --out RUN
    python benchmarks/export_all.py RUN [--data ...] [--out DIR] [--json FILE]

Each file is read back from its bytes by an interpreter that did not make it (Keras 3 in safe mode, LiteRT, ONNX
Runtime) and run on the out-of-fold images of fold 0.  Printed: a row a member and format; the least agreement of the
float formats (the goal: 99 %); the median over the front of what int8 costs in accuracy, each a paired difference with
its interval over subjects (95 %).  Latencies are comparable within one run of this script on an idle machine alone.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from statistics import median
from typing import Any

os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")

import nas

FLOAT32 = ("keras", "tflite", "onnx")
FLOATS = (*FLOAT32, "tflite-f16")


def row(member: str, name: str, f: dict[str, Any]) -> str:
    latency, apart = f.get("latency"), f["largest_difference"]
    timed = "-" if latency is None else f"{latency['median_ms']:.3f} ms x {latency.get('ratio', 1):.2f}"
    return (
        f"{member}  {name:<14} {f['size_bytes']:>9,}  {f['agreement_with_float']:7.2%}  {apart:8.1e}  "
        f"{f['accuracy']:6.1%} [{f['accuracy_low']:5.1%}, {f['accuracy_high']:5.1%}]  {change(f)}  {timed}"
    )


def change(f: dict[str, Any]) -> str:
    low, high = f["accuracy_difference_low"], f["accuracy_difference_high"]
    return f"{100 * f['accuracy_difference']:+5.2f} [{100 * low:+6.2f}, {100 * high:+6.2f}]"


def summary(cards: dict[str, dict[str, Any]]) -> dict[str, Any]:
    files = [(member, name, f) for member, card in cards.items() for name, f in card["files"].items()]
    int8 = [f["accuracy_difference"] for _, name, f in files if name == "tflite-int8"]
    return {
        "members": len(cards),
        "least_agreement_float32": min(f["agreement_with_float"] for _, name, f in files if name in FLOAT32),
        "least_agreement_float_formats": min(f["agreement_with_float"] for _, name, f in files if name in FLOATS),
        "median_int8_accuracy_difference": median(int8),
        "worst_int8_accuracy_difference": min(int8),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--data")
    parser.add_argument("--pick", default="all", help="as nas export takes it")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", type=Path, dest="record", help="write the figures here as well")
    a = parser.parse_args()
    run = nas.open_run(a.run)
    cards: dict[str, dict[str, Any]] = {}
    caption = f"{'member':<12}  {'format':<14} {'bytes':>9}  {'agrees':>7}  {'prob. +-':>8}  accuracy [95 %]"
    print(f"{caption:<79}  points, paired [95 %]    latency x float32's", flush=True)
    for paths in run.exporting(a.pick, ["all"], a.out, dataset=a.data):
        card = json.loads(next(p for p in paths if p.name == "card.json").read_text())
        if "not_run_on_data" in card:
            raise SystemExit(f"no data: {card['not_run_on_data']}")
        cards[card["id"]] = card
        for name, f in card["files"].items():
            print(row(card["id"], name, f), flush=True)
    found = summary(cards)
    images = next(iter(next(iter(cards.values()))["files"].values()))["compared_images"]
    print(f"\n{run.caption}; {images} out-of-fold images of fold 0, {found['members']} members")
    print(f"least agreement, float32 formats {found['least_agreement_float32']:.2%}", end="; ")
    print(f"with float16 {found['least_agreement_float_formats']:.2%} (goal: 99 %)")
    print(
        f"int8 after training: median over the front {100 * found['median_int8_accuracy_difference']:+.2f} points",
        end="",
    )
    print(f", worst {100 * found['worst_int8_accuracy_difference']:+.2f}")
    if a.record is not None:
        a.record.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
