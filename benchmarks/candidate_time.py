"""Where a candidate's time goes: the prototype and a network of about 100K parameters, by phase.

    python benchmarks/candidate_time.py [--effort 1x8] [--repeats 3]

Each network is evaluated --repeats + 1 times by one evaluator process; the first carries the start of the process (as
one in twenty does in a search) and of the kernels, the table shows the median of the others.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from nas.data.folds import make_split
from nas.data.recognise import load_dataset
from nas.evaluation.bundle import Bundle
from nas.evaluation.client import SERVES, EvaluatorProcess
from nas.evaluation.job import Setup
from nas.evaluation.train import Recipe
from nas.families.residual_space import ResidualSpace, ResidualSpaceSpec
from nas.indicator import load_indicator
from nas.loop import Plan, Search
from nas.pareto import objectives_of
from nas.run.directory import RunDirectory
from nas.run.study import RunStudy
from nas.rung import Rung
from nas.space import load_space
from nas.synthesis.evolution import EvolutionSampler

PHASES = ("propose", "start", "build", "trace", "train", "predict", "convert", "measure", "record")


def small_space() -> ResidualSpace:
    """The same space around a network of about 100K parameters, with a stem of stride 2."""
    space = load_space("emotionnet-nano")
    assert isinstance(space, ResidualSpace)
    data = space.spec.model_dump()
    data["stem"]["stride"]["prototype"] = 2
    for stage, width in zip(data["stages"], (16, 24, 36), strict=True):
        stage["width"]["prototype"] = stage["inner"]["prototype"] = width
    return ResidualSpace(ResidualSpaceSpec.model_validate(data))


def measure(space: ResidualSpace, bundle: Path, rung: Rung, repeats: int, folder: Path) -> dict[str, float]:
    setup = Setup(load_space("emotionnet-nano").prototype.graph(), load_indicator("emotionnet-nano"), Recipe())
    evaluator = EvaluatorProcess(bundle, setup)
    rows = []
    start_s = 0.0
    for i in range(repeats + 1):
        directory = RunDirectory(folder / str(i))
        directory.path.mkdir(parents=True)
        objectives = objectives_of(["accuracy", "params"])
        plan = Plan(space, setup.indicator, objectives, (1 / 7, 1e6), (rung,), seed=i)
        study = RunStudy(directory.journal, objectives, EvolutionSampler(space, seed=i))
        search = Search(plan, study, directory)
        job = search.propose()
        assert job is not None
        evaluator.submit(job)
        while (finished := evaluator.poll(1.0)) is None:
            pass
        begin = time.perf_counter()
        search.finish(job, finished.outcome, finished.files)
        recorded = time.perf_counter()
        search.propose()
        row = dict(finished.outcome.seconds) | {"record": recorded - begin, "propose": time.perf_counter() - recorded}
        if i == 0:
            start_s = row["start"]
        else:
            rows.append(row)
    evaluator.close()
    return {p: statistics.median(r[p] for r in rows) for p in PHASES} | {"start": start_s / SERVES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--effort", default="1x8")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    data = load_dataset("synthetic")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        Bundle.of(data, make_split(data)).save(folder / "bundle.npz")
        print(f"seconds a candidate at effort {arguments.effort}; start is that of a process, shared by {SERVES}")
        print(f"{'':24}" + "".join(f"{p:>9}" for p in PHASES) + f"{'total':>9}{'not train':>11}")
        for name, space in (("prototype", load_space("emotionnet-nano")), ("100K", small_space())):
            assert isinstance(space, ResidualSpace)
            row = measure(space, folder / "bundle.npz", Rung.parse(arguments.effort), arguments.repeats, folder / name)
            total = sum(row.values())
            label = f"{name} ({space.prototype.cost().params:,})"
            cells = "".join(f"{row[p]:9.3f}" for p in PHASES)
            print(f"{label:24}{cells}{total:9.2f}{1 - row['train'] / total:11.0%}", flush=True)


if __name__ == "__main__":
    main()
