"""What the run says of one treated level: its grid before and after the procedure, on which every arm is built."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError, InputError
from vertecast.core.frames import Transform
from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid
from vertecast.imaging.resample import resampled_mask, sampled
from vertecast.procedure.fractured import Lost
from vertecast.procedure.regions import Region
from vertecast.procedure.site import Site

Field = NDArray[np.float64]
Mask = NDArray[np.bool_]
_ROOM = 14.0  # mm kept above and below the body: caps, and the height that was lost
_LEAST = 100  # cells of a body that can be tested


@dataclass(frozen=True, eq=False, kw_only=True)
class Treated:
    """One level on one isotropic grid along its own axes.

    Parameters
    ----------
    body, body_after : (nx, ny, nz), the vertebral body before the procedure, and after it
    density, density_after : mg/mm³ K2HPO4-equivalent, of the CT; carried along and compacted where a tool was used
    cement : volume of cement per volume of cell
    pores : volume that cement can take per volume of cell
    cavity : share of the cell that a tool has emptied
    came_from, went_to : (3, nx, ny, nz), cells: where a cell's bone was before, and where it is after; None unmoved
    lost : mm of height lost in front, middle and behind; None where not known
    fractured : None where not known
    """

    level: Level
    grid: Grid
    body: Mask
    body_after: Mask
    density: Field
    density_after: Field
    cement: Field
    pores: Field
    cavity: Field
    came_from: Field | None
    went_to: Field | None
    lost: Lost | None
    fractured: bool | None
    calibrated: bool

    def __post_init__(self) -> None:
        for array in (self.body, self.body_after, self.density, self.density_after, self.cement, self.pores):
            if array.shape != self.grid.shape:
                raise GeometryError(f"{self.level}: a field of {array.shape} is not on the grid {self.grid.shape}")
        if np.count_nonzero(self.body) < _LEAST:
            raise GeometryError(
                f"{self.level}: {np.count_nonzero(self.body)} voxels of {self.voxel_mm:g} mm lie in the body, "
                f"{_LEAST} are needed; use a smaller voxel"
            )

    @property
    def voxel_mm(self) -> float:
        """Edge of the cells, mm; the file's single precision is rounded away."""
        return round(float(self.grid.spacing[0]), 6)

    @property
    def saturation(self) -> Field:
        """Share of the pores that cement fills, 0-1."""
        share = np.divide(self.cement, self.pores, out=np.zeros_like(self.cement), where=self.pores > 0)
        return np.asarray(np.clip(share, 0.0, 1.0))

    def carried(self, field: Field) -> Field:
        """Return a field of the state before, where its bone is after the procedure."""
        if self.came_from is None:
            return field
        index = np.clip(np.rint(self.came_from), 0, np.reshape(field.shape, (3, 1, 1, 1)) - 1).astype(int)
        return np.asarray(field[index[0], index[1], index[2]])

    def moved_on(self, index: Field) -> NDArray[np.int64]:
        """Return the cells (n, 3) in which the bone of places (n, 3), cells, is after the procedure."""
        whole = np.clip(np.rint(index), 0, np.array(self.grid.shape) - 1).astype(int)
        if self.went_to is None:
            return np.asarray(whole)
        return np.asarray(np.rint(self.went_to[:, whole[:, 0], whole[:, 1], whole[:, 2]].T).astype(int))

    def site(self, body: Mask) -> Site:
        """Return the level as a site with nothing but a body: what the density map and the crushed band need."""
        regions = np.where(body, Region.BODY, Region.SOFT).astype(np.uint8)
        middle = self.grid.to_lps(np.argwhere(body).mean(axis=0))
        axes = np.asarray(self.grid.directions).T
        frame = Transform.from_axes(axes, middle, target=f"vert:{self.level}", source="lps")
        return Site(
            self.level,
            self.grid,
            frame,
            regions,
            self.density.astype(np.float32),
            np.zeros(self.grid.shape, bool),
            120.0,
            self.voxel_mm,
        )

    def at_voxel(self, voxel_mm: float) -> "Treated":
        """Return the level on cells of another size; itself where they are the same."""
        if abs(voxel_mm - self.voxel_mm) < 1e-6:
            return self
        scale = voxel_mm / self.voxel_mm
        shape = tuple(int(np.ceil(n / scale)) for n in self.grid.shape)
        step = np.eye(4)
        step[:3, :3] *= scale
        step[:3, 3] = 0.5 * (scale - 1.0)
        grid = Grid.from_affine(shape, self.grid.lps_from_voxel.matrix @ step)

        def there(field: Field) -> Field:
            return _means(field, step, (shape[0], shape[1], shape[2]))

        def index(field: Field | None) -> Field | None:
            if field is None:
                return None
            return np.asarray((np.stack([there(one) for one in field]) - 0.5 * (scale - 1.0)) / scale)

        pores = there(self.pores)
        return replace(
            self,
            grid=grid,
            body=largest_piece(resampled_mask(self.body, self.grid, grid)),
            body_after=largest_piece(resampled_mask(self.body_after, self.grid, grid)),
            density=there(self.density),
            density_after=there(self.density_after),
            cement=np.minimum(there(self.cement), pores),
            pores=pores,
            cavity=there(self.cavity),
            came_from=index(self.came_from),
            went_to=index(self.went_to),
        )


