import math
from itertools import pairwise

import pytest
import torch

from max_mahalanobis.centers import max_mahalanobis_centers, random_centers
from max_mahalanobis.centers.bounds import angle_bound, geometry
from max_mahalanobis.centers.description import describe


@pytest.mark.parametrize(("num_classes", "dim"), [(2, 1), (4, 3), (10, 9), (10, 200), (5, 3), (18, 9), (5, 2), (11, 2)])
def test_closed_forms_reach_their_bound(num_classes, dim):
    found = geometry(max_mahalanobis_centers(num_classes, dim))
    assert found.angle == pytest.approx(angle_bound(num_classes, dim).angle, abs=1e-7)


@pytest.mark.parametrize(
    ("num_classes", "dim", "cosine"),
    [(12, 3, 1 / math.sqrt(5)), (24, 4, 0.5), (240, 8, 0.5), (27, 6, 0.25), (56, 7, 1 / 3), (16, 5, 0.2)],
)
def test_no_bound_denies_a_code_that_exists(num_classes, dim, cosine):
    assert angle_bound(num_classes, dim).angle >= math.acos(cosine) - 1e-12


def test_fejes_toth_is_sharp_for_the_icosahedron_and_levenshtein_for_16_in_5():
    assert angle_bound(12, 3).angle == pytest.approx(math.acos(1 / math.sqrt(5)), abs=1e-12)
    assert angle_bound(16, 5) == (pytest.approx(math.acos(1 / 5), abs=1e-9), "Levenshtein 1979")


def test_more_classes_never_have_a_larger_bound():
    for dim in (2, 3, 4, 16):
        bounds = [angle_bound(count, dim).angle for count in range(2, 60)]
        assert all(later <= earlier + 1e-12 for earlier, later in pairwise(bounds))


def test_geometry_is_that_of_the_double_loop_and_distances_are_of_centers_of_any_length():
    centers = random_centers(12, 5) * torch.linspace(1, 3, 12, dtype=torch.float64)[:, None]
    pairs = [(centers[i], centers[j]) for i in range(12) for j in range(i)]
    found = geometry(centers)
    assert found.distance == pytest.approx(min((a - b).norm().item() for a, b in pairs))
    assert found.cosine == pytest.approx(max((a @ b / a.norm() / b.norm()).item() for a, b in pairs))
    assert found.angle == pytest.approx(math.acos(found.cosine))


def test_the_description_says_what_they_are_and_how_far_from_the_bound():
    assert describe("maximal", max_mahalanobis_centers(10, 9))[0] == (
        "10 centers in 9 dimensions, norm 10: a regular simplex, the optimum"
    )
    assert len(describe("maximal", max_mahalanobis_centers(1, 1))) == 1
    random = describe("random", random_centers(10, 9, norm=1))
    assert random[0] == "10 centers in 9 dimensions, norm 1: random"
    assert random[2].startswith("no centers have more than 96.3794 degrees (simplex): these reach ")
