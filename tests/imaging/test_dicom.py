"""Proves that DICOM series are chosen, ordered and placed right; what is missing or mixed is refused by number."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage, JPEGLSLossless, RLELossless, generate_uid

from vertecast.core.errors import GeometryError, InputError
from vertecast.imaging import dicom
from vertecast.imaging.dicom_files import Source
from vertecast.imaging.dicom_series import frames_of
from vertecast.imaging.read import read_volume
from vertecast.imaging.volume import Volume

Edit = Callable[[Path, Callable[[Dataset, int], object]], Path]
Same = Callable[[Volume, Volume], None]


def test_real_jpeg2000_series_agrees_with_gdcm(data_dir: Path) -> None:
    """20 real slices with empty UIDs: every voxel and the affine as SimpleITK's own series reader gives them."""
    folder = data_dir / "ts_example" / "dicom_jpeg2000"
    read = read_volume(folder)
    files = sorted(folder.iterdir(), key=lambda f: float(pydicom.dcmread(f, stop_before_pixels=True).SliceLocation))
    image = sitk.ReadImage([str(one) for one in files])
    np.testing.assert_array_equal(read.hu, np.maximum(sitk.GetArrayFromImage(image).T, -1024))
    for index in ([0, 0, 0], [511, 0, 0], [0, 511, 19]):
        np.testing.assert_allclose(read.grid.to_lps(index), image.TransformIndexToPhysicalPoint(index), atol=1e-6)
    assert (read.scan.kvp, read.scan.kernel, read.scan.contrast, read.scan.posture) == (
        120.0,
        "Br38f 3",
        True,
        "supine",
    )


def test_without_a_plugin_gdcm_decodes_the_same(data_dir: Path) -> None:
    file = sorted((data_dir / "ts_example" / "dicom_jpeg2000").iterdir())[0]
    frame = frames_of(Source(file), pydicom.dcmread(file, stop_before_pixels=True))[0]
    np.testing.assert_array_equal(dicom._decoded_by_gdcm(Source(file), frame), dicom._decoded(frame))


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_compressed_slices_read_alike(
    series: Path, volume: Volume, same_ct: Same, change: Edit, syntax: pydicom.uid.UID
) -> None:
    change(series, lambda one, k: one.compress(syntax, generate_instance_uid=False))
    same_ct(volume, read_volume(series))


def test_slices_are_ordered_by_position_and_not_by_name_or_number(
    series: Path, volume: Volume, same_ct: Same, change: Edit
) -> None:
    files = sorted(series.iterdir())
    shuffled = np.random.default_rng(3).permutation(len(files))
    for k, file in zip(shuffled, files, strict=True):
        file.rename(series / f"x{k}")
    for file in series.iterdir():
        file.rename(file.with_suffix(".dcm"))
    change(series, lambda one, k: setattr(one, "InstanceNumber", 1))
    same_ct(volume, read_volume(series))


def enhanced(series: Path, out: Path) -> Path:
    """Make one multi-frame file of a series, as enhanced CT has it, frames in reversed order."""
    slices = [pydicom.dcmread(one) for one in sorted(series.iterdir())][::-1]
    made = pydicom.dcmread(sorted(series.iterdir())[0])
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    made.NumberOfFrames = len(slices)
    made.PixelData = b"".join(one.PixelData for one in slices)
    shared, measures, orientation, scale = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = made.PixelSpacing, made.SliceThickness
    orientation.ImageOrientationPatient = made.ImageOrientationPatient
    scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 1, 0, "HU"
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelValueTransformationSequence = Sequence([scale])
    made.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for one in slices:
        group, position = Dataset(), Dataset()
        position.ImagePositionPatient = one.ImagePositionPatient
        group.PlanePositionSequence = Sequence([position])
        groups.append(group)
    made.PerFrameFunctionalGroupsSequence = Sequence(groups)
    for keyword in ("PixelSpacing", "SliceThickness", "ImageOrientationPatient", "ImagePositionPatient"):
        delattr(made, keyword)
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        delattr(made, keyword)
    made.save_as(out)
    return out


def test_an_enhanced_multi_frame_file_reads_alike(series: Path, tmp_path: Path, volume: Volume, same_ct: Same) -> None:
    same_ct(volume, read_volume(enhanced(series, tmp_path / "enhanced.dcm")))


def test_a_missing_slice_is_named_with_its_place(series: Path) -> None:
    (series / "slice0021.dcm").unlink()
    with pytest.raises(
        GeometryError, match=r"series: slices are missing: 4\.00 mm between .* 2\.00 mm apart \(1 missing"
    ):
        read_volume(series)


