"""Proves: the site of a phantom's level holds its parts where they are, shell and veins are drawn as said."""

from dataclasses import replace

import numpy as np
import pytest
from tests.procedure.simple_site import HALF, simple_bed, simple_site, trunk

from vertecast.core.errors import GeometryError, ParameterError
from vertecast.core.levels import Level
from vertecast.imaging.calibration import fallback_calibration
from vertecast.procedure.bed import draw_bed
from vertecast.procedure.regions import Region, Route, disc_cells
from vertecast.procedure.shell import drawn_shell, load_shell, measure_shell, usual_shell, with_cleft_break
from vertecast.procedure.site import Site, make_site, marrow_density
from vertecast.procedure.veins import draw_veins, find_foramen, load_veins, vein_mask, visited_cells
from vertecast.spine.measure import measure_spine
from vertecast.spine.phantom.phantom import make_phantom
from vertecast.spine.phantom.spec import Scan, default_spec


@pytest.fixture(scope="module")
def site() -> Site:
    phantom = make_phantom(default_spec(Level.T12, Level.L2, scan=Scan(spacing_mm=(1.5, 1.5, 1.5))), seed=3)
    spine = measure_spine(phantom.labels, phantom.volume)
    neighbours = [v.anatomy for v in spine.vertebrae if v.anatomy is not None and v.level is not Level.L1]
    return make_site(spine[Level.L1], neighbours, phantom.volume, fallback_calibration(), voxel_mm=1.5)


def test_every_part_lies_where_it_is(site: Site) -> None:
    x, y, z = np.meshgrid(*site.lines, indexing="ij")
    middle = {region: [float(a[site.regions == region].mean()) for a in (x, y, z)] for region in Region}
    assert np.allclose(site.lines[0], -site.lines[0][::-1])  # symmetric about the mid-plane
    assert middle[Region.CANAL][1] > site.box[1, 1]  # behind the posterior wall
    assert abs(middle[Region.CANAL][0]) < 2.0
    disc = site.regions == Region.DISC
    assert (z[disc] > middle[Region.BODY][2] + 8.0).any()
    assert (z[disc] < middle[Region.BODY][2] - 8.0).any()
    foramen = np.abs(x[site.regions == Region.FORAMEN])
    assert foramen.min() > 5.0
    assert site.body_volume == pytest.approx(1.5**3 * site.body.sum())
    assert not site.calibrated
    assert any("uncalibrated" in sentence for sentence in site.warnings)
    assert not any("no vertebra" in sentence for sentence in site.warnings)  # T12 is next to L1: few have a T13


def test_the_cortex_is_no_part_of_the_marrow_s_density(site: Site) -> None:
    inner = marrow_density(site, 2.0)
    assert inner[site.body].mean() < site.density[site.body].mean()
    assert np.array_equal(inner[~site.own], site.density[~site.own])


def test_a_site_is_refused_that_cannot_be_simulated(site: Site) -> None:
    with pytest.raises(GeometryError, match="does not fit the site's grid"):
        replace(site, regions=site.regions[1:])
    phantom = make_phantom(default_spec(Level.L1, Level.L1, scan=Scan(spacing_mm=(2.0, 2.0, 2.0))), seed=3)
    vertebra = measure_spine(phantom.labels, phantom.volume)[Level.L1]
    for size in (0.1, 9.0):
        with pytest.raises(ParameterError, match=r"outside 0\.4-3\.0 mm"):
            make_site(vertebra, [], phantom.volume, fallback_calibration(), voxel_mm=size)
    alone = make_site(vertebra, [], phantom.volume, fallback_calibration(), voxel_mm=2.5)
    assert any("no vertebra above is labelled" in sentence for sentence in alone.warnings)
    with pytest.raises(GeometryError, match="could not be split"):
        make_site(replace(vertebra, geometry=None, reason="a fragment"), [], phantom.volume, fallback_calibration())


def test_discs_lie_between_endplates_and_mirror_up_and_down() -> None:
    body = np.zeros((5, 5, 20), bool)
    body[1:4, 1:4, 5:10] = True
    above = np.zeros_like(body)
    above[:, :, 14:18] = True
    assert np.argwhere(disc_cells(body, above, 8, above=True))[:, 2].tolist() == [10, 11, 12, 13] * 9
    below = disc_cells(body[:, :, ::-1], above[:, :, ::-1], 8, above=False)
    assert np.array_equal(below, disc_cells(body, above, 8, above=True)[:, :, ::-1])
    assert np.count_nonzero(disc_cells(body, None, 3, above=False)) == 9 * 3


