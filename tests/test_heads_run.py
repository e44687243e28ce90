"""A whole run of networks with two inputs and two answers: searched, exported, compressed, compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import blobs
from test_tasks import with_extras

from nas.api import SearchOptions, search
from nas.families.headed import HeadedArchitecture
from nas.run.directory import PROBES
from nas.rung import Rung


@pytest.mark.slow
def test_it_is_exported_compressed_and_compared(tmp_path: Path) -> None:
    data = with_extras(blobs())
    limits = tmp_path / "limits.yaml"
    limits.write_text("constraints:\n- {metric: params, max: 100k}\n")
    options = SearchOptions(effort=Rung(1, 2), inherit=True, probe=True, task="both", landmarks=True)
    given = {"space": "tiny", "indicator": str(limits), "dataset": data, "options": options}
    run = search(**given, budget=2, executor="local", workers=1, sampler="evolution", out=tmp_path / "run")
    prototype = run.candidates[0]
    assert isinstance(prototype.network(), HeadedArchitecture)
    assert run.directory.model_file(prototype.id, PROBES).is_file()
    assert any(c.outcome and c.outcome.inheritance for c in run.candidates[1:])
    (variant,) = run.compress(prototype.id, ["ptq"], dataset=data)
    assert variant.failure is None and variant.measurements["rmse"].value > 0
    made = {p.name for p in run.export(prototype.id, ["tflite", "tflite-int8", "keras"], dataset=data)}
    assert made >= {"model.tflite", "model.int8.tflite", "model.keras"}
    found = run.compare(["tiny-xception"], pick=prototype.id, folds=2, epochs=1, dataset=data)
    rows = {row.name: row for row in found.rows}
    assert "accuracy" in rows["tiny-xception"].figures and not rows["tiny-xception"].failures
