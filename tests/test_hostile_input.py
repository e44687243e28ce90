"""Hostile input, one test an item: exit code 2, one message that says what, where, bound and remedy, nothing left."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from make_run import make_run
from PIL import Image
from typer.testing import CliRunner

from nas.architecture import Architecture
from nas.cli.main import app
from nas.data.recognise import load_dataset
from nas.errors import DecodeError, InputError

TINY = (Path(__file__).parents[1] / "search_spaces" / "tiny.yaml").read_text()


@pytest.fixture(autouse=True)
def here(tmp_path: Path) -> Iterator[Path]:
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


def refused(*arguments: object) -> str:
    """The one message with which a command is refused; checks that there is nothing else."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 2, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    return lines[0].removeprefix("error: ")


def search(npz: Path, **options: object) -> str:
    """Why this search is refused; it leaves no run directory."""
    given = {"data": npz, "space": "tiny", "constraints": "none", "out": "new/run", **options}
    message = refused("search", *(part for name, value in given.items() for part in (f"--{name}", value)))
    assert not Path("new").exists() and not Path("results").exists()
    return message


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 9)) + chunk(b"IEND", b"")


def folders(root: Path, content: bytes | None = None, classes: tuple[str, ...] = ("a", "b")) -> Path:
    """Class folders of six 12x12 images each, or of ``content``."""
    rng = np.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(6):
            path = root / name / f"{number}.png"
            if content is None:
                Image.fromarray(rng.integers(0, 255, (12, 12), dtype=np.uint8)).save(path)
            else:
                path.write_bytes(content)
    return root


# --- data ---


def test_a_missing_path(npz: Path) -> None:
    assert "no such file or folder" in search(npz, data="nothing/here")


def test_an_empty_folder(npz: Path, here: Path) -> None:
    (here / "empty").mkdir()
    assert "the folder is empty; expected one subfolder of images per class" in search(npz, data="empty")