def make_treated(
    level: Level,
    fields: dict[str, NDArray[np.float32]],
    grid: Grid,
    known: tuple[Lost | None, bool | None, bool],
) -> Treated:
    """Read the fields of a run, by their file stems, with room added above and below.

    Parameters
    ----------
    known : height lost in front, middle and behind; whether the level is fractured; whether density is calibrated

    Raises
    ------
    InputError
        If a field that every simulation writes is missing.
    """
    needed = ("regions", "density_k2hpo4_mg_cm3", "cement_fraction", "pore_fraction")
    missing = [name for name in needed if name not in fields]
    if missing:
        raise InputError(f"{level}: the run has no field {', '.join(missing)}; run `vertecast simulate` again")
    room = round(_ROOM / float(grid.spacing[2]))
    matrix = grid.lps_from_voxel.matrix.copy()
    matrix[:3, 3] = grid.to_lps([0.0, 0.0, -float(room)])
    wide = Grid.from_affine((*grid.shape[:2], grid.shape[2] + 2 * room), matrix)

    def padded(field: NDArray[np.generic], value: float = 0.0) -> Field:
        pads = [(0, 0), (0, 0), (room, room)]
        return np.asarray(np.pad(np.asarray(field, float), pads, constant_values=value))

    after = largest_piece(padded(fields["regions"]) == Region.BODY)
    density_after = padded(fields["density_k2hpo4_mg_cm3"]) / 1000.0
    moved = [fields.get(f"displacement_{axis}_deflated_mm") for axis in "xyz"]
    body, density, came, went = after, density_after, None, None
    cavity = padded(fields.get("cavity_deflated", np.zeros(grid.shape)))
    if all(one is not None for one in moved):
        motion = np.stack([padded(np.asarray(one)) for one in moved]) / float(grid.spacing[0])
        ratio = padded(fields.get("compaction", np.ones(grid.shape)), 1.0)
        body, density, came, went = _unmoved(after, density_after, motion, ratio)
    cement = padded(fields["cement_fraction"])
    pores = np.maximum(padded(fields["pore_fraction"]), cement)
    lost, fractured, calibrated = known
    return Treated(
        level=level,
        grid=wide,
        body=body,
        body_after=after,
        density=density,
        density_after=density_after,
        cement=cement,
        pores=pores,
        cavity=cavity,
        came_from=came,
        went_to=went,
        lost=lost,
        fractured=fractured,
        calibrated=calibrated,
    )


def _means(field: Field, source_from_target: Field, shape: tuple[int, int, int]) -> Field:
    """Return the means of a field over the cells of another grid, by points spread evenly in each."""
    count = max(1, int(np.ceil(source_from_target[0, 0] - 1e-6)))
    offsets = (np.arange(count) + 0.5) / count - 0.5
    total = np.zeros(shape)
    for offset in np.stack(np.meshgrid(offsets, offsets, offsets, indexing="ij"), -1).reshape(-1, 3):
        moved = source_from_target.copy()
        moved[:3, 3] += source_from_target[:3, :3] @ offset
        total += sampled(field, moved, shape, fill=0.0)
    return np.asarray(total / count**3)


def largest_piece(mask: Mask) -> Mask:
    """Return the largest face-connected piece: a loose voxel cannot be loaded."""
    pieces, count = ndimage.label(mask)
    if count <= 1:
        return mask
    return np.asarray(pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:])))


def _unmoved(after: Mask, density_after: Field, motion: Field, compaction: Field) -> tuple[Mask, Field, Field, Field]:
    """Return body and density before a tool moved them, where each cell was then, and where each goes, in cells."""
    here = np.indices(after.shape).astype(float)
    there = here + motion
    now = ndimage.map_coordinates(after.astype(float), there, order=1, mode="nearest")
    body = largest_piece(ndimage.binary_closing(now > 0.5, iterations=2))
    ratio = np.maximum(compaction, 1e-3)
    density = ndimage.map_coordinates(density_after / ratio, there, order=1, mode="nearest")
    came = here.copy()
    for _ in range(6):
        came = here - np.stack([ndimage.map_coordinates(one, came, order=1, mode="nearest") for one in motion])
    return np.asarray(body), np.asarray(density), came, there
