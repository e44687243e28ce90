"""Mutated image folders, .npz files, CK+ layouts, csv files of pixels and votes, and HDF5 files."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from facefiles import VOTES_HEADER, face, pixel_lines, pixel_text, votes_line, write_ck_data
from fuzzing import damaged, fuzz, law
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.model_selection import StratifiedKFold  # noqa: F401 - imported here, so that no input is blamed for it

from nas.data.dataset import Dataset
from nas.data.folds import make_split
from nas.data.inspect import inspect
from nas.data.recognise import load_dataset
from nas.errors import InputError

NUMBER = itertools.count()


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(autouse=True)
def quiet(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """No warning of a decoder reaches the terminal."""
    yield
    told = capfd.readouterr()
    assert told.err == ""


def fresh(top: Path) -> Path:
    """A new folder; the one before it goes, since thousands are made."""
    number = next(NUMBER)
    shutil.rmtree(top / str(number - 1), ignore_errors=True)
    (top / str(number)).mkdir()
    return top / str(number)


def check(data: Dataset | None) -> None:
    """What was accepted is a data set that a search can be started on, or be refused with a reason."""
    if data is None:
        return
    assert data.images.dtype == np.uint8 and data.images.ndim == 4 and len(data.images) == len(data.labels) > 0
    assert data.labels.min() >= 0 and data.labels.max() < len(data.class_names)
    assert json.loads(json.dumps(inspect(data)))["images"] == len(data)
    law("folds", data.fingerprint, lambda: make_split(data, folds=2, holdout=0.0))


def encoded(kind: str, mode: str, **options: Any) -> bytes:
    pixels = np.random.default_rng(len(kind + mode)).integers(0, 256, (9, 11, 4), dtype=np.uint8)
    image = Image.fromarray(pixels, "RGBA").convert("RGB" if mode in ("I;16", "F", "I") else mode)
    if mode in ("I;16", "F", "I"):
        image = Image.fromarray(pixels[..., 0].astype({"I;16": np.uint16, "F": np.float32, "I": np.int32}[mode]))
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


IMAGES: Mapping[str, bytes] = {
    "grey.png": encoded("PNG", "L"),
    "colour.png": encoded("PNG", "RGB"),
    "clear.png": encoded("PNG", "RGBA"),
    "sixteen.png": encoded("PNG", "I;16"),
    "palette.png": encoded("PNG", "P"),
    "text.png": encoded("PNG", "1"),
    "plain.jpg": encoded("JPEG", "RGB"),
    "waves.jpg": encoded("JPEG", "L", progressive=True),
    "ink.jpg": encoded("JPEG", "CMYK"),
    "moving.gif": encoded("GIF", "P"),
    "bits.bmp": encoded("BMP", "RGB"),
    "lzw.tif": encoded("TIFF", "RGB", compression="tiff_lzw"),
    "zip.tif": encoded("TIFF", "RGBA", compression="tiff_adobe_deflate"),
    "jpeg.tif": encoded("TIFF", "RGB", compression="jpeg"),
    "fax.tif": encoded("TIFF", "1", compression="group4"),
    "float.tif": encoded("TIFF", "F"),
    "raw.tif": encoded("TIFF", "I;16"),
    "lossy.webp": encoded("WEBP", "RGB"),
    "lossless.webp": encoded("WEBP", "RGBA", lossless=True),
    "grey.pgm": encoded("PPM", "L"),
    "colour.ppm": encoded("PPM", "RGB"),
}


@st.composite
def image_files(draw: st.DrawFn) -> tuple[str, bytes]:
    name = draw(st.sampled_from(sorted(IMAGES)))
    return name, draw(damaged(IMAGES[name], most=draw(st.sampled_from([1, 1, 6]))))


@fuzz
@given(files=st.lists(image_files(), min_size=1, max_size=4), size=st.sampled_from([None, None, 8]))
def test_image_folders(top: Path, files: list[tuple[str, bytes]], size: int | None) -> None:
    root = fresh(top)
    for index, name in enumerate(("happy", "sad")):
        (root / name).mkdir()
        for copy in range(2):
            (root / name / f"{copy}.png").write_bytes(IMAGES["grey.png"])
        for number, (file, content) in enumerate(files[index::2]):
            (root / name / f"{number}-{file}").write_bytes(content)
    check(law("image folder", (files, size), lambda: load_dataset(root, image_size=size)))


def png_of(width: int, height: int) -> bytes:
    """The head of a PNG of that size, and hardly any pixels."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