def test_one_class_only(npz: Path, here: Path) -> None:
    folders(here / "one", classes=("a",))
    message = search(npz, data="one")
    assert "needs at least two" in message or "put the images of each class into a subfolder" in message


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_unreadable_and_truncated_images(npz: Path, here: Path, content: bytes | None) -> None:
    folders(here / "cut")
    whole = (here / "cut/a/0.png").read_bytes()
    folders(here / "cut", whole[: len(whole) // 2] if content is None else content)
    message = search(npz, data="cut")
    assert "12 image files cannot be read" in message or "none of its 12 image files can be read" in message


def test_a_few_truncated_images_are_left_out_and_said_so(here: Path) -> None:
    folders(here / "some")
    path = here / "some/a/0.png"
    path.write_bytes(path.read_bytes()[:60])
    data = load_dataset("some")
    assert len(data) == 11
    assert any("1 image files cannot be read and are left out" in w and "0.png" in w for w in data.warnings)


def test_mixed_sizes_are_brought_to_one_and_said_so(here: Path) -> None:
    folders(here / "mixed")
    Image.new("L", (30, 20)).save(here / "mixed/b/9.png")
    data = load_dataset("mixed")
    assert data.input_shape == (48, 48, 1)
    assert "images of 2 sizes were brought to 48x48: give an image size to choose another" in data.warnings


def test_a_huge_image_is_refused_by_its_header(npz: Path, here: Path) -> None:
    folders(here / "huge", png(50_000, 50_000))
    assert "0.png: 2500 megapixels, more than the 64 megapixels that are read: shrink" in search(npz, data="huge")


def test_links_in_circles(npz: Path, here: Path) -> None:
    (here / "loop").mkdir()
    for number in range(60):  # each level would hold all those before it
        (here / "loop" / f"again{number}").symlink_to(".")
    assert "no image in its 60 subfolders" in search(npz, data="loop")
    (here / "alone").mkdir()
    (here / "alone/self").symlink_to(".")
    assert "alone" in search(npz, data="alone")
    (here / "knot").symlink_to("knot")
    assert "knot" in search(npz, data="knot")
    good = folders(here / "good")
    (good / "again").symlink_to(".")
    (good / "a" / "knot.png").symlink_to("knot.png")
    data = load_dataset("good")
    assert len(data) == 12 and any("1 image files cannot be read" in w for w in data.warnings)


def test_pipes_and_devices_are_not_waited_for(npz: Path, here: Path) -> None:
    good = folders(here / "good")
    os.mkfifo(good / "a" / "pipe.png")
    assert len(load_dataset("good")) == 12
    os.mkfifo(here / "pipe.npz")
    assert "neither a folder nor a file" in search(npz, data="pipe.npz")
    assert "neither a folder nor a file" in search(npz, data="/dev/zero")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x": np.array([None] * 6, object)}, "array 'x' holds Python objects, which are never unpickled"),
        ({"x": np.zeros((6, 8, 9, 5), np.uint8)}, "x has shape (6, 8, 9, 5)"),
        ({"x": np.full((6, 8, 9), np.nan)}, "x is float64; it must be uint8"),
        ({"y": np.array([0, 1])}, "y has shape (2,) but x holds 6 images"),
        ({"y": np.array([0, 1, np.nan, 0, 1, 2])}, "y is float64; it must hold integers"),
        ({"y": np.array([0, 1, 2, 0, 1, 5000])}, "y ranges from 0 to 5000; it must lie in 0..999"),
        ({"y": np.array([0, 1, 2, 0, 1, -1])}, "y ranges from -1 to 2"),
        ({"classes": np.array(["a", "b", "c\nd"])}, "class name 'c\\nd' holds line ends"),
    ],
)
def test_arrays_of_the_wrong_kind(npz: Path, here: Path, changes: dict[str, np.ndarray], words: str) -> None:
    good = {"x": np.zeros((6, 8, 9), np.uint8), "y": np.array([0, 1, 2, 0, 1, 2])}
    np.savez(here / "bad.npz", **{**good, **changes})  # type: ignore[arg-type]
    assert words in search(npz, data="bad.npz")


def test_a_zip_bomb_is_refused_by_its_declared_size(npz: Path, here: Path) -> None:
    shape = (300, 1000, 1000)
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(here / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as member:
        member.write(head.getvalue())
        for _ in range(300):
            member.write(bytes(1_000_000))
    message = search(npz, data="bomb.npz")
    assert "'x.npy' unpacks from" in message and "at most 100 times what is stored" in message


def test_images_too_large_for_the_space(npz: Path, here: Path) -> None:
    np.savez(here / "wide.npz", x=np.zeros((60, 1, 4000), np.uint8), y=np.arange(60) % 2)
    assert "images of 1x4000 and 2 classes: a space takes at most 1024" in search(npz, data="wide.npz")


# --- YAML ---


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("constraints:\n- {metric: params, maximum: 3}\n", ":2: constraints.0.maximum: unknown key"),
        ("constraints: 7\n", ":1: constraints: Input should be a valid list (got 7)"),
        ("constraints:\n- {metric: params, max: -3}\n", ":2: constraints.0: bound -3"),
        ("constraints:\n- {metric: params, max: 1e400}\n", "beyond the largest number"),
        ("constraints:\n- {metric: accuracy, min: 1.0}\n", "must lie inside 0..1"),
        ("constraints:\n- {metric: accuracy, min: 0}\n", "must lie inside 0..1"),
        ("constraints:\n- {metric: accuracy, min: 92}\n", "must lie inside 0..1"),
        ("constraints:\n- {metric: params, max: .nan}\n", "Input should be a finite number"),
        ("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n", ":2: aliases (*a) are not accepted"),
        ("constraints: !!python/object/apply:os.system ['true']\n", ":1: not valid YAML of this kind: the tag"),
        ("constraints: " + 40 * "[" + 40 * "]" + "\n", ":1: nested more than 32 deep; flatten it"),
        ("constraints: [" + 40_000 * "1," + "]\n", "more than 30000 values"),
        ("constraints: " + 9_999 * "9" + "\n", ":1: a number of 9999 digits; use at most 400"),
        ("? [a]\n: b\n", ":1: a key that is no plain word"),
        ("<<: {a: 1}\n", ":1: a key that is no plain word"),
        ("", "expected a mapping of fields at the top, got NoneType"),
    ],
)
def test_constraint_files(npz: Path, here: Path, text: str, words: str) -> None:
    (here / "c.yaml").write_text(text)
    message = search(npz, constraints="c.yaml")
    assert message.startswith("c.yaml") and words in message