def test_uneven_spacing_is_refused_with_the_range(series: Path, change: Edit, volume: Volume) -> None:
    normal = volume.grid.directions[:, 2]

    def stretch(one: Dataset, k: int) -> None:
        moved = np.array(one.ImagePositionPatient, float) + normal * 0.02 * k**2
        one.ImagePositionPatient = [f"{x:.8f}" for x in moved]

    with pytest.raises(GeometryError, match=r"slice spacing varies from 2\.02 to 3\.74 mm, tolerance 0\.1 mm"):
        read_volume(change(series, stretch))


def test_two_phases_at_one_place_are_refused(series: Path) -> None:
    one = pydicom.dcmread(series / "slice0007.dcm")
    one.PixelData = bytes(len(one.PixelData))
    one.save_as(series / "phase2.dcm")
    with pytest.raises(GeometryError, match=r"two different slices lie at position"):
        read_volume(series)


def test_a_slice_that_is_there_twice_is_read_once(series: Path, volume: Volume, same_ct: Same) -> None:
    shutil.copy(series / "slice0007.dcm", series / "copy.dcm")
    read = read_volume(series)
    same_ct(volume, read)
    assert "1 slices are there twice" in read.warnings[0]


@pytest.mark.parametrize("tilt", [-12.0, 20.0])
def test_gantry_tilt_is_removed(tmp_path: Path, tilt: float) -> None:
    """A linear ramp in the patient is exact under linear interpolation: the upright CT must hold it everywhere."""
    shape, spacing, step = (30, 40, 25), (1.5, 1.25), 2.0
    angle = np.deg2rad(tilt)
    columns = np.array([[1.0, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, 0, 1.0]]).T
    matrix = np.eye(4)
    matrix[:3, :3] = columns * [*spacing, step]
    matrix[:3, 3] = [-20.0, 30.0, -500.0]
    folder = tilted_series(tmp_path / "tilted", shape, matrix)
    read = read_volume(folder)
    assert f"gantry tilt of {abs(tilt):.1f} degrees was removed" in " ".join(read.warnings)
    points = read.grid.to_lps(np.argwhere(np.ones(read.grid.shape, bool))).reshape(*read.grid.shape, 3)
    inside = np.linalg.inv(matrix) @ np.concatenate([points, np.ones((*points.shape[:3], 1))], axis=3)[..., None]
    voxel = inside[..., :3, 0]
    held = ((voxel >= 0.01) & (voxel <= np.array(shape) - 1.01)).all(axis=-1)
    assert held.sum() > 0.8 * np.prod(shape)
    assert np.abs(read.hu - ramp(points))[held].max() < 1.01  # pixels are whole HU


def ramp(points: np.ndarray) -> np.ndarray:
    """HU that grow linearly through the patient."""
    return 3.0 * points[..., 0] - 4.0 * points[..., 1] + 2.0 * points[..., 2] + 900.0


def tilted_series(folder: Path, shape: tuple[int, int, int], matrix: np.ndarray) -> Path:
    """Write slices whose first pixels do not lie along their normal."""
    from vertecast.imaging.grid import Grid
    from vertecast.imaging.write_dicom import write_dicom_series

    indices = np.argwhere(np.ones(shape, bool))
    hu = ramp(indices @ matrix[:3, :3].T + matrix[:3, 3]).reshape(shape)
    square = matrix.copy()
    unit = matrix[:3, :2] / np.linalg.norm(matrix[:3, :2], axis=0)
    square[:3, 2] -= unit @ (unit.T @ matrix[:3, 2])
    write_dicom_series(folder, Volume(np.rint(hu).astype(np.int16), Grid.from_affine(shape, square)))
    for k, file in enumerate(sorted(folder.iterdir())):
        one = pydicom.dcmread(file)
        one.ImagePositionPatient = [f"{x:.8f}" for x in matrix[:3] @ [0, 0, k, 1]]
        one.save_as(file)
    return folder


def test_an_impossible_tilt_is_refused_with_the_angle(tmp_path: Path) -> None:
    matrix = np.eye(4)
    matrix[:3, 2] = [2.0 * np.tan(np.deg2rad(40.0)), 0.0, 2.0]
    with pytest.raises(GeometryError, match=r"as by a gantry tilt of 40\.0 degrees, a CT tilts by at most 30"):
        read_volume(tilted_series(tmp_path / "tilted", (10, 12, 14), matrix))


def second_series(series: Path, folder: Path, edit: Callable[[Dataset], object]) -> Path:
    """Copy a series under a new UID into a subfolder of the same case."""
    uid = generate_uid()
    folder.mkdir()
    for file in series.glob("*.dcm"):
        one = pydicom.dcmread(file)
        one.SeriesInstanceUID, one.SeriesNumber = uid, 7
        edit(one)
        one.save_as(folder / file.name)
    return folder


def test_two_axial_cts_must_be_chosen_from(series: Path, volume: Volume, same_ct: Same) -> None:
    second_series(series, series / "second", lambda one: setattr(one, "SeriesDescription", "soft tissue"))
    with pytest.raises(InputError, match=r"holds 2 CT series that could be meant; choose one: --series .*soft tissue"):
        read_volume(series)
    same_ct(volume, read_volume(series, series="7"))
    same_ct(volume, read_volume(series, series="soft tissue"))
    with pytest.raises(InputError, match=r"series 'bone' is not there; choose one of"):
        read_volume(series, series="bone")


