"""CK_data.h5: the faces of CK+ in one HDF5 file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from facefiles import face, write_ck_data

from nas.data.coverage import NO_SUBJECTS
from nas.data.recognise import load_dataset
from nas.errors import InputError

NAMES = ("anger", "disgust", "fear", "happy", "sadness", "surprise", "contempt")
# Of CK+ at 48×48, in the order of NAMES.
COUNTS = (135, 177, 75, 207, 84, 249, 54)
LABELS = np.array([0, 1, 2, 3, 4, 5, 6, 6], np.int64)
FACES = np.array([face(number) for number in range(len(LABELS))])


@pytest.mark.parametrize("given", [".", "CK_data.h5"])
def test_contempt_comes_last_and_subjects_are_said_to_be_unknown(tmp_path: Path, given: str) -> None:
    write_ck_data(tmp_path / "CK_data.h5", FACES, LABELS)
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    data = load_dataset(tmp_path / given)
    assert (data.kind, data.images.shape, data.class_names) == ("ck_data.h5", (8, 48, 48, 1), NAMES)
    assert data.labels.dtype == np.int64
    assert [data.class_names[label] for label in data.labels] == [*NAMES, "contempt"]
    np.testing.assert_array_equal(data.images[..., 0], FACES)
    assert data.subjects is None and data.sequences is None and data.parts is None
    assert data.names is not None and (data.names[0], data.names[7]) == ("image 0", "image 7")
    assert "subjects unknown" in data.caption
    assert NO_SUBJECTS in data.warnings
    assert "no subject-independent split is possible" in data.warnings[-1] and "near-copies" in data.warnings[-1]


def test_the_whole_of_ckplus_under_this_numbering_and_another(tmp_path: Path) -> None:
    images = np.zeros((981, 48, 48), np.uint8)
    labels = np.repeat(np.arange(7), COUNTS)
    data = load_dataset(write_ck_data(tmp_path / "CK_data.h5", images, labels))
    assert data.class_counts() == dict(zip(NAMES, COUNTS, strict=True))
    # Some scripts number the folders alphabetically: anger, contempt, disgust, fear ...
    alphabetical = np.array([0, 2, 3, 4, 5, 6, 1])[labels]
    with pytest.raises(InputError, match=r"label 1 has 54 images, as contempt has in CK\+.*renumber it"):
        load_dataset(write_ck_data(tmp_path / "CK_data.h5", images, alphabetical))


def test_labels_outside_are_left_out_and_counted(tmp_path: Path) -> None:
    odd = LABELS.copy()
    odd[[2, 5]] = 7, -1
    data = load_dataset(write_ck_data(tmp_path / "CK_data.h5", FACES, odd))
    assert list(data.labels) == [0, 1, 3, 4, 6, 6]
    np.testing.assert_array_equal(data.images[2, :, :, 0], face(3))
    assert data.names is not None and data.names[2] == "image 3"
    assert data.warnings[0].startswith("2 of 8 labels are none of 0..6 (first: 7, image 2)")
    with pytest.raises(InputError, match=r"8 of 8 labels are none of 0\.\.6"):
        load_dataset(write_ck_data(tmp_path / "CK_data.h5", FACES, LABELS + 7))


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (FACES.astype(np.float32), LABELS, r"data_pixel is float32 of shape \(8, 48, 48\); expected uint8"),
        (FACES[0], LABELS, r"data_pixel is uint8 of shape \(48, 48\)"),
        (FACES, LABELS[:-1], r"data_label is int64 of shape \(7,\); expected 8 integers"),
        (FACES, LABELS.astype(np.float64), "data_label is float64"),
        (FACES, [f"happy {label}" for label in LABELS], "data_label is object"),
        (FACES[:0], LABELS[:0], "no image at all"),
    ],
)
def test_arrays_of_another_type_or_shape_are_refused(
    tmp_path: Path, images: object, labels: object, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load_dataset(write_ck_data(tmp_path / "CK_data.h5", images, labels))


def test_files_that_are_no_such_hdf5_are_refused(tmp_path: Path) -> None:
    import h5py

    path = write_ck_data(tmp_path / "CK_data.h5", FACES, LABELS)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"no HDF5 file that can be read \(.*truncated.*\): copy it again"):
        load_dataset(path)
    for junk in (b"", b"nothing"):
        path.write_bytes(junk)
        with pytest.raises(InputError, match="no HDF5 file that can be read"):
            load_dataset(tmp_path)
    with h5py.File(path, "w") as file:
        file["data_samples"], file["data_labels"] = FACES, LABELS
    with pytest.raises(InputError, match=r"no array 'data_pixel' \(found: data_labels, data_samples\)"):
        load_dataset(path)


def test_arrays_that_lie_in_other_files_are_not_followed(tmp_path: Path) -> None:
    import h5py

    write_ck_data(tmp_path / "other.h5", FACES, LABELS)
    path = tmp_path / "CK_data.h5"
    with h5py.File(path, "w") as file:
        file["data_pixel"] = h5py.ExternalLink("other.h5", "data_pixel")
        file["data_label"] = LABELS
    with pytest.raises(InputError, match="'data_pixel' is no array of this file's own"):
        load_dataset(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("data_pixel", FACES.shape, "u1", external=[(str(tmp_path / "raw"), 0, FACES.nbytes)])
        file["data_label"] = LABELS
    with pytest.raises(InputError, match="'data_pixel' is no array of this file's own"):
        load_dataset(path)


def test_the_image_size_is_kept_to(tmp_path: Path) -> None:
    assert load_dataset(write_ck_data(tmp_path / "CK_data.h5", FACES, LABELS), image_size=96).input_shape == (96, 96, 1)