sides = st.sampled_from([1, 7, 48, 1023, 1025, 8000, 8001, 50_000, 2**31 - 1])


@fuzz
@given(width=sides, height=sides)
def test_image_headers(top: Path, width: int, height: int) -> None:
    root = fresh(top)
    for name in ("a", "b"):
        (root / name).mkdir()
        (root / name / "0.png").write_bytes(png_of(width, height))
    check(law("image header", (width, height), lambda: load_dataset(root)))


names = st.one_of(
    st.sampled_from(
        ["a", "b", "train", "test", "fer2013.csv", "CK+48", "S005", "001", ".hidden", "Emotion", "cohn-kanade-images"]
    ),
    st.sampled_from(
        [
            "S005_001_00000011_emotion.txt",
            "S005_001_00000011.png",
            "x.png",
            "x.npz",
            "README.txt",
            "l.jpg",
            "CK_data.h5",
        ]
    ),
    st.text(min_size=1, max_size=12).filter(lambda t: "/" not in t and "\0" not in t and t not in (".", "..")),
    st.binary(min_size=1, max_size=4).map(
        lambda b: b.replace(b"/", b"_").replace(b"\0", b"_").decode(errors="surrogateescape")
    ),
)
nodes = st.tuples(
    st.lists(names, min_size=1, max_size=4),
    st.sampled_from(["folder", "image", "image", "image", "junk", "empty", "pipe", "self", "up", "dangling", "device"]),
)


def plant(root: Path, parts: list[str], what: str) -> None:
    path = root.joinpath(*parts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path):
            return
        if what == "folder":
            path.mkdir()
        elif what in ("image", "junk", "empty"):
            path.write_bytes({"image": IMAGES["grey.png"], "junk": b"3.0\n", "empty": b""}[what])
        elif what == "pipe":
            os.mkfifo(path)
        else:
            links = {"self": path.name, "up": "..", "dangling": "nowhere", "device": "/dev/zero"}
            path.symlink_to(links[what])
    except (OSError, UnicodeError):
        return  # the name is taken, too long, or none


@fuzz
@given(tree=st.lists(nodes, max_size=8), valid=st.booleans())
def test_folder_trees(top: Path, tree: list[tuple[list[str], str]], valid: bool) -> None:
    root = fresh(top)
    if valid:
        for name in ("dark", "light"):
            for number in range(3):
                plant(root, [name, f"{number}.png"], "image")
    for parts, what in tree:
        plant(root, parts, what)
    check(law("folder tree", (tree, valid), lambda: load_dataset(root)))


