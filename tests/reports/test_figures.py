import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from made import make_curve, make_pictures, make_run, make_surfaces

from max_mahalanobis.reports.conditions import attack_text
from max_mahalanobis.reports.figures import (
    as_document,
    budget_drawings,
    centers_drawing,
    examples_drawing,
    features_drawing,
    surfaces_drawing,
    training_drawing,
)
from max_mahalanobis.reports.figures.canvas import visible
from max_mahalanobis.reports.figures.centers import VIEW
from max_mahalanobis.reports.figures.density import plane_drawing
from max_mahalanobis.reports.figures.examples import amplified
from max_mahalanobis.reports.figures.features import principal_plane


def drawings(run):
    return [
        *budget_drawings([run]),
        features_drawing(run, "f"),
        examples_drawing(run, "e"),
        training_drawing([run]),
    ]


def test_every_drawing_is_wellformed_described_and_undated(mmc):
    for drawing in drawings(mmc):
        assert ET.fromstring(drawing.svg).tag.endswith("svg")
        assert "mmc" in drawing.alt
        assert "<metadata" not in drawing.svg
        assert "currentColor" in drawing.svg


@pytest.mark.parametrize("name", ["$a$", "_hidden", "<script>&", "$\\frac{", "名"])
def test_a_run_may_be_called_anything(name):
    run = make_run(name)
    (drawing,) = budget_drawings([run])
    assert name in "".join(ET.fromstring(drawing.svg).itertext())


def test_nothing_to_draw_is_no_drawing(mmc):
    bare = replace(mmc, pictures=None, metrics=[{"event": "start"}], results=mmc.results[:5])
    assert budget_drawings([bare]) == []
    assert [features_drawing(bare, "f"), examples_drawing(bare, "e"), training_drawing([bare])] == [None] * 3
    emptied = {key: array[:0] for key, array in mmc.pictures.items() if array.ndim}
    assert examples_drawing(replace(mmc, pictures=emptied), "e") is None


def test_budget_curves_start_at_clean_accuracy_and_split_by_threat(mmc):
    (drawing,) = budget_drawings([mmc])
    assert "95 % clean; at budget 16, 84 % under cross-entropy PGD and 5 % in the worst" in drawing.alt
    other = [replace(row, threat="L2") for row in make_curve("mmc", (9, 8), (7, 6))]
    assert len(budget_drawings([replace(mmc, results=mmc.results + other)])) == 2


def test_the_plane_holds_all_variance_of_planar_features():
    planar = np.random.default_rng(0).standard_normal((50, 2)) @ np.eye(2, 7)
    project, share = principal_plane(planar, planar[:3])
    assert share == pytest.approx(1)
    distances = np.linalg.norm(project(planar)[0] - project(planar)[1])
    assert distances == pytest.approx(np.linalg.norm(planar[0] - planar[1]))


def test_the_plane_survives_one_feature_and_equal_points():
    for points in (np.arange(5.0)[:, None], np.ones((5, 3))):
        project, _ = principal_plane(points, points[:1])
        assert project(points).shape == (5, 2)
        assert np.isfinite(project(points)).all()


def test_features_that_are_not_finite_do_not_stop_the_drawing(mmc):
    pictures = make_pictures()
    pictures["features"][3] = np.nan
    pictures["features_adv"][4] = np.inf
    assert features_drawing(replace(mmc, pictures=pictures), "f") is not None


def test_differences_are_amplified_by_a_whole_factor_that_fits():
    shown, factor = amplified(np.array([0.0, 8 / 255, -8 / 255]))
    assert factor == 15
    assert shown == pytest.approx([0.5, 0.5 + 15 * 8 / 255, 0.5 - 15 * 8 / 255])
    assert amplified(np.zeros(3))[1] == 1


def test_color_images_are_drawn_too(mmc):
    pictures = make_pictures()
    pictures |= {key: np.repeat(pictures[key], 3, axis=1) for key in ("images", "images_adv")}
    drawing = examples_drawing(replace(mmc, pictures=pictures), "e")
    assert "says" in drawing.svg
    assert "the verdict changed on 2" in drawing.alt