def test_a_billion_laughs_a_long_file_and_bytes_that_are_no_text(npz: Path, here: Path) -> None:
    lines = ["a0: &a0 [lol]", *(f"a{i}: &a{i} [{','.join(9 * [f'*a{i - 1}'])}]" for i in range(1, 30))]
    (here / "c.yaml").write_text("\n".join(lines))
    assert "c.yaml:2: aliases (*a0) are not accepted" in search(npz, constraints="c.yaml")
    (here / "c.yaml").write_bytes(b"#" * 2_000_000)
    assert "more than 1000000 bytes" in search(npz, constraints="c.yaml")
    (here / "c.yaml").write_bytes(b"constraints: []\n# \xff\n")
    assert "c.yaml:2: not UTF-8 text" in search(npz, constraints="c.yaml")
    (here / "c.yaml").write_bytes(b"constraints: []\n# \x00\n")
    assert "character 0x00 at position 18 is not allowed" in search(npz, constraints="c.yaml")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("low: 4, high: 8", "low: 9, high: 8", "high 8 must be low 9 plus a multiple of step 4"),
        ("prototype: 8, low: 4", "prototype: 7, low: 4", "prototype 7 is not among 4, 8 .. 8"),
        ("blocks: {prototype: 1", "blocks: {prototype: 3", "prototype 3 must lie in 1..2"),
        ("prototype: 1, choices: [1, 2]", "prototype: 1, choices: [2]", "prototype 1 must be among the choices [2]"),
        ("classes: 3", "classes: 0x" + 300 * "f", "classes: Input should be"),
        ("classes: 3", "classes: 99999", "less than or equal to 10000"),
    ],
)
def test_a_prototype_outside_its_own_bounds(npz: Path, here: Path, old: str, new: str, words: str) -> None:
    assert old in TINY
    (here / "s.yaml").write_text(TINY.replace(old, new, 1))
    message = search(npz, space="s.yaml")
    assert message.startswith("s.yaml:") and words in message


def test_a_python_space_whose_prototype_is_outside(npz: Path, here: Path) -> None:
    (here / "outside_its_bounds.py").write_text(
        "import toy_family as t\n"
        "class Odd(t.ChainSpace):\n"
        "    prototype = property(lambda self: t.ChainArchitecture(self.shape, self.classes, (5, 16)))\n"
        "    def adapted(self, shape, classes): return Odd(shape, classes)\n"
        "space = Odd()\n"
        "ohno = {}['x'] if False else None\n"
    )
    message = search(npz, space="outside_its_bounds:space")
    assert "parameter w0 = 5 lies outside of IntDistribution(high=16" in message
    assert "cannot be imported (AttributeError" in search(npz, space="outside_its_bounds:nothing")
    (here / "breaks_down.py").write_text("1 / 0\n")
    assert "cannot be imported (ZeroDivisionError: division by zero" in search(npz, space="breaks_down:space")