def npz_bytes(arrays: Mapping[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


VALID = {
    "x": np.arange(6 * 8 * 9, dtype=np.uint8).reshape(6, 8, 9),
    "y": np.array([0, 1, 2, 0, 1, 2]),
    "subject": np.array(["a", "b", "c", "d", "e", "f"]),
    "sequence": np.arange(6),
    "classes": np.array(["p", "q", "r"]),
}
dtypes = st.sampled_from(["u1", "i8", "<f4", "f8", "?", "c8", "U3", "S3", "M8[s]", "O", "V4", "u8", ">i2", "i1", "f2"])
shapes = st.lists(st.integers(0, 7), max_size=5)


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    shape, dtype = draw(st.one_of(shapes, st.just([6]))), draw(dtypes)
    array = np.full(shape, draw(st.sampled_from([0, 1, 2, 200])), "i8").astype(dtype)
    if array.dtype.kind in "fc" and array.size and draw(st.booleans()):
        array.flat[0] = np.nan
    return array


@st.composite
def npz_files(draw: st.DrawFn) -> bytes:
    changed = dict(VALID)
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from([*VALID, "z", "x.npy"]))
        changed[name] = draw(arrays())
    for name in draw(st.lists(st.sampled_from(sorted(VALID)), max_size=1)):
        changed.pop(name, None)
    content = npz_bytes(changed)
    return draw(damaged(content)) if draw(st.booleans()) else content


@st.composite
def rewritten_npz(draw: st.DrawFn) -> bytes:
    """An archive with a proper checksum over members that are damaged, compressed otherwise, or no arrays."""
    file = io.BytesIO()
    method = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, array in VALID.items():
            member = io.BytesIO()
            np.save(member, array)
            content = member.getvalue()
            if draw(st.integers(0, 2)) == 0:
                at = draw(st.integers(0, 127))
                content = draw(st.one_of(damaged(content), damaged(content[:at]).map(lambda h, c=content[at:]: h + c)))
            if draw(st.integers(0, 5)) == 0:
                shape = draw(
                    st.sampled_from(["(6, 10000000000)", "(-1,)", "(10**9,)", "(1e9,)", "((6,),)", "[6]", "6"])
                )
                content = content.replace(b"(6, 8, 9)", shape.encode()).replace(b"(6,)", shape.encode())
            archive.writestr(f"{name}.npy", content)
    content = file.getvalue()
    return draw(damaged(content, most=2)) if draw(st.integers(0, 3)) == 0 else content


@fuzz
@given(content=st.one_of(npz_files(), rewritten_npz(), st.binary(max_size=64)))
def test_npz_files(top: Path, content: bytes) -> None:
    path = fresh(top) / "data.npz"
    path.write_bytes(content)
    check(law(".npz", content, lambda: load_dataset(path)))


USAGES = ("Training", "PublicTest", "PrivateTest")
ROWS = [f"{line}\n".encode() for line in pixel_lines([(n % 7, USAGES[n % 3]) for n in range(8)])]
headers = st.sampled_from(
    [b"emotion,pixels,Usage\n"] * 5
    + [
        b"\xef\xbb\xbfemotion,pixels,Usage\r\n",
        b"emotion,pixels\n",
        b"Usage,pixels, emotion\n",
        b"emotion;pixels\n",
        b"",
    ]
)
PIXEL_TEXTS = (pixel_text(face(0)), "1 2 3", "", "256 " * 2304, "-1 " * 2304, "9" * 4608, " " * 200_000, "\N{SNOWMAN}")
odd_rows = st.builds(
    lambda emotion, pixels, usage: f"{emotion},{pixels},{usage}\n".encode(),
    st.sampled_from(["0", "7", "8", "-1", "", "nan", "1.0", "\N{ARABIC-INDIC DIGIT ONE}", "9" * 30]),
    st.sampled_from(PIXEL_TEXTS),
    st.sampled_from(["Training", "PrivateTest", "", "Elsewhere", '"Training"', "a,b"]),
)
csv_names = st.sampled_from(["fer2013.csv", "ckextended.csv", "faces.csv"])


@st.composite
def pixel_files(draw: st.DrawFn) -> bytes:
    rows = ROWS + draw(st.lists(st.one_of(odd_rows, st.binary(max_size=12)), max_size=6))
    content = draw(headers) + b"".join(draw(st.permutations(rows)))
    return draw(damaged(content)) if draw(st.booleans()) else content


@fuzz
@given(name=csv_names, content=st.one_of(pixel_files(), pixel_files(), st.binary(max_size=64)), folder=st.booleans())
def test_pixel_csv_files(top: Path, name: str, content: bytes, folder: bool) -> None:
    root = fresh(top)
    (root / name).write_bytes(content)
    check(law("pixel csv", (name, content, folder), lambda: load_dataset(root if folder else root / name)))


BALLOTS = [{"neutral": 10}, {"fear": 6, "NF": 4}, {"contempt": 5, "anger": 5}, {"unknown": 9, "fear": 1}]
VOTES = "\n".join([VOTES_HEADER, *(votes_line(USAGES[n % 3], f"{n}.png", BALLOTS[n % 4]) for n in range(8))]).encode()


@fuzz
@given(votes=st.one_of(st.just(VOTES), damaged(VOTES), damaged(VOTES, most=2)), faces=st.none() | pixel_files())
def test_votes_beside_pixels(top: Path, votes: bytes, faces: bytes | None) -> None:
    root = fresh(top)
    (root / "fer2013new.csv").write_bytes(votes)
    (root / "fer2013.csv").write_bytes(b"emotion,pixels,Usage\n" + b"".join(ROWS) if faces is None else faces)
    check(law("FERPlus", (votes, faces), lambda: load_dataset(root)))


@pytest.fixture(scope="module")
def hdf5(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    images = np.arange(8 * 9 * 9, dtype=np.uint8).reshape(8, 9, 9)
    return write_ck_data(tmp_path_factory.mktemp("h5") / "CK_data.h5", images, np.arange(8) % 7).read_bytes()


@fuzz
@given(draws=st.data())
def test_hdf5_files(top: Path, hdf5: bytes, draws: st.DataObject) -> None:
    path = fresh(top) / "CK_data.h5"
    content = draws.draw(st.one_of(damaged(hdf5), damaged(hdf5, most=1), st.binary(max_size=64)))
    path.write_bytes(content)
    check(law("HDF5", content, lambda: load_dataset(path)))


labels = st.one_of(
    st.sampled_from(
        ["   3.0000000e+00\n", "1", "2", "0", "8", "-1", "nan", "inf", "1e400", "", "x", "3 3", "١", "1_0"]
    ),
    st.binary(max_size=8),
)
landmarks = st.one_of(
    st.just("10.0 20.0\n" * 68),
    st.sampled_from(
        ["", "1 2\n", "nan 1\n" * 68, "1e9 1e9\n" * 68, "1e308 -1e308\n" * 68, "5 5\n" * 68, "-30 60\n" * 68]
    ),
    st.binary(max_size=20),
)
frames = st.one_of(st.just(IMAGES["grey.png"]), st.sampled_from(sorted(IMAGES.values())), damaged(IMAGES["grey.png"]))
sequences = st.tuples(
    st.sampled_from(["S005", "S010", "S011"]), st.sampled_from(["001", "002"]), labels, landmarks, frames
)


@fuzz
@given(found=st.lists(sequences, min_size=1, max_size=5), aside=st.booleans(), valid=st.booleans())
def test_ckplus_layouts(top: Path, found: list[tuple[Any, ...]], aside: bool, valid: bool) -> None:
    root = fresh(top)
    given_here = list(found)
    if valid:
        for subject, label in (("S130", "1"), ("S131", "3"), ("S132", "1"), ("S133", "3")):
            given_here.append((subject, "001", label, "3 3\n" * 68, IMAGES["grey.png"]))
    for subject, sequence, label, points, frame in given_here:
        stem = f"{subject}_{sequence}_00000001"
        holders = ("cohn-kanade-images", "Emotion" if aside else "cohn-kanade-images", "Landmarks")
        contents = {f"{stem}.png": frame, f"{stem}_emotion.txt": label, f"{stem}_landmarks.txt": points}
        for holder, (name, content) in zip(holders, contents.items(), strict=True):
            path = root / holder / subject / sequence / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    check(law("CK+ layout", (found, aside, valid), lambda: load_dataset(root)))


def test_the_valid_ones_are_valid(tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_bytes(npz_bytes(VALID))
    assert len(load_dataset(tmp_path / "data.npz")) == 6
    (tmp_path / "fer2013.csv").write_bytes(b"emotion,pixels,Usage\n" + b"".join(ROWS))
    assert len(load_dataset(tmp_path / "fer2013.csv")) == 8
    (tmp_path / "fer2013new.csv").write_bytes(VOTES)
    assert len(load_dataset(tmp_path / "fer2013new.csv")) == 4
    readable = 0
    for name, content in IMAGES.items():
        for label in ("a", "b"):
            (tmp_path / name / label).mkdir(parents=True)
            (tmp_path / name / label / name).write_bytes(content)
        try:
            readable += load_dataset(tmp_path / name).images.shape[1:3] == (9, 11)
        except InputError as error:
            assert name == "float.tif", error
    assert readable == len(IMAGES) - 1