def thinned(site: Site, *, hole: bool) -> Site:
    """Return the site with a dense skin of 1 mm, with a hole in the front of it or not."""
    fine = simple_site(1.0)
    density = np.where(fine.body, 0.1, 0.0).astype(np.float32)
    x, y, z = np.meshgrid(*fine.lines, indexing="ij")
    scaled = np.sqrt((x / HALF[0]) ** 2 + (y / HALF[1]) ** 2)
    skin = fine.body & ((scaled > 0.93) | (np.abs(z) > HALF[2] - 1.2))
    if hole:
        skin &= ~((y < -8.0) & (np.hypot(x, z) < 4.5))
    density[skin] = 0.6
    return replace(fine, density=density)


def test_a_hole_of_the_shell_is_found_and_an_even_shell_has_none(site: Site) -> None:
    values = load_shell().values
    whole, broken = (measure_shell(thinned(site, hole=hole), values, usual=0.4) for hole in (False, True))
    front = np.zeros_like(whole.broken)
    front[:, : front.shape[1] // 2] = True
    assert not whole.broken.any()
    assert broken.broken.sum() >= 12
    assert (broken.broken & ~front).sum() == 0
    coarse = measure_shell(replace(thinned(site, hole=True), source_voxel=2.0), values, usual=0.4)
    assert not coarse.broken.any()  # a coarse CT shows no hole
    assert np.nanmedian(whole.thickness) == pytest.approx(0.4, rel=0.05)


def test_draws_vary_with_their_seed_and_only_with_it() -> None:
    site = simple_site(2.0, fractured=True)
    values = replace(load_shell().values, cracks=3.0)
    shell = usual_shell(site, 0.4)
    one, again, other = (drawn_shell(shell, site, values, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.thickness, again.thickness, equal_nan=True)
    assert not np.array_equal(one.thickness, other.thickness, equal_nan=True)
    assert one.broken.any()
    assert not drawn_shell(shell, replace(site, fractured=False), values, np.random.default_rng(1)).broken.any()
    cleft = site.cleft.copy()
    cleft[site.body & (np.abs(np.indices(cleft.shape)[2] - cleft.shape[2] // 2) < 1)] = True
    assert with_cleft_break(shell, replace(site, cleft=cleft), values).broken.any()


def test_veins_start_at_the_wall_and_stay_in_the_vertebra() -> None:
    site = simple_site(1.5)
    shell = usual_shell(site, 0.4)
    values = load_veins().values
    foramen = find_foramen(site, shell, values)
    assert abs(foramen[0]) < 1.0
    assert foramen[1] > HALF[1] - 3.0
    for seed in range(5):
        veins = draw_veins(site, shell, values, np.random.default_rng(seed))
        assert veins[0].route is Route.BASIVERTEBRAL
        for vein in veins:
            cells = visited_cells(site, vein)
            assert site.own[tuple(cells.T)].all()
            place = np.array([line[i] for line, i in zip(site.lines, cells[0], strict=True)])
            assert np.linalg.norm(place - vein.course[0]) < 2.0 * site.voxel_mm
    mirrored = vein_mask(site, (trunk(1.2, x=4.0).mirrored(),))
    assert np.array_equal(mirrored, vein_mask(site, (trunk(1.2, x=4.0),))[::-1])


def test_the_bed_joins_pores_veins_and_outlets() -> None:
    site = simple_site(2.0)
    bed = draw_bed(site, 4)
    assert (bed.porosity[site.body] > 0).all()
    assert (bed.porosity[site.regions == Region.NEIGHBOUR] == 0).all()
    plain, veined = simple_bed(site, (trunk(0.3),)), simple_bed(site, (trunk(2.0),))
    cells = tuple(visited_cells(site, trunk(0.3)).T)
    assert (veined.permeability[cells] > plain.permeability[cells]).all()
    assert {drain.route for drain in bed.drains} >= {Route.BASIVERTEBRAL, Route.CORTICAL, Route.DISC, Route.CANAL}
