import math
import time

import pytest
import torch

from max_mahalanobis.centers import max_mahalanobis_centers
from max_mahalanobis.centers.maximal import construction
from max_mahalanobis.errors import UserError


def authors_double_loop(num_classes: int, dim: int) -> torch.Tensor:
    """The recursion of Pang et al. 2018, algorithm 1, coordinate by coordinate: the slow twin."""
    centers = torch.zeros(num_classes, dim, dtype=torch.float64)
    centers[0, 0] = 1
    for i in range(1, num_classes):
        for j in range(i):
            centers[i, j] = -(1 / (num_classes - 1) + centers[i] @ centers[j]) / centers[j, j]
        if i < num_classes - 1:  # the last one's is zero; theirs is the square root of a rounding error
            centers[i, i] = (1 - centers[i].square().sum()).abs().sqrt()
    return centers


@pytest.mark.parametrize(
    ("num_classes", "dim"), [(1, 1), (2, 1), (3, 2), (10, 9), (10, 256), (100, 256), (37, 64), (1000, 2048)]
)
@pytest.mark.parametrize("norm", [1.0, 10.0])
def test_gram_matrix_is_the_simplex(num_classes, dim, norm):
    centers = max_mahalanobis_centers(num_classes, dim, norm=norm)
    expected = torch.full((num_classes, num_classes), -(norm**2) / max(1, num_classes - 1), dtype=torch.float64)
    expected.fill_diagonal_(norm**2)
    torch.testing.assert_close(centers @ centers.T, expected, rtol=0, atol=1e-12)
    assert centers.dtype == torch.float64


@pytest.mark.parametrize(("num_classes", "dim"), [(2, 5), (10, 9), (10, 256), (40, 64)])
def test_equals_the_authors_double_loop(num_classes, dim):
    fast = max_mahalanobis_centers(num_classes, dim, norm=1.0)
    torch.testing.assert_close(fast, authors_double_loop(num_classes, dim), rtol=0, atol=1e-12)


def test_golden_centers_for_ten_classes():
    centers = max_mahalanobis_centers(10, 256)
    assert centers[0, 0].item() == pytest.approx(10)
    assert centers[1, :2].tolist() == pytest.approx([-1.1111111111111112, 9.938079899999065])
    assert torch.count_nonzero(centers[:, 9:]) == 0
    assert (centers[3] - centers[7]).norm().item() == pytest.approx(14.907119849998598)


def test_a_thousand_classes_take_well_under_a_second():
    max_mahalanobis_centers(10, 16)
    began = time.perf_counter()
    centers = max_mahalanobis_centers(1000, 2048)
    assert time.perf_counter() - began < 0.9
    assert centers.norm(dim=1).sub(10).abs().max() < 1e-12


def test_dtype_changes_the_result_only():
    torch.testing.assert_close(
        max_mahalanobis_centers(10, 16, dtype=torch.float32), max_mahalanobis_centers(10, 16).float()
    )


@pytest.mark.parametrize("num_classes", [3, 10])
def test_more_than_two_classes_in_dim_1_name_the_remedy(num_classes):
    with pytest.raises(UserError, match=f"^{num_classes} classes do not fit into dim 1, a line holds two: raise dim"):
        max_mahalanobis_centers(num_classes, 1)


@pytest.mark.parametrize(("num_classes", "dim"), [(4, 2), (5, 3), (6, 3), (100, 64), (128, 64), (66, 64)])
def test_up_to_twice_dim_classes_have_a_largest_cosine_of_exactly_0(num_classes, dim):
    centers = max_mahalanobis_centers(num_classes, dim, norm=3)
    gram = centers @ centers.T
    assert (gram.diagonal() == 9).all()
    assert set((gram - 9 * torch.eye(num_classes)).unique().tolist()) == {-9.0, 0.0}
    assert construction(num_classes, dim) == "cross-polytope"


@pytest.mark.parametrize("num_classes", [5, 10, 37])
def test_in_the_plane_they_are_a_regular_polygon(num_classes):
    centers = max_mahalanobis_centers(num_classes, 2)
    sides = (centers - centers.roll(1, dims=0)).norm(dim=1)
    expected = torch.full_like(sides, 20 * math.sin(math.pi / num_classes))
    torch.testing.assert_close(sides, expected, rtol=0, atol=1e-12)
    assert centers.sum(dim=0).abs().max() < 1e-12


@pytest.mark.parametrize("norm", [0, -1, float("nan"), float("inf")])
def test_a_norm_that_is_not_positive_is_refused(norm):
    with pytest.raises(UserError, match="norm must be positive"):
        max_mahalanobis_centers(10, 16, norm=norm)


def test_norm_is_keyword_only():
    with pytest.raises(TypeError):
        max_mahalanobis_centers(10, 16, 10.0)