def test_the_only_axial_ct_is_taken_and_the_others_are_named(series: Path, volume: Volume, same_ct: Same) -> None:
    def localize(one: Dataset) -> None:
        one.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    second_series(series, series / "scout", localize)
    second_series(series, series / "mr", lambda one: setattr(one, "Modality", "MR"))
    read = read_volume(series)
    same_ct(volume, read)
    assert "holds 3 series; read was --series" in read.warnings[0]
    for file in (series / "mr").iterdir():
        one = pydicom.dcmread(file)
        one.SeriesDescription = "T1"
        one.save_as(file)
    with pytest.raises(InputError, match=r"series 'T1' is MR, not CT; choose one of"):
        read_volume(series, series="T1")


def test_no_ct_says_what_is_there(series: Path, change: Edit) -> None:
    change(series, lambda one, k: setattr(one, "Modality", "MR"))
    with pytest.raises(InputError, match=r"holds no CT series \(found: 1 x MR\)"):
        read_volume(series)


def test_one_slice_and_colour_are_refused(series: Path, tmp_path: Path, change: Edit) -> None:
    with pytest.raises(InputError, match=r"slice0001\.dcm is one slice"):
        read_volume(series / "slice0001.dcm")

    def paint(one: Dataset, k: int) -> None:
        one.SamplesPerPixel, one.PhotometricInterpretation, one.PlanarConfiguration = 3, "RGB", 0
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 8, 8, 7, 0
        one.PixelData = bytes(3 * one.Rows * one.Columns)

    with pytest.raises(InputError, match=r"has 3 numbers per pixel \(colour\)"):
        read_volume(change(series, paint))


def test_a_truncated_slice_is_named(series: Path) -> None:
    file = series / "slice0011.dcm"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"slice0011\.dcm cannot be decoded"):
        read_volume(series)


def test_without_rescale_hounsfield_units_are_unknown(series: Path, change: Edit) -> None:
    change(series, lambda one, k: delattr(one, "RescaleSlope"))
    with pytest.raises(InputError, match=r"has no RescaleSlope or RescaleIntercept"):
        read_volume(series)


def test_rescale_is_applied_slice_by_slice(series: Path, volume: Volume, change: Edit, same_ct: Same) -> None:
    def rescale(one: Dataset, k: int) -> None:
        one.RescaleIntercept = -1024 - k
        stored = np.frombuffer(one.PixelData, "<i2") + 1024 + k
        one.PixelData = stored.astype("<i2").tobytes()

    same_ct(volume, read_volume(change(series, rescale)))


def test_padding_by_the_header_becomes_air(series: Path, change: Edit) -> None:
    def pad(one: Dataset, k: int) -> None:
        pixels = np.frombuffer(one.PixelData, "<i2").reshape(one.Rows, one.Columns).copy()
        pixels[:2] = 3000
        one.PixelData = pixels.tobytes()
        one.add_new("PixelPaddingValue", "SS", 3000)

    read = read_volume(change(series, pad))
    assert read.hu[:, :2].max() == -1024
    assert "are padding by the header" in read.warnings[0]


def test_gaps_between_slices_are_warned_about(series: Path, change: Edit) -> None:
    change(series, lambda one, k: setattr(one, "SliceThickness", "1.0"))
    assert "slices are 1.00 mm thick but 2.00 mm apart" in read_volume(series).warnings[0]


@pytest.mark.parametrize(
    ("agent", "said"), [("Ultravist 370", True), ("NONE", False), ("", None)], ids=["agent", "none", "empty"]
)
def test_contrast_is_what_the_header_says(series: Path, change: Edit, agent: str, said: bool | None) -> None:
    change(series, lambda one, k: setattr(one, "ContrastBolusAgent", agent))
    assert read_volume(series).scan.contrast is said


def test_names_and_ids_are_not_kept(series: Path, change: Edit) -> None:
    def identify(one: Dataset, k: int) -> None:
        one.PatientName, one.PatientID = "Secret^Name", "ID-4711"

    read = read_volume(change(series, identify))
    assert "Secret" not in repr(read.scan) + repr(read.warnings)
    assert "ID-4711" not in repr(read.scan) + repr(read.warnings)


@pytest.mark.parametrize(
    ("position", "posture"),
    [("HFS", "supine"), ("FFP", "prone"), ("HFDR", "right decubitus"), ("FFDL", "left decubitus"), ("", None)],
)
def test_posture_is_what_the_header_says(series: Path, change: Edit, position: str, posture: str | None) -> None:
    change(series, lambda one, k: setattr(one, "PatientPosition", position))
    assert read_volume(series).scan.posture == posture
