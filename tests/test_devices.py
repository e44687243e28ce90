"""Devices: this machine, ssh for real against an own sshd, adb against a script that answers as adb does, packs."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import fill
from fabricated import nas_
from sshd import Server, free_port, serving

from nas.devices import on_device
from nas.devices.adb import AdbDevice
from nas.devices.calibration import calibration_networks, drawn
from nas.devices.device import DeviceError
from nas.devices.devicefile import open_device
from nas.devices.features import features
from nas.devices.here import ThisMachine
from nas.devices.measurements import read_measurements
from nas.devices.pack import network_file, write_pack
from nas.devices.ssh import SshDevice
from nas.errors import EnvironmentStopError, InputError
from nas.networks.tflite import open_interpreter
from nas.space import load_space

TINY = load_space("tiny")
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def files() -> tuple[bytes, bytes]:
    """A small and a large network."""
    small = TINY.from_params({**TINY.to_params(TINY.prototype), "stem_stride": 2})
    return network_file(small.graph()), network_file(TINY.prototype.graph())


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


# This machine


def test_this_machine_measures_and_says_what_it_is(files: tuple[bytes, bytes]) -> None:
    small, large = files
    device = open_device("this-machine")
    assert isinstance(device, ThisMachine)
    latency, itself = device.measure([small, large], large)
    assert 0 < latency.low_ms <= latency.median_ms <= latency.high_ms * 1.01
    assert latency.ratio is not None and itself.ratio is not None
    assert latency.ratio < 0.8 < itself.ratio < 1.25  # a quarter of the pixels
    assert {"processor", "cores", "system", "runtime"} <= set(device.fingerprint())
    with pytest.raises(DeviceError, match="not a TFLite file"):
        device.measure([b"no network"])


@pytest.mark.parametrize(
    "text",
    [
        *("", "ssh", "ssh:", "ssh:a b", "ssh:-oProxyCommand=x", "ssh:u@-h", "ssh:h:0", "ssh:h:99999", "ssh:h;ls"),
        *("adb:", "adb:-e", "adb:x y", "phone", "x" * 5000, "ssh:a@b@c", "\0"),
    ],
)
def test_names_that_are_no_device(text: str) -> None:
    with pytest.raises(InputError):
        open_device(text)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("kind: ssh\n", "host"),
        ("kind: ssh\nhost: -x\n", "no name"),
        ("kind: ssh\nhost: h\nport: 0\n", "d.yaml:3: port"),
        ("kind: ssh\nhost: h\nshell: sh\n", "unknown key"),
        ("kind: adb\n", "benchmark_model"),
        ("kind: adb\nbenchmark_model: b\ncpu_mask: f0; ls\n", "cpu_mask"),
        ("kind: toaster\n", "toaster"),
        ("host: h\n", "kind"),
    ],
)
def test_faulty_device_files_say_where(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "d.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=told) as caught:
        open_device(str(path))
    assert str(path) in str(caught.value)


def test_a_device_file_is_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "board.yaml"
    path.write_text("kind: ssh\nhost: board\nuser: pi\nport: 2222\npython: /opt/py/bin/python\n")
    device = open_device(str(path))
    assert device == SshDevice("board", "pi", 2222, "/opt/py/bin/python")
    assert device.name == "ssh:pi@board:2222"
    assert open_device("ssh:pi@board:2222") == SshDevice("board", "pi", 2222)
    assert open_device("adb:192.168.0.2:5555", "bm") == AdbDevice("bm", "192.168.0.2:5555")
    with pytest.raises(InputError, match="ssh and adb only"):
        open_device("this-machine", "bm")


def test_the_command_line_measures_here(tmp_path: Path, files: tuple[bytes, bytes]) -> None:
    (tmp_path / "a.tflite").write_bytes(files[0])
    found = json.loads(nas_("device", "measure", "this-machine", tmp_path / "a.tflite", "--json").stdout)
    assert found["device"] == "this-machine" and found["files"][0]["median_ms"] > 0
    assert found["files"][0]["beside"] == "sentinel-1"  # no other was given
    here = ("device", "measure", "this-machine", tmp_path / "a.tflite")
    shown = nas_(*here, "--reference", tmp_path / "a.tflite").stdout
    assert "of the reference's" in shown and "sentinel" not in shown
    (tmp_path / "bad.tflite").write_bytes(b"bad")
    for arguments in (["this-machine", tmp_path / "bad.tflite"], ["this-machine", tmp_path / "gone"], ["toaster", "x"]):
        result = nas_("device", "measure", *arguments)
        assert result.exit_code == 2 and "error: " in result.output
    listed = nas_("device", "list", "--json")
    assert json.loads(listed.stdout)["this-machine"]["cores"] == len(os.sched_getaffinity(0))


# ssh, for real


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def device_of(server: Server, **changes: object) -> SshDevice:
    return SshDevice(**server.fields(**{"python": sys.executable, **changes}))  # type: ignore[arg-type]


def test_ssh_measures_and_leaves_nothing_behind(server: Server, files: tuple[bytes, bytes]) -> None:
    small, large = files
    device = device_of(server)
    latency, itself = device.measure([small, large], large)
    assert 0 < latency.low_ms <= latency.median_ms and latency.runs >= 25
    assert latency.ratio is not None and itself.ratio is not None and latency.ratio < 0.8 < itself.ratio < 1.25
    assert latency.beside == "reference"
    assert device.fingerprint()["processor"] == ThisMachine().fingerprint()["processor"]
    assert list(server.there.iterdir()) == []
    assert device.measure([]) == []


def test_ssh_from_a_device_file_on_the_command_line(server: Server, tmp_path: Path, files: tuple[bytes, bytes]) -> None:
    (tmp_path / "a.tflite").write_bytes(files[0])
    described = tmp_path / "board.yaml"
    described.write_text(yaml.safe_dump({"kind": "ssh", **server.fields(python=sys.executable)}))
    result = nas_("device", "measure", described, tmp_path / "a.tflite", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    (row,) = found["files"]
    assert row["median_ms"] > 0 and found["fingerprint"]["reached_by"] == "ssh"
    assert (row["ratio"], row["beside"], row["protocol"]) == (None, "", None)  # no reference; another program timed it


def test_ssh_says_what_is_wrong_and_leaves_nothing_behind(
    server: Server, tmp_path: Path, files: tuple[bytes, bytes]
) -> None:
    unknown = tmp_path / "ssh_config"
    unknown.write_text(f"UserKnownHostsFile {tmp_path}/none\nStrictHostKeyChecking yes\nIdentitiesOnly yes\n")
    bare = script(tmp_path / "bare", f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -S "$@"\n')
    slow = script(tmp_path / "slow", "#!/bin/sh\nsleep 5\n")
    garbled = script(tmp_path / "garbled", "#!/bin/sh\necho '{}'\n")
    for changes, told in (
        ({"port": free_port()}, "cannot be reached: nothing listens"),
        ({"config": str(unknown)}, "host key is not known"),
        ({"identity": str(server.folder / "other_key")}, "does not let this user in"),
        ({"host": "no-such-host.invalid"}, "cannot be reached: no machine of that name"),
        ({"python": "no-such-python"}, "no program 'no-such-python' there"),
        ({"python": str(bare)}, "pip install ai-edge-litert"),
        ({"python": str(slow), "timeout_s": 1.0, "connect_timeout_s": 1}, "no answer within 2 s"),
        ({"python": str(garbled)}, "not what the measuring script prints"),
        ({"python": "python3; touch hacked"}, "no program"),
    ):
        with pytest.raises(DeviceError, match=told) as caught:
            device_of(server, **changes).measure([files[0]])
        assert caught.value.exit_code == 2
    with pytest.raises(DeviceError, match=r"0\.tflite: cannot be run here"):
        device_of(server).measure([b"no network"], files[0])
    assert list(server.there.iterdir()) == []


@pytest.mark.slow
def test_ssh_with_the_benchmark_binary_of_that_machine(
    server: Server, tmp_path: Path, files: tuple[bytes, bytes]
) -> None:
    binary = script(tmp_path / "with space" / "benchmark_model", (HERE / "fake_benchmark_model.py").read_text())
    latency = device_of(server, benchmark_model=str(binary)).measure([files[0]], files[1])[0]
    assert latency.median_ms == pytest.approx(len(files[0]) / 1000)
    assert latency.ratio == pytest.approx(len(files[0]) / len(files[1]))
    with pytest.raises(DeviceError, match=r"exit code 1: .*Failed to load model"):
        device_of(server, benchmark_model=str(binary)).measure([b"no network"])


# adb, against a script


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that stands for /data/local/tmp."""
    script(tmp_path / "bin" / "adb", (HERE / "fake_adb.py").read_text())
    folder = tmp_path / "phone"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_PHONE", str(folder))
    return folder


