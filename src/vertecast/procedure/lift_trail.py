"""What is kept of a lift on its way: when each voxel was first inside a cavity, and how the bone lay meanwhile."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.core.quantities import quantity
from vertecast.kernels.cavity import CavityState
from vertecast.kernels.cavity_shape import cavity_share

Field = NDArray[np.float64]
KEYFRAMES = 8
"""Most moments whose displacement is kept as a field."""


@dataclass(frozen=True, eq=False)
class Frame:
    """How the material lies at one moment.

    Parameters
    ----------
    moment : its name; ``inflating`` on the way
    displacement : (3, *nodes), mm since the CT along the grid's axes
    platens : (platens, 3), mm and tilts of the vertebra above
    """

    moment: str
    displacement: NDArray[np.float32]
    platens: Field
    seconds: float = quantity("s", "since the inflation began")

    @classmethod
    def of(cls, state: CavityState, moment: str, seconds: float) -> "Frame":
        """Return the frame of a state."""
        return cls(moment, state.displacement.astype(np.float32), state.platens, seconds)


@dataclass(frozen=True, eq=False)
class Trail:
    """The way of a lift.

    Parameters
    ----------
    arrival : (nx, ny, nz) of the level's part, s since the inflation began; infinite where no cavity ever was
    frames : in the order of time
    """

    arrival: Field
    frames: tuple[Frame, ...]

    @classmethod
    def begun(cls, state: CavityState, spacing: tuple[float, float, float]) -> "Trail":
        """Return the trail that begins with the first cavities, when the patient lies prone."""
        nodes = state.cavities[0].shape
        nothing = cls(np.full(tuple(n - 1 for n in nodes), np.inf), ())
        return nothing.followed(state, spacing, 0.0, "prone")

    def followed(
        self, state: CavityState, spacing: tuple[float, float, float], seconds: float, moment: str = "inflating"
    ) -> "Trail":
        """Return the trail with one more state."""
        inside = np.sum([cell_share(cavity, spacing) for cavity in state.cavities], axis=0) > 0.5
        arrival = np.where(inside & (self.arrival > seconds), seconds, self.arrival)
        return Trail(arrival, (*self.frames, Frame.of(state, moment, seconds)))

    def keyframes(self) -> tuple[Frame, ...]:
        """Return at most eight frames: every named moment, and those on the way that lie evenly between in time."""
        named = [frame for frame in self.frames if frame.moment != "inflating"]
        taken = {frame.seconds for frame in named}
        others = [frame for frame in self.frames if frame.moment == "inflating" and frame.seconds not in taken]
        room = KEYFRAMES - len(named)
        if others and room > 0:
            times = np.array([frame.seconds for frame in others])
            wanted = np.linspace(times[0], times[-1], room + 2)[1:-1]
            picked = sorted({int(np.abs(times - at).argmin()) for at in wanted})
            named += [others[k] for k in picked]
        return tuple(sorted(named, key=lambda frame: frame.seconds))


def cell_share(cavity: Field, spacing: tuple[float, float, float]) -> Field:
    """Return the share (nx, ny, nz) of each cell that a cavity takes."""
    octants = cavity_share(cavity, spacing)
    x, y, z = (n // 2 for n in octants.shape)
    return np.asarray(octants.reshape(x, 2, y, 2, z, 2).mean(axis=(1, 3, 5)))
