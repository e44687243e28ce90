"""Finalists that are timed again; second looks in a search; and whose machine it was."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from fabricated import Fabrication, begin, nas_
from handmade import bare, trained

from nas.api import open_run
from nas.deploy.fingerprint import fingerprint
from nas.deploy.latency import SEARCH, THOROUGH, Latency, LatencyProtocol
from nas.deploy.sentinel import plain_network, sentinel
from nas.errors import DecodeError, InputError
from nas.evaluation.evaluate import Evaluation, close, latency_measurements
from nas.evaluation.job import Setup
from nas.evaluation.quiet import Quiet
from nas.evaluation.train import Recipe
from nas.indicator import LATENCY_RATIO, Constraint, Indicator, Status, Step
from nas.measurement import Measurement
from nas.pareto import objectives_of
from nas.remeasuring import remeasure, remeasure_after_search
from nas.run.candidate import Candidate
from nas.run.directory import FrontWriter, RunDirectory
from nas.run.front import front_of
from nas.run.remeasured import Remeasured, latency_lines, remeasured_in
from nas.run.variants import Variant, keep_variant

QUICK = LatencyProtocol(blocks=5, block_seconds=0.01, warm_seconds=0.02, most_seconds=0.5)
SMALL = plain_network([(8, 2), (8, 2)], "small")
FILE = "model.tflite"
DEVICE = fingerprint().hash


def timed(trial: int, accuracy: float, ratio: float, **worker: Any) -> Candidate:
    """A trained candidate that the search timed, beside the prototype."""
    c = trained(trial, accuracy, latency_ms=ratio)
    assert c.outcome is not None
    measured = {**c.outcome.measurements, LATENCY_RATIO: Measurement(ratio, ratio, ratio, "ratio", 9, "made up")}
    return replace(c, outcome=replace(c.outcome, measurements=measured, worker=worker))


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def store(directory: RunDirectory, candidate: Candidate, content: bytes) -> None:
    directory.store(candidate.id, {FILE: content})


def test_finalists_are_timed_again_and_compared(directory: RunDirectory) -> None:
    prototype, slower, same, elsewhere = (
        timed(0, 0.9, 1.0),
        timed(1, 0.8, 0.5, device=DEVICE),
        timed(2, 0.7, 1.0, device=DEVICE),
        timed(3, 0.6, 0.5, device="another"),
    )
    for candidate in (prototype, slower, same, elsewhere):
        store(directory, candidate, sentinel())
    seen: list[Remeasured] = []
    found = remeasure(directory, [slower, same, elsewhere], prototype, QUICK, file=FILE, told=seen.append)
    assert found == seen and [one.id for one in found] == [slower.id, same.id, elsewhere.id]
    one, other, third = found
    assert one.beside == "prototype" and one.change is not None and one.differs
    assert one.change == pytest.approx(one.ratio / 0.5 - 1) and one.ratio == pytest.approx(1.0, rel=0.3)
    assert other.change == pytest.approx(other.ratio - 1)
    assert third.change is None and not third.differs  # it was another machine's
    assert remeasured_in(directory) == {one.id: one for one in found}
    lines = latency_lines([slower, same, elsewhere, prototype], remeasured_in(directory))
    assert lines[0].startswith("latencies are of different machines") and lines[1].endswith("3 of 4 members")
    assert not any("different machines" in line for line in latency_lines([slower, same], remeasured_in(directory)))
    assert latency_lines([prototype], {}) == []
    assert any(slower.id in line and "DIFFERS" in line for line in lines)


def test_without_the_prototypes_file_the_sentinel_stands_in(directory: RunDirectory) -> None:
    prototype, member = timed(0, 0.9, 1.0), timed(1, 0.8, 0.5, device=DEVICE)
    store(directory, member, SMALL)
    (one,) = remeasure(directory, [member], prototype, QUICK, file=FILE)
    assert one.beside == "sentinel-1" and one.ratio < 1
    assert one.change == pytest.approx(one.latency_ms / 0.5 - 1)  # of the milliseconds


def test_front_json_tells_of_it(directory: RunDirectory) -> None:
    prototype, member = timed(0, 0.8, 1.0), timed(1, 0.9, 0.5, device=DEVICE)
    front = front_of([prototype, member], objectives_of(["accuracy", "params"]), (0.1, 1e6))
    writer = FrontWriter(directory, {})
    writer.write(front)
    keys = ("latency_remeasured_ms", "latency_remeasured_ratio", "latency_differs")
    before = json.loads((directory.path / "front.json").read_text())["members"]
    assert all(m[key] is None for m in before for key in keys)
    store(directory, prototype, sentinel())
    store(directory, member, sentinel())
    (one,) = remeasure(directory, [member], prototype, QUICK, file=FILE)
    writer.write(front)
    after = {m["id"]: m for m in json.loads((directory.path / "front.json").read_text())["members"]}
    assert [after[member.id][key] for key in keys] == [one.latency_ms, one.ratio, True]
    assert (directory.path / "front.csv").read_text().splitlines()[0].endswith(",".join(keys))


def test_files_that_are_not_there(directory: RunDirectory) -> None:
    prototype, member = timed(0, 0.9, 1.0), timed(1, 0.8, 0.5)
    with pytest.raises(InputError, match="not kept"):
        remeasure(directory, [member], prototype, QUICK, file=FILE)
    store(directory, member, b"damaged")
    with pytest.raises(InputError, match="not a TFLite file"):
        remeasure(directory, [member], prototype, QUICK, file=FILE)
    assert directory.events("remeasured") == []


def test_after_a_search_a_faulty_file_is_told_of_and_no_reason_to_fail(directory: RunDirectory) -> None:
    prototype, member = timed(0, 0.9, 1.0), timed(1, 0.8, 0.5, device=DEVICE)
    assert remeasure_after_search(directory, [prototype, member], prototype, FILE) == []  # no files
    store(directory, member, b"damaged")
    (line,) = remeasure_after_search(directory, [prototype, member], prototype, FILE)
    assert line.startswith("not measured again") and "not a TFLite file" in line
    store(directory, member, SMALL)
    remeasure_after_search(directory, [prototype, member], prototype, FILE)
    assert set(remeasured_in(directory)) == {member.id}
    remeasure_after_search(directory, [prototype, member], prototype, FILE)
    assert len(directory.events("remeasured")) == 1  # once on each machine


def test_damaged_events_are_passed_over(directory: RunDirectory) -> None:
    good = Remeasured("abc", 1, 1.0, 0.9, 1.1, 1.2, 0.5, 0.4, 0.6, "prototype", None, DEVICE, 0.2)
    for data in (good.to_json(), {**good.to_json(), "ratio": "x"}, {**good.to_json(), "device": 3}, {"id": "abc"}):
        directory.append_event("remeasured", **data)
    assert remeasured_in(directory) == {"abc": good}
    assert Remeasured.from_json(good.to_json()) == good
    with pytest.raises(DecodeError):
        Remeasured.from_json({**good.to_json(), "change": "much"})


@pytest.mark.parametrize(("change", "differs"), [(0.1, False), (0.101, True), (-0.2, True), (None, False)])
def test_ten_percent(change: float | None, differs: bool) -> None:
    one = Remeasured("abc", 1, 1.0, 0.9, 1.1, 1.2, 0.5, 0.4, 0.6, "prototype", None, DEVICE, change)
    assert one.differs is differs
    assert ("DIFFERS" in str(one)) is differs


# ---- the commands


def test_nas_measure(tmp_path: Path) -> None:
    file = tmp_path / "net.tflite"
    file.write_bytes(SMALL)
    told = json.loads(nas_("measure", file, "--energy", "--json").stdout)
    assert told["latency"]["low_ms"] <= told["latency"]["median_ms"] <= told["latency"]["high_ms"]
    assert told["latency"]["beside"] == "sentinel-1" and told["device"]["hash"] == told["latency"]["device"] == DEVICE
    assert set(told["energy"]) == {"not_measurable"} or told["energy"]["joules_per_image"] > 0


@pytest.mark.parametrize("content", [b"", b"no network", SMALL[:3000]])
def test_nas_measure_of_a_corrupt_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "net.tflite"
    file.write_bytes(content)
    result = nas_("measure", file)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {file}: not a TFLite file") and result.stderr.count("\n") == 1


def test_nas_measure_of_what_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        assert nas_("measure", path).exit_code == 2
    (tmp_path / "net.tflite").write_bytes(SMALL)
    assert nas_("measure", tmp_path / "net.tflite", "--threads", 0).exit_code == 2


def test_nas_remeasure(tmp_path: Path, npz: Path, made_up: Fabrication) -> None:
    out = tmp_path / "run"
    assert begin(out, npz, budget=3).exit_code == 0
    assert open_run(out).remeasured == {}  # nothing was timed in this search
    result = nas_("remeasure", out)
    assert result.exit_code == 2 and "not kept" in result.stderr
    run = open_run(out)
    for member in run.front.members:
        run.directory.store(member.id, {"model.tflite": SMALL})
    (one,) = json.loads(nas_("remeasure", out, "--pick", "most-accurate", "--json").stdout)
    assert one["id"] == run.front.members[0].id and one["latency_ms"] > 0
    assert (one["change"], one["differs"]) == (None, False)  # the search had not timed it
    members = json.loads((out / "front.json").read_text())["members"]
    assert [m["latency_remeasured_ms"] for m in members] == [one["latency_ms"], *[None] * (len(members) - 1)]
    assert members == json.loads(nas_("front", out, "--json").stdout)["members"]
    assert "latency measured again" in nas_("front", out).stdout


def test_remeasuring_keeps_variants_and_takes_the_file_that_was_judged(
    tmp_path: Path, npz: Path, made_up: Fabrication
) -> None:
    out = tmp_path / "run"
    assert begin(out, npz, "--quantized", budget=2).exit_code == 0
    run = open_run(out)
    member = run.front.members[0].id
    run.directory.store(member, {"model.int8.tflite": SMALL})
    keep_variant(run.directory, Variant(member, "prune-0.8", "prune:0.8", 1, "0" * 64), b"a file")
    (one,) = json.loads(nas_("remeasure", out, "--pick", member, "--json").stdout)
    assert one["id"] == member and one["beside"] == "sentinel-1"  # the prototype's int8 file is not there
    rows = [
        json.loads(text)["members"][0]
        for text in (
            (out / "front.json").read_text(),
            nas_("front", out, "--json").stdout,
            nas_("resume", out, "--budget", "+1", "--json").stdout,
        )
    ]
    for row in rows:
        if row["id"] == member:
            assert [v["name"] for v in row["variants"]] == ["prune-0.8"]
            assert row["latency_remeasured_ms"] == one["latency_ms"]
    assert [row["id"] for row in rows[:2]] == [member, member]


# ---- second looks


def indicator(limit: float) -> Indicator:
    return Indicator((Constraint("latency_ms", limit, True, ratio=True),))


def told(ratio: float, protocol: LatencyProtocol, doubt: str | None = None) -> Latency:
    values = ratio, 0.98 * ratio, 1.02 * ratio
    return Latency(*values, 900, *values, beside="prototype", doubt=doubt, protocol=protocol)


@pytest.mark.parametrize(
    ("limit", "first", "second", "looks", "status"),
    [
        (0.6, (0.3, None), None, 1, Status.MET),
        (0.6, (0.9, None), None, 1, Status.VIOLATED),
        (0.6, (0.57, None), (0.5, None), 2, Status.MET),  # the bound is near
        (0.6, (0.64, None), (0.7, None), 2, Status.VIOLATED),
        (0.6, (0.3, "load"), (0.9, None), 2, Status.VIOLATED),
        (0.6, (0.9, "load"), (0.3, None), 2, Status.MET),
        (0.6, (0.7, "load"), (0.7, "load"), 2, Status.UNDECIDED),  # twice in doubt: an interval around both, wider
        (0.6, (0.5, "load"), (0.5, "load"), 2, Status.UNDECIDED),
        (0.6, (0.3, "load"), (0.9, "load"), 2, Status.UNDECIDED),
        (0.6, (0.9, "load"), (0.9, "load"), 2, Status.VIOLATED),  # 0.9 * 0.98 * 0.75 = 0.66
        (0.6, (0.3, "load"), (0.3, "load"), 2, Status.MET),
        (None, (0.3, "load"), None, 1, Status.MET),  # nothing hangs on it
    ],
)
def test_a_second_look_where_one_may_change_the_verdict(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    limit: float | None,
    first: tuple[float, str | None],
    second: tuple[float, str | None] | None,
    looks: int,
    status: Status,
) -> None:
    results = {SEARCH: first, THOROUGH: second}
    asked: list[LatencyProtocol] = []

    def measured(content: bytes, reference: bytes, protocol: LatencyProtocol) -> Latency:
        asked.append(protocol)
        ratio, doubt = results[protocol] or (0.0, None)
        return told(ratio, protocol, doubt)

    monkeypatch.setattr("nas.evaluation.evaluate.measure_latency", measured)
    bounds = Indicator() if limit is None else indicator(limit)
    setup = Setup(bare(0).network().graph(), bounds, Recipe())
    with contextlib.closing(Quiet(True, tmp_path)) as quiet:
        found = Evaluation(None, setup, True, quiet)._latency(b"", b"")  # type: ignore[arg-type]
    assert asked == [SEARCH, THOROUGH][:looks]
    verdicts = bounds.judge(found, (Step.LATENCY,), 0.0)
    assert [v.status for v in verdicts] == ([] if limit is None else [status])
    if second is not None and second[1]:
        (verdict,) = verdicts
        assert found[LATENCY_RATIO].value == verdict.value == second[0]
        assert found[LATENCY_RATIO].low == pytest.approx(0.75 * 0.98 * min(first[0], second[0]))
        assert found[LATENCY_RATIO].high == pytest.approx(1.25 * 1.02 * max(first[0], second[0]))
        assert "in doubt: load" in found[LATENCY_RATIO].provenance


def test_a_shared_core_is_a_doubt() -> None:
    alone = latency_measurements(told(0.5, SEARCH), True)
    beside = latency_measurements(told(0.5, SEARCH, "load"), False)
    assert alone[LATENCY_RATIO].doubt is None
    assert beside["latency_ms"].doubt == "load; the core is shared with other evaluators"
    assert "in doubt" in beside["latency_ms"].provenance and "device" in alone["latency_ms"].provenance
    assert close(Constraint("latency_ms", 9.0, True), beside["latency_ms"])
    assert not close(Constraint("latency_ms", 9.0, True), alone["latency_ms"])


# ---- the machine


def test_a_fingerprint_reads_what_decides_speed(tmp_path: Path) -> None:
    cpu = tmp_path / "sys/devices/system/cpu"
    (cpu / "cpu0/cpufreq").mkdir(parents=True)
    (cpu / "smt").mkdir()
    (cpu / "smt/active").write_text("1\n")
    (cpu / "cpu0/cpufreq/scaling_governor").write_text("powersave\n")
    (cpu / "cpu0/cpufreq/cpuinfo_max_freq").write_text("4200000\n")
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text("150000 100000\n")
    one = fingerprint(2, tmp_path)
    assert (one.smt, one.governor, one.max_mhz, one.cpu_quota, one.threads) == (True, "powersave", 4200, 1.5, 2)
    assert one.hash in str(one) and "powersave" in str(one) and "limited to 1.5 cores" in str(one)
    assert len({replace(one, **change).hash for change in ({}, {"threads": 1}, {"governor": "performance"})}) == 3
    assert replace(one).hash == one.hash == one.to_json()["hash"]
    (group / "cpu.max").write_text("max 100000\n")
    fingerprint.cache_clear()
    assert fingerprint(2, tmp_path).cpu_quota is None
    bare_root = tmp_path / "nothing"
    bare_root.mkdir()
    assert fingerprint(1, bare_root).governor is None


def test_control_groups_of_version_1(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup/cpu"
    group.mkdir(parents=True)
    (group / "cpu.cfs_period_us").write_text("100000\n")
    for quota, cores in (("-1", None), ("250000", 2.5)):
        (group / "cpu.cfs_quota_us").write_text(f"{quota}\n")
        fingerprint.cache_clear()
        assert fingerprint(1, tmp_path).cpu_quota == cores


def test_a_run_that_goes_on_elsewhere_says_so(tmp_path: Path, npz: Path, made_up: Fabrication) -> None:
    out = tmp_path / "run"
    assert begin(out, npz, budget=2).exit_code == 0
    recorded = yaml.safe_load((out / "run.yaml").read_text())
    assert recorded["machine"]["device"] == json.loads(json.dumps(fingerprint().to_json()))
    assert "not the machine of before" not in nas_("resume", out, "--budget", "+1").stdout
    recorded["machine"]["device"]["hash"] = "0123456789"
    (out / "run.yaml").write_text(yaml.safe_dump(recorded))
    assert "not the machine of before (device 0123456789" in nas_("resume", out, "--budget", "+1").stdout
    assert "not the machine of before" not in nas_("resume", out, "--budget", "+1").stdout  # told once
    del recorded["machine"]["device"]  # a run of an earlier version
    (out / "run.yaml").write_text(yaml.safe_dump(recorded))
    (out / "events.jsonl").unlink()
    assert "not the machine of before" not in nas_("resume", out, "--budget", "+1").stdout
