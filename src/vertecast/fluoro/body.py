"""The patient as the C-arm sees it: a CT split in two X-ray materials, projected from any pose."""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError
from vertecast.devices.carm import View, letters
from vertecast.fluoro.couch import without_couch
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import Volume
from vertecast.kernels.project import Cone, SliceStack, can_separate, find_extents, project_stack, stack_axes
from vertecast.kernels.project_march import march_stack
from vertecast.physics.xray import Physics
from vertecast.physics.xray_tissue import TissueLaw, split_hounsfield

MATERIALS = ("water", "cortical_bone")
"""The two materials of a body, in the order of its path maps."""

_LAYOUTS_KEPT = 2
_SLICES_AT_ONCE = 8


def cone_through(view: View, grid: Grid) -> Cone:
    """Express a view's rays in the voxel indices of a grid."""
    linear = grid.lps_from_voxel.inverse
    return Cone(
        grid.to_voxel(view.source_lps),
        grid.to_voxel(view.corner_lps),
        linear.apply_directions(view.column_step_lps),
        linear.apply_directions(view.row_step_lps),
        view.shape,
        grid.spacing,
    )


def integrate(stack: SliceStack, cone: Cone, *, oversampling: float = 1.0, threads: int = 1) -> NDArray[np.float32]:
    """Sum over slices where that holds, march along the rays where it does not."""
    if can_separate(cone, stack.shape, stack.axes[0]):
        return project_stack(stack, cone, oversampling=oversampling, threads=threads)
    return march_stack(stack, cone)


class Body:
    """A CT ready to be projected; keeps the layouts of the last two slice axes, so memory stays below 5 float32 CTs.

    Parameters
    ----------
    volume : the CT
    physics, law : how Hounsfield units become materials
    """

    def __init__(self, volume: Volume, physics: Physics, law: TissueLaw) -> None:
        self.volume = without_couch(volume, law)
        self.grid = volume.grid
        self.cut_faces = cut_faces(self.volume, law)
        self.warnings = (*self.volume.warnings, *padding_warnings(volume, law), *truncation_warnings(self.volume, law))
        self._law, self._physics = law, physics
        self._split = _splitter(volume.hu.dtype, law, physics)
        self._layouts: OrderedDict[int, tuple[SliceStack, SliceStack]] = OrderedDict()

    def paths(self, view: View, *, oversampling: float = 1.0, threads: int = 1) -> NDArray[np.float32]:
        """Mass per area along every ray, mg/mm2: (2, rows, columns), water-like and bone-like.

        Raises
        ------
        GeometryError
            If the isocentre lies outside the CT, or the whole beam misses it.
        """
        self.require_in_beam(view)
        cone = cone_through(view, self.grid)
        stacks = self.layout(cone.slice_axis)
        maps = [integrate(stack, cone, oversampling=oversampling, threads=threads) for stack in stacks]
        return np.maximum(np.stack(maps), 0.0)

    def layout(self, slice_axis: int) -> tuple[SliceStack, SliceStack]:
        """Both materials laid out for one slice axis; made on first use."""
        if slice_axis not in self._layouts:
            while len(self._layouts) >= _LAYOUTS_KEPT:
                self._layouts.popitem(last=False)
            self._layouts[slice_axis] = self._lay_out(slice_axis)
        self._layouts.move_to_end(slice_axis)
        return self._layouts[slice_axis]

    def densities(self, points_lps: NDArray[np.float64]) -> NDArray[np.float32]:
        """Water-like and bone-like density at LPS points (..., 3): (2, ...), mg/mm3; nearest voxel, zero outside."""
        voxels = np.rint(self.grid.to_voxel(points_lps)).astype(np.int64)
        inside = ((voxels >= 0) & (voxels < self.grid.shape)).all(axis=-1)
        clipped = np.clip(voxels, 0, np.array(self.grid.shape) - 1)
        water, bone = self._split(self.volume.hu[clipped[..., 0], clipped[..., 1], clipped[..., 2]])
        return np.stack([np.where(inside, water, 0.0), np.where(inside, bone, 0.0)]).astype(np.float32)

    def require_in_beam(self, view: View) -> None:
        """Refuse a view whose isocentre is outside the CT or whose detector sees nothing of it."""
        index = self.grid.to_voxel(view.pose.isocentre_lps)
        outside = (index < -0.5) | (index > np.array(self.grid.shape) - 0.5)
        if outside.any():
            low, high = self.grid.corners_lps.min(axis=0), self.grid.corners_lps.max(axis=0)
            raise GeometryError(
                f"isocentre {np.round(view.pose.isocentre_lps, 1).tolist()} mm (LPS) is outside the CT, which spans "
                f"{np.round(low, 1).tolist()} to {np.round(high, 1).tolist()}; move the table or choose a point inside"
            )
        if (view.depth(self.grid.corners_lps) <= 0).all():
            raise GeometryError("the beam misses the patient: the whole CT lies behind the focal spot")

    def _lay_out(self, slice_axis: int) -> tuple[SliceStack, SliceStack]:
        """Fill both layouts a few slices at a time, so that no whole field is held besides them."""
        axes = stack_axes(self.volume.hu.shape, slice_axis)
        turned = self.volume.hu.transpose(axes)
        slices, rows, columns = turned.shape
        water, bone = (np.zeros((slices, rows + 2, columns + 2), np.float32) for _ in MATERIALS)
        for first in range(0, slices, _SLICES_AT_ONCE):
            part = slice(first, first + _SLICES_AT_ONCE)
            water[part, 1:-1, 1:-1], bone[part, 1:-1, 1:-1] = self._split(turned[part])
        return SliceStack(water, find_extents(water), axes), SliceStack(bone, find_extents(bone), axes)


def padding_warnings(volume: Volume, law: TissueLaw) -> tuple[str, ...]:
    """Say when values below the CT scale were taken as air."""
    lowest = float(volume.hu.min())
    if lowest >= law.padding_limit:
        return ()
    return (f"CT holds values down to {lowest:g} HU, below {law.padding_limit:g} HU: padding, taken as air",)


def cut_faces(volume: Volume, law: TissueLaw) -> tuple[tuple[int, float], ...]:
    """Find the faces of the CT that the body reaches: array axis and -1 for its first slice, +1 for its last."""
    return tuple(
        (axis, sign)
        for axis in range(3)
        for end, sign in ((0, -1.0), (-1, 1.0))
        if float((np.take(volume.hu, end, axis=axis) > law.cut_tissue).mean()) > law.cut_share
    )


def truncation_warnings(volume: Volume, law: TissueLaw) -> tuple[str, ...]:
    """Say at which faces of the CT the body is cut, head and feet apart: rays through there are too short."""
    cut = sorted(letters(sign * volume.grid.directions[:, axis])[:1] for axis, sign in cut_faces(volume, law))
    sides = [name for name in cut if name not in "HF"]
    if not sides:
        return ()
    return (
        f"the body is cut at the CT's faces {', '.join(sides)}: paths there are too short by an unknown amount, "
        f"so brightness, scatter and dose are those of the crop",
    )


def _splitter(
    kind: np.dtype[np.generic], law: TissueLaw, physics: Physics
) -> Callable[[NDArray[np.generic]], tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return the split of Hounsfield arrays; by table for integers, which is exact and fast."""
    if kind != np.int16:
        return lambda hu: split_hounsfield(hu, law, physics)
    water, bone = split_hounsfield(np.arange(-32768, 32768, dtype=np.float32), law, physics)

    def look_up(hu: NDArray[np.generic]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        index = hu.astype(np.int32) + 32768
        return water[index], bone[index]

    return look_up