def test_adb_measures_and_leaves_nothing_behind(
    phone: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[bytes, bytes]
) -> None:
    small, large = files
    device = AdbDevice(str(HERE / "fake_benchmark_model.py"), "R58M12ABCDE")
    latency = device.measure([small], large)[0]
    assert latency.median_ms == pytest.approx(len(small) / 1000) and latency.runs == 150
    assert latency.ratio == pytest.approx(len(small) / len(large)) and latency.beside == "reference"
    monkeypatch.setenv("FAKE_BINARY", "old")  # prints means only
    assert device.measure([small])[0].median_ms == pytest.approx(len(small) / 1000, rel=1e-4)
    assert device.fingerprint() == {
        **{"model": "Pixel 2", "processor": "msm8998", "abi": "arm64-v8a", "android": "11"},
        **{"system": "android", "reached_by": "adb"},
    }
    with pytest.raises(DeviceError, match=r"exit code 1: .*Failed to load model"):
        device.measure([b"no network"])
    assert list(phone.iterdir()) == []


@pytest.mark.parametrize(
    ("state", "serial", "told"),
    [
        ("none", None, "connect a phone"),
        ("unauthorized", None, "allow USB debugging"),
        ("several", None, "adb:SERIAL"),
        ("offline", None, "does not answer"),
        ("device", "other", "no phone of that serial"),
    ],
)
def test_adb_says_what_is_wrong(
    phone: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: str, serial: str | None, told: str
) -> None:
    monkeypatch.setenv("FAKE_STATE", state)
    (tmp_path / "a.tflite").write_bytes(b"x")
    name = "adb" if serial is None else f"adb:{serial}"
    binary = HERE / "fake_benchmark_model.py"
    result = nas_("device", "measure", name, tmp_path / "a.tflite", "--benchmark-model", binary)
    assert result.exit_code == 2 and told in result.output


