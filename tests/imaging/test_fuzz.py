"""Proves that whatever a header, affine or label array holds, reading ends in an image or in one of our own errors."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vertecast.core.errors import VertecastError
from vertecast.imaging.dialects import CHOICES
from vertecast.imaging.match import matched_labels
from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.imaging.write import write_nrrd, write_seg_nrrd
from vertecast.imaging.write_dicom import write_dicom_series

CI = settings(max_examples=500, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None)
LONG = settings(CI, max_examples=20_000)

numbers = st.one_of(
    st.floats(-10, 10),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, 1.0, -1.0, 1e-30, 1e30, 5.0, 5.1]),
)
edits = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6)


def outcome(work: Callable[[], object]) -> str:
    """Say how a call ended; anything but a result or our own error fails the test by itself."""
    try:
        work()
    except VertecastError as exc:
        return type(exc).__name__ if str(exc) else "silent"
    return "read"


def edited(data: bytes, changes: list[tuple[float, int]], keep: float, region: int | None = None) -> bytes:
    """Overwrite bytes at relative places, and cut the end."""
    out = bytearray(data)
    size = min(region or len(out), len(out))
    for place, value in changes:
        out[int(place * size)] = value
    return bytes(out[: max(int(keep * len(out)), 1)])


class Files(dict[str, bytes]):
    """Files by name; a failing example need not print them."""

    def __repr__(self) -> str:
        return f"Files({sorted(self)})"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One small CT and label map in each format, as bytes."""
    folder = tmp_path_factory.mktemp("fuzz")
    rng = np.random.default_rng(11)
    hu = rng.normal(0, 400, (6, 5, 7)).clip(-1000).astype(np.int16)
    numbers = np.zeros((6, 5, 7), np.int16)
    numbers[1:4, 1:4, 4:7], numbers[1:4, 1:4, 1:4] = 20, 21
    image = nibabel.Nifti1Image(hu, np.diag([-1.0, -1.0, 2.0, 1.0]))
    image.set_qform(image.affine, 1)
    (folder / "ct.nii").write_bytes(image.to_bytes())
    ct = read_volume(folder / "ct.nii")
    (folder / "seg.nii").write_bytes(nibabel.Nifti1Image(numbers, image.affine).to_bytes())
    seg = read_labels(folder / "seg.nii")
    write_nrrd(folder / "ct.nrrd", ct)
    write_nrrd(folder / "ct.mha", ct)
    write_seg_nrrd(folder / "s.seg.nrrd", seg)
    write_dicom_series(folder / "dicom", ct)
    packed = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    return Files(packed | {file.name: file.read_bytes() for file in (folder / "dicom").iterdir()})


def check_nifti_header(tmp_path: Path, data: bytes, changes: list[tuple[float, int]], keep: float) -> str:
    path = tmp_path / "fuzz.nii"
    path.write_bytes(edited(data, changes, keep, region=348))
    return outcome(lambda: read_volume(path)) + outcome(lambda: read_labels(path))


def check_affine(tmp_path: Path, form: np.ndarray, quaternion: list[float], codes: tuple[int, int], unit: int) -> str:
    image = nibabel.Nifti1Image(np.arange(210, dtype=np.int16).reshape(6, 5, 7) - 100, np.eye(4))
    raw = bytearray(image.to_bytes())
    raw[280:328] = form.astype("<f4").tobytes()
    raw[252:256] = np.array(codes, "<i2").tobytes()
    raw[256:280] = np.array(quaternion, "<f4").tobytes()
    raw[123] = unit
    path = tmp_path / "affine.nii"
    path.write_bytes(raw)
    return outcome(lambda: read_volume(path))


def check_labels(tmp_path: Path, array: np.ndarray, dialect: str, ct: Volume) -> str:
    path = tmp_path / "labels.nii"
    matrix = np.diag([-1.0, -1.0, 2.0, 1.0])
    path.write_bytes(nibabel.Nifti1Image(array, matrix, dtype=array.dtype).to_bytes())

    def work() -> LabelMap:
        return matched_labels(read_labels(path, dialect=dialect), ct)

    return outcome(work)


def check_text_header(tmp_path: Path, name: str, data: bytes, changes: list[tuple[float, int]], keep: float) -> str:
    path = tmp_path / name
    path.write_bytes(edited(data, changes, keep, region=420))
    read = read_labels if ".seg." in name else read_volume
    return outcome(lambda: read(path))


def check_dicom(
    tmp_path: Path, small: dict[str, bytes], changes: list[tuple[float, int]], which: int, keep: float
) -> str:
    path = tmp_path / "fuzz.zip"
    slices = sorted(name for name in small if name.startswith("slice"))
    with zipfile.ZipFile(path, "w") as archive:
        for k, name in enumerate(slices):
            data = small[name]
            archive.writestr(name, edited(data, changes, keep) if k == which else data)
    return outcome(lambda: read_volume(path))


def check_dicom_values(tmp_path: Path, small: dict[str, bytes], keyword: str, values: list[str], which: int) -> str:
    path = tmp_path / "values.zip"
    slices = sorted(name for name in small if name.startswith("slice"))
    with zipfile.ZipFile(path, "w") as archive:
        for k, name in enumerate(slices):
            data = small[name]
            if which in (k, -1):
                data = with_raw_value(data, keyword, "\\".join(values))
            archive.writestr(name, data)
    return outcome(lambda: read_volume(path))