def surfaces(**changes):
    return surfaces_drawing(make_run(pictures=make_pictures() | make_surfaces() | changes), "s")


def test_the_loss_around_images_is_told_in_numbers_and_drawn_in_two_maps_each():
    drawing = surfaces()
    assert ET.fromstring(drawing.svg).tag.endswith("svg")
    assert drawing.svg.count("<image ") == 2 * 2 + 4  # maps and their color bars
    for words in (drawing.alt, drawing.caption):
        assert words.count("exactly 0 on 68 % of the plane") == 2  # 17 of 25 columns
        assert "at most 1; the margin goes from -90 to 30" in words
    assert "the way of pgd-20 margin, Linf(8/255) and a random direction" in drawing.caption
    assert len(drawing.svg) < 100_000


def test_a_loss_that_is_nowhere_zero_or_everywhere_or_no_number_is_drawn_and_told():
    somewhere = make_surfaces()["surface_cross_entropy"]
    sloped = surfaces(surface_cross_entropy=somewhere + 0.25).alt
    assert "is nowhere exactly 0, at least 0.25 and at most 1.25" in sloped
    flat = surfaces(surface_cross_entropy=0 * somewhere, surface_margin=0 * somewhere - 30).alt
    assert "exactly 0 on 100 % of the plane (100 % within the budget) and at most 0; the margin goes from -30" in flat
    holes = np.where(somewhere > 0, np.nan, somewhere)
    assert "at most 0" in surfaces(surface_cross_entropy=holes, surface_margin=np.full_like(holes, np.inf)).alt


def test_equal_maps_share_no_id(mmc):
    nothing = np.zeros((2, 25, 25), np.float32)
    ids = re.findall(r'id="([^"]*)"', surfaces(surface_cross_entropy=nothing, surface_margin=nothing).svg)
    assert len(ids) == len(set(ids))


def test_pictures_of_before_there_were_surfaces_draw_none(mmc):
    assert surfaces_drawing(mmc, "s") is None
    assert surfaces_drawing(replace(mmc, pictures=None), "s") is None


@pytest.mark.parametrize(("shape", "said"), [((2, 1), -1), ((1, 4), None), ((4, 2), 0), ((6, 3), 0), ((40, 30), 0)])
def test_centers_are_drawn_in_any_dimension_and_described(shape, said):
    corners = np.concatenate([np.eye(shape[1]), -np.eye(shape[1])])
    document = as_document(centers_drawing(7 * corners[: shape[0]]))
    words = "".join(ET.fromstring(document).itertext())
    assert f"{shape[0]} class centers in {shape[1]} dimensions" in words
    assert said is None or f"largest cosine of two {said}." in words
    assert "currentColor" not in document


def test_the_view_of_a_sphere_is_a_rotation():
    np.testing.assert_allclose(VIEW @ VIEW.T, np.eye(3), atol=1e-12)


def test_a_budget_is_spoken_of_as_people_write_it_and_a_long_name_leaves_room():
    assert attack_text("pgd-20 margin, Linf(eps=0.03137254901960784)") == "pgd-20 margin, Linf eps 8/255"
    assert attack_text("pgd-20, L2(eps=0.5)") == "pgd-20, L2 eps 0.5"
    assert attack_text("fab, L1") == "fab, L1"
    name = f"start{'x' * 100}end"
    assert len(visible(name)) < 43
    assert (visible(name)[:5], visible(name)[-3:], visible("_a")[-2:]) == ("start", "end", "_a")


@pytest.mark.parametrize("classes", [10, 11])
def test_a_plane_of_more_classes_than_colors_says_so(classes):
    points = [(float(label), 0.0) for label in range(classes)]
    plane = {"points": points, "labels": list(range(classes)), "centers": points, "variance": 0.5}
    drawing = plane_drawing({"name": "m", "plane": plane, "centers_are": "preset"}, "plane")
    assert ("10 colors, which classes share" in drawing.caption) == (classes > 10)