def test_adb_that_is_not_installed_and_a_binary_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="is not installed here"):
        AdbDevice(str(HERE / "fake_adb.py"), adb=str(tmp_path / "adb")).measure([b"x"])
    for binary in (None, str(tmp_path / "gone")):
        with pytest.raises(DeviceError, match="benchmark_model for the phone is needed"):
            AdbDevice(binary).measure([b"x"])


@pytest.mark.parametrize(
    "text", ["", "count=5 avg=x", "Inference (avg): 3", "count=5 min=1 max=2 avg=0\nInference (avg): 0"]
)
def test_output_without_timing_gives_no_number(text: str) -> None:
    with pytest.raises(on_device.Failure):
        on_device.parse_benchmark(text)


def test_older_and_newer_output_of_the_benchmark_binary() -> None:
    old = (
        "count=4 first=9000 curr=8000 min=8000 max=9000 avg=8400 std=1\n"
        "count=50 first=2990275 curr=2913402 min=2727568 max=3189954 avg=2.95034e+06 std=109798\n\n"
        "Inference timings in us: Init: 17187, First inference: 3512391, Warmup (avg): 3.5e+06, "
        "Inference (avg): 2.95034e+06"
    )
    assert on_device.parse_benchmark(old) == pytest.approx(
        {"latency_ms": 2950.34, "low_ms": 2727.568, "high_ms": 3189.954, "runs": 50}
    )
    new = (
        "INFO: count=50 first=12 curr=14 min=11 max=88 avg=17 std=9 p5=12 median=15 p95=70\n\n"
        "INFO: Inference timings in us: Init: 55, First inference: 13, Warmup (avg): 13, Inference (avg): 17"
    )
    assert on_device.parse_benchmark(new)["latency_ms"] == pytest.approx(0.015)


# Packs


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packs") / "pack"
    chosen = calibration_networks(TINY, 3, np.random.default_rng(0))
    write_pack(folder, chosen, TINY.prototype.graph())
    return folder


