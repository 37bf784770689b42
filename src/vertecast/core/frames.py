"""Rigid and affine transforms that know the frames they go between, so that a mix-up is an error and not a picture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import FrameError

LPS = "lps"
"""The world: left, posterior, superior, millimetres (DICOM's patient frame)."""

_RIGID_TOLERANCE = 1e-6


def read_only(array: ArrayLike) -> NDArray[np.float64]:
    """Return a float64 copy that cannot be written to."""
    out: NDArray[np.float64] = np.array(array, dtype=np.float64)
    out.setflags(write=False)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """An affine map from one named frame to another; variables are named ``target_from_source``.

    Parameters
    ----------
    matrix : (4, 4), mm in the translation column
    target, source : names of the frames, for instance ``"vert:L1"`` and ``"lps"``
    """

    matrix: NDArray[np.float64]
    target: str
    source: str

    def __post_init__(self) -> None:
        matrix = read_only(self.matrix)
        if matrix.shape != (4, 4):
            raise FrameError(f"{self.name}: matrix has shape {matrix.shape}, needs (4, 4)")
        if not np.isfinite(matrix).all():
            raise FrameError(f"{self.name}: matrix holds values that are not finite")
        if not np.array_equal(matrix[3], [0.0, 0.0, 0.0, 1.0]):
            raise FrameError(f"{self.name}: last row is {matrix[3].tolist()}, needs [0, 0, 0, 1]")
        if abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
            raise FrameError(f"{self.name}: matrix is singular; its three axes lie in one plane")
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def from_axes(cls, axes: ArrayLike, origin: ArrayLike, *, target: str, source: str) -> "Transform":
        """Make ``target_from_source`` from the target's orthonormal right-handed axes and origin, given in the source.

        Parameters
        ----------
        axes : (3, 3)
            Row ``i`` is the target's axis ``i`` as a unit vector in the source frame.
        origin : (3,), mm
            The target's origin in the source frame.
        """
        rows = np.asarray(axes, float)
        matrix = np.eye(4)
        matrix[:3, :3] = rows
        matrix[:3, 3] = -rows @ np.asarray(origin, float)
        made = cls(matrix, target, source)
        made.require_rigid()
        return made

    @property
    def name(self) -> str:
        """The variable name STYLE asks for."""
        return f"{self.target}_from_{self.source}"

    @property
    def inverse(self) -> "Transform":
        """The map back."""
        return Transform(np.asarray(np.linalg.inv(self.matrix), np.float64), self.source, self.target)

    @property
    def axes(self) -> NDArray[np.float64]:
        """(3, 3): row ``i`` is the target's axis ``i`` in the source frame, for a rigid transform."""
        return self.matrix[:3, :3]

    @property
    def origin(self) -> NDArray[np.float64]:
        """(3,), mm: the target's origin in the source frame."""
        return self.inverse.matrix[:3, 3]

    def require_rigid(self) -> None:
        """Refuse a map that scales, shears or mirrors: a mirror is never a pose."""
        rotation = self.matrix[:3, :3]
        if not np.allclose(rotation @ rotation.T, np.eye(3), atol=_RIGID_TOLERANCE):
            raise FrameError(f"{self.name}: axes are not orthonormal")
        if np.linalg.det(rotation) < 0:
            raise FrameError(f"{self.name}: axes are left-handed; a mirror is never a pose")

    def __matmul__(self, other: "Transform") -> "Transform":
        if self.source != other.target:
            raise FrameError(
                f"cannot chain {self.name} after {other.name}: "
                f"{self.source!r} is not {other.target!r}; invert one of them"
            )
        return Transform(self.matrix @ other.matrix, self.target, other.source)

    def apply(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map points of the source frame, shape (..., 3), mm."""
        points = np.asarray(points, float)
        return np.asarray(points @ self.matrix[:3, :3].T + self.matrix[:3, 3])

    def apply_directions(self, vectors: ArrayLike) -> NDArray[np.float64]:
        """Map directions of the source frame, shape (..., 3); the origin plays no part."""
        return np.asarray(np.asarray(vectors, float) @ self.matrix[:3, :3].T)
