"""The bed the cement flows into: pores of bone, cleft and veins, the shell as a skin, and every way out."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError, ParameterError
from vertecast.core.parameters import ParameterUse
from vertecast.kernels.flow import Outlet, PoreSpace, pore_space
from vertecast.physics.bone_density import DensityKind, convert_density, load_conversions
from vertecast.physics.pores import (
    OutsideMedium,
    PoreLaw,
    accessible_porosity,
    cavity_permeability,
    directional,
    load_marrow,
    load_outside,
    load_pores,
    permeability,
    porosity,
    shell_resistance,
)
from vertecast.procedure.regions import ROUTE_OF, Mask, Region, Route
from vertecast.procedure.shell import Shell, drawn_shell, load_shell, measure_shell, with_cleft_break
from vertecast.procedure.site import Site, load_site, marrow_density
from vertecast.procedure.veins import Vein, draw_veins, load_veins, visited_cells

Field = NDArray[np.float64]
OUTSIDE = (Region.SOFT, Region.DISC, Region.CANAL, Region.FORAMEN)


@dataclass(frozen=True, eq=False)
class Drain:
    """One way out of the bed.

    Parameters
    ----------
    route : the route of cement that leaves here
    vein : the vein, or None for the edge of a compartment outside the body
    outlet : for the solver, as if the vein were full of what its cell holds
    """

    route: Route
    vein: Vein | None
    outlet: Outlet


@dataclass(frozen=True, eq=False)
class Bed:
    """One draw of a site, ready for the flow.

    Parameters
    ----------
    site, veins, shell : what it was made of
    space : pores and faces of the flow
    porosity : (nx, ny, nz), share of each cell that cement can take; 0 in closed cells
    permeability : (nx, ny, nz), mm², geometric mean of the three directions; 0 in closed cells
    drains : every way out
    sealed : routes that were closed on purpose
    marrow_viscosity : MPa·s
    """

    site: Site
    veins: tuple[Vein, ...]
    shell: Shell
    space: PoreSpace
    porosity: Field
    permeability: Field
    drains: tuple[Drain, ...]
    sealed: frozenset[Route]
    marrow_viscosity: float
    uses: tuple[ParameterUse, ...]

    @property
    def body_pores(self) -> float:
        """Volume, mm³, that cement can take in the body."""
        return float(self.space.volume[self.site.body].sum())


def draw_bed(site: Site, seed: int | None, *, sealed: Collection[Route] = ()) -> Bed:
    """Draw veins and shell of a site and make its bed.

    Parameters
    ----------
    seed : of the draw; None for the measured shell without variation and the veins of seed 0
    sealed : routes to close on purpose

    Raises
    ------
    GeometryError
        If no way out is left for the marrow.
    """
    pores, shell_data, vein_data = load_pores(), load_shell(), load_veins()
    rng = np.random.default_rng(0 if seed is None else seed)
    shell = measure_shell(site, shell_data.values, usual=pores.values.shell_thickness)
    veins = draw_veins(site, shell, vein_data.values, rng)
    if seed is not None:
        shell = drawn_shell(shell, site, shell_data.values, rng)
    shell = with_cleft_break(shell, site, shell_data.values)
    return make_bed(site, shell, veins, sealed=sealed)


def make_bed(site: Site, shell: Shell, veins: tuple[Vein, ...], *, sealed: Collection[Route] = ()) -> Bed:
    """Make the bed of a site from its shell and veins."""
    law, outside, marrow, vein_data, site_data = (
        load_pores(),
        load_outside(),
        load_marrow(),
        load_veins(),
        load_site(),
    )
    closed = frozenset(sealed)
    phi, k = _bone(site, shell, law.values, site_data.values.shell_blur)
    if not (phi[:, site.body] > 0).all():
        raise ParameterError(f"{site.level}: a cell of the body has no pores; check the calibration of its density")
    media = {Region.SOFT: outside.soft, Region.DISC: outside.disc, Region.CANAL: outside.canal}
    domain = _fill_outside(site, phi, k, {**media, Region.FORAMEN: outside.soft})
    _fill_veins(site, phi, k, veins, cavity_permeability(law.values))
    spacing = (site.voxel_mm,) * 3
    space = pore_space(phi[0], k, spacing, skin=_skin(site, shell, law.values, closed))
    drains = (
        *_vein_drains(site, space, tuple(v for v in veins if v.route not in closed), vein_data.values.pressure),
        *_edge_drains(site, space, domain, vein_data.values.pressure, closed),
    )
    if not drains:
        names = ", ".join(str(route) for route in sorted(closed, key=lambda route: route.value))
        raise GeometryError(
            f"{site.level}: no outlet is left for the marrow ({names or 'none drawn'} sealed), so nothing can be "
            "injected; leave at least one route open"
        )
    return Bed(
        site,
        veins,
        shell,
        space,
        phi[0],
        np.where(phi[0] > 0, np.cbrt(np.prod(k, axis=0)), 0.0),
        drains,
        closed,
        marrow.values.viscosity,
        (*law.uses, *outside.uses, *marrow.uses, *load_shell().uses, *vein_data.uses, *site_data.uses, *site.uses),
    )


def _bone(site: Site, shell: Shell, law: PoreLaw, blur: float) -> tuple[Field, Field]:
    """Return ((1, nx, ny, nz) accessible porosity, (3, nx, ny, nz) permeability, mm²) of the bone; zero elsewhere."""
    density = marrow_density(site, blur)
    conversions = load_conversions().values
    ash = convert_density(density[site.own], DensityKind.K2HPO4, DensityKind.ASH, conversions, kvp=site.tube_voltage)
    share = porosity(ash, DensityKind.ASH, law)
    phi = np.zeros((1, *site.grid.shape))
    k = np.zeros((3, *site.grid.shape))
    phi[0, site.own] = accessible_porosity(share, law)
    k[:, site.own] = directional(permeability(share, law), law)
    gap = site.cleft if shell.gap is None else site.cleft | shell.gap
    phi[0, gap] = 1.0
    k[:, gap] = cavity_permeability(law)
    return phi, k


def _fill_outside(site: Site, phi: Field, k: Field, media: Mapping[Region, OutsideMedium]) -> Mask:
    """Write the tissues around the body into the fields; return the cells that the flow may reach."""
    reach = ndimage.distance_transform_edt(~site.body, sampling=site.voxel_mm)
    domain = np.asarray((reach <= load_site().values.margin - 2.0 * site.voxel_mm) & (site.regions != Region.NEIGHBOUR))
    for region, medium in media.items():
        cells = domain & (site.regions == region)
        phi[0, cells] = medium.porosity
        k[:, cells] = medium.permeability
    phi[0, ~domain] = 0.0
    k[:, ~domain] = 0.0
    return domain


def _fill_veins(site: Site, phi: Field, k: Field, veins: tuple[Vein, ...], cap: float) -> None:
    """Add the lumina to the cells that they pass: Poiseuille's mean permeability, in parallel with the bone."""
    h = site.voxel_mm
    for vein in veins:
        cells = tuple(visited_cells(site, vein).T)
        share = min(1.0, vein.lumen_area / h**2)
        phi[0][cells] = phi[0][cells] + (1.0 - phi[0][cells]) * share
        added = (np.pi * vein.radius**4 / 8.0) / max(vein.lumen_area, h**2)
        k[(slice(None), *cells)] = np.minimum(k[(slice(None), *cells)] + added, cap)