def test_a_pack_is_measured_by_its_own_script(pack: Path, tmp_path: Path) -> None:
    names = sorted(p.name for p in pack.iterdir())
    assert names == [
        *("README.md", "measure.py", "network-000.tflite", "network-001.tflite", "network-002.tflite"),
        *("networks.json", "reference.tflite"),
    ]
    for name in names[2:5]:
        interpreter = open_interpreter((pack / name).read_bytes())
        assert list(interpreter.get_input_details()[0]["shape"]) == [1, 16, 16, 1]
    alone = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, pack / "measure.py"], cwd=tmp_path, env=alone, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    measured = read_measurements(tmp_path / "measurements.json")
    expected = calibration_networks(TINY, 3, np.random.default_rng(0))
    assert measured.graphs == tuple(a.graph() for a in expected)
    assert min(measured.latencies_ms) > 0
    assert measured.source["processor"] == ThisMachine().fingerprint()["processor"]
    assert not {p.name for p in tmp_path.iterdir()} - {"measurements.json"}


def test_a_pack_measured_with_the_benchmark_binary(pack: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for network in sorted(pack.glob("network-*.tflite")):
        command = [sys.executable, HERE / "fake_benchmark_model.py", f"--graph={network}", "--num_threads=1"]
        (logs / f"{network.stem}.txt").write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    command = [sys.executable, pack / "measure.py", "--from-logs", "logs"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    measured = read_measurements(tmp_path / "measurements.json")
    sizes = [p.stat().st_size / 1000 for p in sorted(pack.glob("network-*.tflite"))]
    assert measured.latencies_ms == pytest.approx(sizes)
    (logs / "network-001.txt").write_text("ERROR: Failed to load model")
    (tmp_path / "measurements.json").unlink()
    failed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert failed.returncode == on_device.BAD_FILE and "network-001.txt: no timing" in failed.stderr
    assert not (tmp_path / "measurements.json").exists()


def test_packs_that_cannot_be_written(pack: Path, small_disk: Path, tmp_path: Path) -> None:
    for arguments in (
        ["--out", pack],
        ["--out", tmp_path / "p", "--count", 5],
        ["--out", tmp_path / "p", "--seed", -1],
    ):
        result = nas_("device", "pack", *arguments)
        assert result.exit_code == 2 and "error: " in result.output
    assert not (tmp_path / "p").exists()
    filler = fill(small_disk)
    with pytest.raises(EnvironmentStopError):
        write_pack(small_disk / "pack", [TINY.prototype], TINY.prototype.graph())
    assert list(small_disk.iterdir()) == [filler]


def test_calibration_networks_are_spread() -> None:
    """Their sums reach further apart than those of as many draws, and nothing of the space is outside by much."""
    space = load_space("emotionnet-nano")
    rng = np.random.default_rng(3)
    chosen = calibration_networks(space, 20, rng)
    assert chosen[0] == space.prototype and len({a.id for a in chosen}) == 20
    assert [a.id for a in chosen] == [a.id for a in calibration_networks(space, 20, np.random.default_rng(3))]

    def logs(networks: list) -> np.ndarray:
        return np.log1p([features(a.graph(), 16)["window_macs"] for a in networks])

    plain = drawn(space, 20, np.random.default_rng(4))
    assert np.ptp(logs(chosen)) > np.ptp(logs(plain))


def test_a_space_with_too_few_networks_says_so() -> None:
    class Narrow:
        prototype = TINY.prototype
        sample = staticmethod(lambda rng: TINY.prototype)
        edits = staticmethod(lambda a: ())

    with pytest.raises(InputError, match="only 1 different"):
        calibration_networks(Narrow(), 5, np.random.default_rng(0))  # type: ignore[arg-type]


# Documentation

DOCS = (HERE.parent / "docs" / "deploy" / "devices.md").read_text()


def test_the_device_files_shown_are_valid(tmp_path: Path) -> None:
    shown = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
    for i, block in enumerate(shown):
        (tmp_path / f"{i}.yaml").write_text(block)
    devices = [open_device(str(tmp_path / f"{i}.yaml")) for i in range(len(shown))]
    assert [d.name for d in devices] == ["ssh:pi@board:22", "adb:R58M12ABCDE"]


def test_the_commands_shown_have_those_options() -> None:
    blocks = "".join(re.findall(r"```sh\n(.*?)```", DOCS, re.DOTALL))
    lines = [line.split("#")[0] for line in blocks.splitlines()]
    commands = [shlex.split(line) for line in lines if line.strip()]
    assert len(commands) > 8
    for words in commands:
        told = nas_(*words[1 : 3 if words[1] == "device" else 2], "--help").output
        assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[a-z-]+", told)), words