# --- bounds that no architecture meets ---


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        (
            "{metric: params, max: 900}",
            "params <= 900: no architecture of the space can meet it; every one has at least 943",
        ),
        ("{metric: macs, max: 1k}", "at least 28,184 MACs"),
        ("{metric: weight_bytes, max: 1 KiB}", "at least 3,388 bytes"),
        ("{metric: peak_activation_bytes, max: 2 kB}", "at least 3,072 bytes"),
        ("{metric: size_bytes, max: 3 kB}", "kernels, all of which are in its file, of at least 3,248 bytes"),
        ("{metric: params, min: 1M}", "at most 12,091 parameters"),
    ],
)
def test_a_bound_beyond_the_space(npz: Path, here: Path, bound: str, words: str) -> None:
    (here / "c.yaml").write_text(f"constraints:\n- {bound}\n")
    message = search(npz, constraints="c.yaml")
    assert words in message and "the bound to" in message


def test_bounds_that_contradict_each_other(npz: Path, here: Path) -> None:
    (here / "c.yaml").write_text("constraints:\n- {metric: params, min: 9k}\n- {metric: params, max: 8k}\n")
    assert "params >= 9000 and params <= 8000 contradict each other" in search(npz, constraints="c.yaml")


# --- where the run goes ---


def test_out_is_a_file_or_lies_in_one(npz: Path, here: Path) -> None:
    (here / "taken").write_text("mine")
    assert "taken: cannot be made, since taken is no folder; choose another --out" in search(npz, out="taken")
    assert "cannot be made, since taken is no folder" in search(npz, out="taken/run")
    assert (here / "taken").read_text() == "mine"
    assert "choose another --out" in search(npz, out="/proc/nas-run/x")
    assert "choose another --out" in search(npz, out="x" * 300)


def test_results_cannot_be_made(npz: Path, here: Path) -> None:
    (here / "results").write_text("a file of that name")
    message = refused("search", "--data", npz, "--space", "tiny", "--constraints", "none")
    assert "since results is no folder; choose another --out" in message


# --- run directories ---


@pytest.fixture
def run(npz: Path, here: Path) -> Path:
    return make_run(here / "run", npz).path


def test_a_run_of_a_newer_version(run: Path) -> None:
    path = run / "run.yaml"
    path.write_text(path.read_text().replace("schema: 1", "schema: 2", 1))
    for command in (["front"], ["explain"], ["resume", "--budget", "+1"], ["plot"]):
        assert "schema 2; this version reads up to 1: upgrade" in refused(command[0], "run", *command[1:])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("schema: 1", "schema: true", "schema True is no version of a run"),
        ("caption: ", "capton: ", "damaged: the field 'caption' is missing"),
        ("reference_point:\n- ", "reference_point:\n- x", "reference_point holds something that is no number"),
        ("  budget: 9", "  budget: nine", "budget: 'nine' is not a whole number or null"),
        ("  - 1x2", "  - 12", "the settings of the search cannot be read"),
        ("  - 1x2", "  - 1x2\n  - 1x1", "rung 1x1 after 1x2: each must have at least"),
        ("    workers: 1", "    workers: 1.5", "workers 1.5; use 1 to 10000"),
        ("    batch: 8", "    batch: 0", "batch 0 must be a whole number"),
        ("  - accuracy\n", "  - []\n", "an item of objectives: [] is not text"),
        ("  - accuracy\n", "", "reference_point has 2 values for 1 objectives"),
    ],
)
def test_a_damaged_run_yaml(run: Path, old: str, new: str, words: str) -> None:
    path = run / "run.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    assert words in refused("front", "run")