def with_raw_value(data: bytes, keyword: str, value: str) -> bytes:
    """Put a text into a header without pydicom's checks, as a careless exporter does."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    element = dataset[keyword]
    raw = value.encode("ascii", "replace")
    tag = pydicom.tag.Tag(keyword)
    dataset[tag] = pydicom.dataelem.RawDataElement(
        tag, element.VR, len(raw) + len(raw) % 2, raw + b" " * (len(raw) % 2), 0, False, True
    )
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()


KEYWORDS = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "RescaleSlope",
    "RescaleIntercept",
    "SliceThickness",
    "KVP",
    "SeriesInstanceUID",
    "ImageType",
    "PatientPosition",
)
decimals = st.lists(st.one_of(numbers.map(lambda x: f"{x:.6g}"), st.text("0123456789.-eE ", max_size=8)), max_size=7)
arrays = st.one_of(
    hnp.arrays(st.sampled_from([np.uint8, np.int16, np.float32, np.uint16]), (6, 5, 7)),
    hnp.arrays(np.uint8, (6, 5, 7), elements=st.integers(0, 60), fill=st.just(0)),
    hnp.arrays(np.float64, (6, 5, 7), elements=numbers, fill=st.just(0.0)),
)


@CI
@given(changes=edits, keep=st.sampled_from([1.0, 1.0, 1.0, 0.99, 0.6, 0.1]))
def test_nifti_headers(tmp_path_factory: pytest.TempPathFactory, small: dict[str, bytes], changes, keep) -> None:
    check_nifti_header(tmp_path_factory.getbasetemp(), small["ct.nii"], changes, keep)


@CI
@given(
    form=hnp.arrays(np.float32, (3, 4), elements=st.floats(width=32)),
    quaternion=st.lists(st.floats(width=32), min_size=6, max_size=6),
    codes=st.tuples(st.integers(-1, 5), st.integers(-1, 5)),
    unit=st.integers(0, 255),
)
def test_affines(tmp_path_factory: pytest.TempPathFactory, form, quaternion, codes, unit) -> None:
    check_affine(tmp_path_factory.getbasetemp(), form, quaternion, codes, unit)


@CI
@given(array=arrays, dialect=st.sampled_from(CHOICES))
def test_label_arrays(tmp_path_factory: pytest.TempPathFactory, small: dict[str, bytes], array, dialect) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "ct.nii").write_bytes(small["ct.nii"])
    check_labels(folder, array, dialect, read_volume(folder / "ct.nii"))


@CI
@given(
    name=st.sampled_from(["ct.nrrd", "ct.mha", "s.seg.nrrd"]),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(b"0123456789.-(), :\nRLASPa")), max_size=5
    ),
    keep=st.sampled_from([1.0, 1.0, 0.9]),
)
def test_nrrd_and_metaimage(
    tmp_path_factory: pytest.TempPathFactory, small: dict[str, bytes], name, changes, keep
) -> None:
    check_text_header(tmp_path_factory.getbasetemp(), name, small[name], changes, keep)


@settings(CI, max_examples=250)
@given(changes=edits, which=st.integers(0, 6), keep=st.sampled_from([1.0, 1.0, 0.9, 0.3]))
def test_dicom_bytes(tmp_path_factory: pytest.TempPathFactory, small: dict[str, bytes], changes, which, keep) -> None:
    check_dicom(tmp_path_factory.getbasetemp(), small, changes, which, keep)


@settings(CI, max_examples=250)
@given(keyword=st.sampled_from(KEYWORDS), values=decimals, which=st.integers(-1, 6))
def test_dicom_values(
    tmp_path_factory: pytest.TempPathFactory, small: dict[str, bytes], keyword, values, which
) -> None:
    check_dicom_values(tmp_path_factory.getbasetemp(), small, keyword, values, which)


@pytest.mark.slow
@LONG
@given(data=st.data())
def test_many_more(tmp_path_factory: pytest.TempPathFactory, small: dict[str, bytes], data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp()
    kind = data.draw(st.integers(0, 4))
    if kind == 0:
        check_nifti_header(folder, small["ct.nii"], data.draw(edits), data.draw(st.sampled_from([1.0, 0.9, 0.3])))
    elif kind == 1:
        (folder / "ct.nii").write_bytes(small["ct.nii"])
        check_labels(folder, data.draw(arrays), data.draw(st.sampled_from(CHOICES)), read_volume(folder / "ct.nii"))
    elif kind == 2:
        name = data.draw(st.sampled_from(["ct.nrrd", "ct.mha", "s.seg.nrrd"]))
        check_text_header(folder, name, small[name], data.draw(edits), data.draw(st.sampled_from([1.0, 0.9])))
    elif kind == 3:
        check_dicom(folder, small, data.draw(edits), data.draw(st.integers(0, 6)), data.draw(st.floats(0, 1)))
    else:
        check_dicom_values(
            folder, small, data.draw(st.sampled_from(KEYWORDS)), data.draw(decimals), data.draw(st.integers(-1, 6))
        )


def test_these_checks_can_fail(tmp_path: Path, small: dict[str, bytes]) -> None:
    """An untouched file is read, a cut one is refused by us, and a foreign error does come through."""
    assert check_nifti_header(tmp_path, small["ct.nii"], [], 1.0) == "readInputError"
    assert check_nifti_header(tmp_path, small["ct.nii"], [], 0.5) == "InputErrorInputError"
    assert check_dicom(tmp_path, small, [], 0, 1.0) == "read"
    assert check_text_header(tmp_path, "s.seg.nrrd", small["s.seg.nrrd"], [], 1.0) == "read"
    with pytest.raises(ZeroDivisionError):
        outcome(lambda: 1 // 0)