def _skin(site: Site, shell: Shell, law: PoreLaw, closed: frozenset[Route]) -> Field:
    """(3, nx, ny, nz), 1/mm: the shell between the vertebra and the rest; compartments outside do not communicate."""
    skin = np.zeros((3, *site.grid.shape))
    thickness = np.where(np.isfinite(shell.thickness), np.where(shell.broken, 0.0, shell.thickness), 0.0)
    resistance = shell_resistance(thickness, law)
    shut = [region for region in OUTSIDE if ROUTE_OF[region] in closed]
    for axis in range(3):
        low = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        own = site.own[low], site.own[high]
        other = np.where(own[0], site.regions[high], site.regions[low])
        crossing = own[0] != own[1]
        face = np.where(crossing, np.where(own[0], resistance[low], resistance[high]), 0.0)
        apart = ~own[0] & ~own[1] & (site.regions[low] != site.regions[high])
        face[apart | (crossing & np.isin(other, shut))] = np.inf
        skin[axis][low] = face
    return skin


def _vein_drains(site: Site, space: PoreSpace, veins: tuple[Vein, ...], pressure: float) -> list[Drain]:
    """Return an outlet for each vein that leaves the body: its lumen to where a wide vessel takes over."""
    found = []
    for vein in veins:
        cells = visited_cells(site, vein)
        if not len(cells) or vein.outside_length <= 0.0:
            continue
        cell = np.ravel_multi_index(tuple(cells[0]), site.grid.shape)
        conductance = np.pi * vein.radius**4 / (8.0 * vein.outside_length)
        if space.volume.ravel()[cell] > 0:
            outlet = Outlet(vein.name, np.array([cell]), np.array([conductance]), pressure)
            found.append(Drain(vein.route, vein, outlet))
    return found


def _edge_drains(site: Site, space: PoreSpace, domain: Mask, pressure: float, closed: frozenset[Route]) -> list[Drain]:
    """Return the outer edge of each compartment as an outlet: displaced fluid and cement may go on there."""
    found = []
    padded = np.pad(domain, 1)
    for region in OUTSIDE:
        mine = domain & (site.regions == region) & space.open_cells
        if ROUTE_OF[region] in closed or not mine.any():
            continue
        conductance = np.zeros(site.grid.shape)
        for axis in range(3):
            for step in (-1, 1):
                beyond = np.roll(padded, -step, axis=axis)[1:-1, 1:-1, 1:-1]
                # A neighbour's bone bounds the domain too, but nothing leaves through it.
                bone = np.roll(np.pad(site.regions, 1), -step, axis=axis)[1:-1, 1:-1, 1:-1] == Region.NEIGHBOUR
                conductance[mine & ~beyond & ~bone] += 1.0 / space.half[axis][mine & ~beyond & ~bone]
        cells = np.flatnonzero(conductance)
        if cells.size:
            outlet = Outlet(f"edge {region.name.lower()}", cells, conductance.ravel()[cells], pressure)
            found.append(Drain(ROUTE_OF[region], None, outlet))
    return found