@pytest.mark.parametrize("line", ["[1]", "{}", "null", '{"op_code": 4}', '{"op_code": 99}', "[" * 9000 + "]" * 9000])
def test_journal_lines_of_the_wrong_kind(run: Path, line: str) -> None:
    path = run / "study.journal"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:3], line + "\n", *lines[3:]]))
    result = CliRunner().invoke(app, ["front", "run"])
    assert result.exit_code in (0, 2)  # a record that Optuna passes over does no harm
    if result.exit_code == 2:
        assert "study.journal" in result.stderr and "Traceback" not in result.stderr
        assert "study.journal" in refused("resume", "run", "--budget", "+1")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"repeat_of":null', '"repeat_of":7', "trial 7 does not come before trial 0"),
        ('"edits":[]', '"edits":[3]', "an item of edits: 3 is not text"),
        ('"state":"trained"', '"state":"splendid"', "state: 'splendid' is no outcome"),
        ('"unit":"share"', '"unit":3', "not a measurement"),
        ('"cost":{', '"cost":{"x":1,', "cost: has fields x"),
    ],
)
def test_a_candidate_of_the_wrong_kind(run: Path, old: str, new: str, words: str) -> None:
    path = run / "study.journal"
    text = path.read_text()
    spaced = old.replace('":', '": '), new.replace('":', '": ')
    assert old in text or spaced[0] in text
    path.write_text(text.replace(old, new, 1) if old in text else text.replace(*spaced, 1))
    message = refused("front", "run")
    assert "study.journal" in message and words in message


def test_what_else_lies_in_a_run_is_left_alone(run: Path, here: Path) -> None:
    outside = here / "outside"
    outside.mkdir()
    (outside / "model.tflite").write_bytes(b"mine")
    (run / "models" / "linked").symlink_to(outside)
    (run / "models" / "odd name").mkdir(parents=True)
    (run / "front.json").write_text("[")
    (run / "events.jsonl").write_bytes(b"\xff{")
    result = CliRunner().invoke(app, ["front", "run", "--json"])
    assert result.exit_code == 0 and json.loads(result.stdout)["members"]
    assert (outside / "model.tflite").read_bytes() == b"mine"


def test_an_architecture_of_the_wrong_kind() -> None:
    good = json.loads(
        '{"family":"residual","input_shape":[8,8,1],"classes":3,"stem":[4,1],"stages":[[4,[4]]],"links":[],'
        '"norm":"batch","bias":false}'
    )
    assert Architecture.from_json(json.dumps(good)).cost().params == 36 + 16 + 2 * (144 + 16) + 4 * 3 + 3
    for change in ({"bias": "no"}, {"norm": ["batch"]}, {"stem": [4, 1, 9]}, {"stages": 3}, {"classes": 1e9}):
        with pytest.raises(DecodeError, match="not a residual architecture"):
            Architecture.from_json(json.dumps(good | change))


# --- the terminal ---


def test_a_message_is_one_line_whatever_was_given(npz: Path) -> None:
    for odd in ("a\nb", "\udcff", "\x1b[31m", "x" * 5000):
        for message in (
            search(npz, data=odd),
            search(npz, space=odd),
            search(npz, constraints=odd),
            refused("front", odd),
        ):
            assert message.isprintable() and len(message) <= 2100
    assert str(InputError("a\nb\x1b")) == "a\\nb\\x1b"


def test_odd_names_of_files_are_shown_escaped(here: Path) -> None:
    good = folders(here / "good")
    (good / "a" / "\udcff\n.png").write_bytes(b"no image")
    result = CliRunner().invoke(app, ["data", "inspect", "good"])
    assert result.exit_code == 0
    assert "(first: good/a/\\udcff\\n.png)" in result.stdout


def test_images_whose_decoding_warns_say_nothing(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    good = folders(here / "good")
    file = io.BytesIO()
    Image.new("RGB", (12, 12)).save(file, "TIFF", compression="tiff_lzw")
    content = bytearray(file.getvalue())
    content[int.from_bytes(content[4:8], "little") + 2] ^= 0x40  # the first tag is of another kind
    (good / "a" / "odd.tif").write_bytes(bytes(content))
    palette = Image.new("P", (12, 12))
    palette.save(good / "a" / "clear.png", transparency=b"\0\1\2")
    load_dataset("good")
    told = capfd.readouterr()
    assert (told.out, told.err) == ("", "")
