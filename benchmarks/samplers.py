"""Samplers against each other on tables of trained networks, replayed as Optuna studies of accuracy and cost.

    python benchmarks/samplers.py --table nas_bench_macro.json --seeds 20                # hypervolume at each budget
    python benchmarks/samplers.py --table analytic:1 --samplers nsga2,synthesis --budgets 50,100
    python benchmarks/samplers.py --table nas_bench_macro.csv.gz --cap 1e6              # under a cap: filter and regret
    python benchmarks/samplers.py --generators                                           # generator 0 against the last
    python benchmarks/samplers.py --claims                                               # false claims under noise
    python benchmarks/samplers.py --times                                                # milliseconds a proposal

A table is NAS-Bench-Macro as published (JSON), a CSV with columns arch, acc0 .., acc_mean and a cost (--cost), either
of them gzipped or not, or analytic:SEED.  An evaluation draws one of the table's trainings, the same for every sampler
with the same seed; a repeat is not charged.  The front is picked on what was observed and scored on the means:
hypervolume of minus accuracy and log10 cost, bounded by the table's 20th percentile of accuracy and its largest cost,
as a share of the true front's.  Means over seeds with standard errors.

Rivals: random, nsga2, nsga3 (population 50; -20: 20), tpe (multivariate; tpe-default), gp (needs torch).
synthesis knows the costs, blind does not; without-* are synthesis lacking a part.  With --cap, +feasible rows are the
same samplers behind the filter `cost <= cap`, and the costs' bound is the cap.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import optuna
from analytic import analytic_table
from optuna.samplers import BaseSampler, NSGAIIISampler, NSGAIISampler, RandomSampler, TPESampler
from replay import known_cost, replay
from tables import Table, read_table

from nas.indicator import Indicator
from nas.pareto import hypervolume, non_dominated, objectives_of
from nas.space import load_space
from nas.synthesis import SynthesisSampler
from nas.synthesis.filtered import FilteredSampler
from nas.synthesis.mind import Effects
from nas.synthesis.samplers import synthesis_sampler

PARTS = {
    "synthesis": Effects(),
    "blind": Effects(),
    "without-surrogate": Effects(draws=0),
    "without-generator": Effects(fresh=0, learning=0.0),
    "without-preference": Effects(focus=0.0),
}
Values = np.ndarray


def sampler_of(name: str, table: Table, seed: int, cap: float | None) -> BaseSampler:
    """A sampler by its name in the report."""
    plain = name.removesuffix("+feasible")
    feasible = None
    if cap and (name != plain or plain in PARTS) and plain != "blind":
        feasible = lambda params: bool(table.params[table.row(params)] <= cap)  # noqa: E731
    if plain in PARTS:
        known = None if plain == "blind" else known_cost(table)
        return SynthesisSampler(
            seed=seed,
            known_objectives=known,
            feasible=feasible,
            distributions=table.distributions,
            effects=PARTS[plain],
        )
    makers: dict[str, Callable[[], BaseSampler]] = {
        "random": lambda: RandomSampler(seed=seed),
        "nsga2": lambda: NSGAIISampler(seed=seed),
        "nsga3": lambda: NSGAIIISampler(seed=seed),
        "nsga2-20": lambda: NSGAIISampler(seed=seed, population_size=20),
        "nsga3-20": lambda: NSGAIIISampler(seed=seed, population_size=20),
        "tpe": lambda: TPESampler(seed=seed, multivariate=True, constant_liar=True),
        "tpe-default": lambda: TPESampler(seed=seed),
        "gp": lambda: optuna.samplers.GPSampler(seed=seed),
    }
    made = makers[plain]()
    return made if feasible is None else FilteredSampler(made, table.distributions, feasible)


def table_of(text: str, cost: str) -> Table:
    kind, _, seed = text.partition(":")
    return analytic_table(int(seed or 0)) if kind == "analytic" else read_table(Path(text), cost)


def error_of(values: Values) -> Values:
    """Standard error of the mean over the first axis; NaN for a single seed."""
    return values.std(0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.full(values.shape[1:], np.nan)


def cells(values: Values, digits: int = 3) -> str:
    errors = error_of(values)
    return " | ".join(f"{m:.{digits}f} ± {e:.{digits}f}" for m, e in zip(values.mean(0), errors, strict=True))


def compare(names: list[str], table: Table, budgets: list[int], seeds: range, cap: float | None) -> dict[str, Values]:
    """Plays every sampler with every seed; prints a row as soon as it is there."""
    bound = f", cost at most {cap:g}" if cap else ""
    print(f"## {table.name}: hypervolume ratio{bound}, {len(seeds)} seeds\n")
    print("| sampler |", " | ".join(map(str, budgets)), "| ms a proposal |")
    print("|---" * (len(budgets) + 2) + "|")
    ratios, regrets = {}, {}
    for name in names:
        rows, lost, times = [], [], []
        for seed in seeds:
            trace = replay(sampler_of(name, table, seed, cap), table, budgets[-1], seed)
            rows.append([table.ratio(trace.rows[:b], trace.accuracy[:b], cap) for b in budgets])
            lost.append([table.regret(trace.rows[:b], trace.accuracy[:b], cap or np.inf) for b in budgets])
            times.append(trace.proposal_ms.mean())
        ratios[name], regrets[name] = np.array(rows), np.array(lost)
        print(f"| {name} | {cells(ratios[name])} | {np.median(times):.1f} |", flush=True)
    if cap:
        print("\nregret under the cap, points (seeds with nothing under it left out)\n")
        print(f"| sampler | {' | '.join(map(str, budgets))} | seeds |")
        print("|---" * (len(budgets) + 2) + "|")
        for name, lost_ in regrets.items():
            kept = lost_[~np.isnan(lost_).any(1)]
            print(f"| {name} | {cells(kept, 2) if len(kept) else '-'} | {len(kept)} |", flush=True)
    return ratios


def differences(ratios: dict[str, Values], budgets: list[int]) -> None:
    """Ours minus each rival, paired by seed, with 95 % intervals (normal)."""
    for own in (n for n in ratios if n.removesuffix("+feasible") in ("synthesis", "blind")):
        print(f"\n{own} minus ..., paired by seed, mean [95 % interval]\n\n| rival | {' | '.join(map(str, budgets))} |")
        print("|---" * (len(budgets) + 1) + "|")
        for name, ratio in ratios.items():
            if name != own:
                d = ratios[own] - ratio
                ends = zip(d.mean(0), 1.96 * error_of(d), strict=True)
                print(f"| {name} |", " | ".join(f"{m:+.3f} [{m - e:+.3f}, {m + e:+.3f}]" for m, e in ends), "|")


def generators(seeds: range, budget: int) -> None:
    """The first generator against the last on the analytic table: 200 draws each, not re-ranked."""
    volumes, medians = [], []
    for seed in seeds:
        table = analytic_table(seed)
        trace = replay(sampler_of("synthesis", table, seed, None), table, budget, seed)
        sampler = trace.study.sampler
        assert isinstance(sampler, SynthesisSampler)

        def drawn(generator: int, preference: list[float], count: int, table: Table, trace=trace) -> Values:
            params = trace.study.sampler.draw(trace.study, generator, preference, count, new=False)
            return np.array([table.row(p) for p in params])

        def volume(generator: int, table: Table = table, drawn: Callable = drawn) -> float:
            rows = np.concatenate([drawn(generator, [w, 1 - w], 40, table) for w in (0, 0.25, 0.5, 0.75, 1)])
            losses = table.losses(table.means[rows], rows)
            return hypervolume(losses[non_dominated(losses)], table.reference()) / table.full_volume()

        volumes.append([volume(0), volume(-1)])
        medians.append([np.median(table.params[drawn(-1, p, 200, table)]) for p in ([1.0, 0.0], [0.0, 1.0])])
    v, m = np.array(volumes), np.array(medians)
    gain, change = v[:, 1] - v[:, 0], m[:, 1] / m[:, 0] - 1
    print(f"## generators, analytic tables {list(seeds)}, {budget} evaluations, 200 draws without re-ranking\n")
    print(f"hypervolume ratio: first {v[:, 0].mean():.3f}, last {v[:, 1].mean():.3f}")
    print(f"difference {gain.mean():+.3f} ± {error_of(gain):.3f}, higher in {np.sum(gain > 0)} of {len(gain)}")
    print(f"median parameters: {m[:, 0].mean():,.0f} preferring accuracy, {m[:, 1].mean():,.0f} preferring params")
    print(f"change {change.mean():+.0%} on average, {change.max():+.0%} at least")


def claims(names: list[str], seeds: range, budget: int) -> None:
    """How often the smallest network that was seen above a bound is truly above it, with noise of one point."""
    print(f"## false claims, analytic tables, noise 1 point, {budget} evaluations, {len(seeds)} seeds\n")
    print("named by what one training showed, and by the lower end of the surrogate's 90 % interval\n")
    print("| sampler | observed: false | parameters | believed: false | parameters |\n|---|---|---|---|---|")
    for name in names:
        outcomes: dict[str, list[tuple[bool, float]]] = {"observed": [], "believed": []}
        for seed in seeds:
            table = analytic_table(seed, noise=1.0)
            bound = float(table.means.max()) - 4
            trace = replay(sampler_of(name, table, seed, None), table, budget, seed)
            words = {"observed": trace.accuracy}
            if isinstance(trace.study.sampler, SynthesisSampler):
                beliefs = trace.study.sampler.beliefs(trace.study)
                lowest = {table.row(trace.study.trials[b.trial].params): b.low[0] for b in beliefs}
                words["believed"] = np.array([lowest[r] for r in trace.rows])
            for word, accuracy in words.items():
                named = trace.rows[accuracy >= bound]
                if len(named):
                    smallest = named[table.params[named].argmin()]
                    outcomes[word].append((bool(table.means[smallest] < bound), float(table.params[smallest])))
        shown = [
            f"{np.mean([f for f, _ in o]):.0%} of {len(o)} | {np.median([p for _, p in o]):,.0f}" if o else "- | -"
            for o in outcomes.values()
        ]
        print(f"| {name} | {' | '.join(shown)} |", flush=True)


def times(sizes: list[int], parameters: list[int]) -> None:
    """CPU milliseconds of ask() at many finished trials, random ones, of widths and switches."""
    print("## proposal time, accuracy unknown and cost known, CPU ms: median, mean of 20\n")
    print("| finished trials | " + " | ".join(f"{p} parameters" for p in parameters) + " |")
    print("|---" * (len(parameters) + 1) + "|")
    for size in sizes:
        shown = [proposal_ms(size, p) for p in parameters]
        print(f"| {size} | " + " | ".join(f"{np.median(s):.1f}, {np.mean(s):.1f}" for s in shown) + " |", flush=True)


def proposal_ms(size: int, parameters: int) -> list[float]:
    rng = np.random.default_rng(0)
    space: dict[str, optuna.distributions.BaseDistribution] = {}
    for i in range(parameters):
        switch = i >= parameters // 2
        space[f"p{i}"] = (
            optuna.distributions.CategoricalDistribution((False, True))
            if switch
            else optuna.distributions.IntDistribution(4, 64, step=4)
        )
    weights = rng.uniform(0, 1, parameters)

    def cost(params: dict[str, object]) -> float:
        return float(1e3 + sum(w * float(v) ** 2 for w, v in zip(weights, params.values(), strict=True)))  # type: ignore[arg-type]

    sampler = SynthesisSampler(seed=0, known_objectives=lambda p: (None, cost(p)), distributions=space)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)

    def told(params: dict[str, object]) -> list[float]:
        return [float(100 - 1e4 / cost(params) - 0.1 * rng.random()), cost(params)]

    for _ in range(size):
        params = {n: _random_value(d, rng) for n, d in space.items()}
        study.add_trial(optuna.create_trial(params=params, distributions=space, values=told(params)))
    study.tell(study.ask(space), [90.0, 1e5])  # reads all trials
    spent = []
    for _ in range(20):
        start = time.process_time()
        trial = study.ask(space)
        spent.append(1e3 * (time.process_time() - start))
        study.tell(trial, told(trial.params))
    return spent


def times_in_a_space(sizes: list[int]) -> None:
    """CPU milliseconds of ask() in a space of networks, after searches by the sampler itself of made-up accuracies."""
    space, objectives = load_space("emotionnet-nano"), objectives_of(["accuracy", "params"])
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=synthesis_sampler(space, Indicator(), objectives, 0)
    )
    distributions, rng = space.distributions(), np.random.default_rng(0)
    study.enqueue_trial(space.to_params(space.prototype))
    print(f"\n## in emotionnet-nano, {len(distributions)} parameters: median, mean of 40\n")
    spent = []
    for number in range(max(sizes) + 40):
        start = time.process_time()
        trial = study.ask(distributions)
        spent.append(1e3 * (time.process_time() - start))
        cost = space.from_params(trial.params).cost().params
        study.tell(trial, [float(1 - 1 / np.log10(cost) + 0.02 * rng.normal()), float(cost)])
        if number - 39 in sizes:
            print(
                f"{number - 39} finished trials: {np.median(spent[-40:]):.1f}, {np.mean(spent[-40:]):.1f}", flush=True
            )


def _random_value(distribution: optuna.distributions.BaseDistribution, rng: np.random.Generator) -> object:
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        return distribution.choices[int(rng.integers(2))]
    return int(rng.integers(1, 17)) * 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="analytic:0")
    parser.add_argument("--cost", default="params", help="the table's column")
    parser.add_argument("--samplers", default="random,nsga2,nsga3,tpe,synthesis,blind")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budgets", default="25,50,100,200,400")
    parser.add_argument("--cap", type=float, default=None)
    parser.add_argument("--save", type=Path, help="every ratio, as JSON")
    parser.add_argument("--generators", action="store_true")
    parser.add_argument("--claims", action="store_true")
    parser.add_argument("--times", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    names = arguments.samplers.split(",")
    budgets = [int(b) for b in arguments.budgets.split(",")]
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    if arguments.generators:
        generators(seeds, budgets[-1])
    elif arguments.claims:
        claims(names, seeds, budgets[-1])
    elif arguments.times:
        times([200, 2000, 20_000], [10, 40, 85])
        times_in_a_space([50, 200])
    else:
        table = table_of(arguments.table, arguments.cost)
        ratios = compare(names, table, budgets, seeds, arguments.cap)
        differences(ratios, budgets)
        if arguments.save:
            arguments.save.write_text(json.dumps({n: r.tolist() for n, r in ratios.items()}))


if __name__ == "__main__":
    main()
