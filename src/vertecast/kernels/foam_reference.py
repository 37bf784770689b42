"""The foam's return mapping in plain NumPy, by bisection: slow, obvious, and the judge of the compiled one."""

import numpy as np
from numpy.typing import NDArray

from vertecast.kernels.foam_law import FoamLaw

Array = NDArray[np.float64]


def ellipse_size(stress: Array, alpha: float) -> Array:
    """Equivalent stress of the ellipse, MPa, of Voigt stresses (..., 6)."""
    mean = stress[..., :3].mean(axis=-1)
    deviator = stress[..., :3] - mean[..., None]
    mises2 = 1.5 * (deviator**2).sum(-1) + 3.0 * (stress[..., 3:] ** 2).sum(-1)
    return np.asarray(np.sqrt((mises2 + alpha**2 * mean**2) / (1.0 + alpha**2 / 9.0)))


def integrity(kappa: Array, law: FoamLaw) -> tuple[Array, Array]:
    """Return what is left of strength and of stiffness at ``kappa``, each 0-1."""
    past = np.maximum(kappa - law.onset, 0.0)
    left = 1.0 - law.strength_loss * (1.0 - np.exp(-past / law.strength_scale))
    whole = 1.0 - law.stiffness_loss * (1.0 - np.exp(-past / law.stiffness_scale))
    return left, whole


def elastic_matrix(lame: float, mu: float) -> Array:
    """(6, 6), MPa: isotropic stiffness, Voigt with engineering shear."""
    matrix = np.diag([2 * mu] * 3 + [mu] * 3)
    matrix[:3, :3] += lame
    return matrix


def returned(
    strain: Array, plastic: Array, kappa: float, constants: tuple[float, float, float], law: FoamLaw
) -> tuple[Array, Array, float]:
    """Return stress (6,), plastic strain (6,) and ``kappa`` of one point at ``strain``.

    Parameters
    ----------
    constants : lame, mu and yield stress, MPa
    """
    lame, mu, strength = constants
    stiffness = elastic_matrix(lame, mu)
    bulk = lame + 2.0 * mu / 3.0
    trial = stiffness @ (strain - plastic)
    c = 1.0 + law.alpha**2 / 9.0

    def at(g: float) -> tuple[Array, float, float]:
        mean = trial[:3].mean() / (1.0 + bulk * law.alpha**2 * g)
        stress = (trial - np.r_[[trial[:3].mean()] * 3, 0, 0, 0]) / (1.0 + 3.0 * mu * g)
        stress[:3] += mean
        size = float(ellipse_size(stress, law.alpha))
        now = kappa + c * g * size
        left, whole = integrity(np.asarray(now), law)
        return stress, size - float(strength * (1 + law.hardening * now) * left / whole), now

    if at(0.0)[1] <= 0.0:
        return trial * float(integrity(np.asarray(kappa), law)[1]), plastic, kappa
    low, high = 0.0, 1.0 / mu
    while at(high)[1] > 0.0:
        high *= 2.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if at(middle)[1] > 0.0 else (low, middle)
    stress, _, now = at(high)
    flow = strain - plastic - np.linalg.solve(stiffness, stress)
    return stress * float(integrity(np.asarray(now), law)[1]), plastic + flow, now
