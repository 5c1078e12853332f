import pytest
import torch

from max_mahalanobis.centers import max_mahalanobis_centers
from max_mahalanobis.density import angles_to_own, class_means, mean_center_distance, own_and_other_distances
from max_mahalanobis.errors import UserError

CENTERS = torch.tensor([[3.0, 0.0], [0.0, 4.0], [-3.0, 0.0]])
FEATURES = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
LABELS = torch.tensor([0, 1])


def test_distances_by_hand():
    own, other = own_and_other_distances(FEATURES, CENTERS, LABELS)
    assert own.tolist() == [4, 3]
    assert other.tolist() == pytest.approx([3, 10**0.5])


def test_distances_stay_exact_far_from_the_origin():
    far = torch.tensor([1e6, 1e6], dtype=torch.float64)
    own, _ = own_and_other_distances(FEATURES.double() + far, CENTERS.double() + far, LABELS)
    torch.testing.assert_close(own, torch.tensor([4.0, 3.0], dtype=torch.float64), rtol=0, atol=1e-9)


def test_angles_are_in_degrees_and_exact_where_a_cosine_is_not():
    tiny = 1e-9
    features = torch.tensor([[5.0, 5.0], [-1.0, 0.0], [1.0, tiny]], dtype=torch.float64)
    found = angles_to_own(features, CENTERS.double(), torch.tensor([0, 0, 0]))
    expected = torch.tensor([45.0, 180.0, torch.rad2deg(torch.tensor(tiny))], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_class_means_agree_with_a_plain_loop():
    features = torch.randn(30, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(30) % 3
    expected = torch.stack([features[labels == k].mean(dim=0) for k in range(3)])
    torch.testing.assert_close(class_means(features, labels, 3), expected)


def test_the_mean_distance_of_a_simplex_is_its_distance():
    assert mean_center_distance(max_mahalanobis_centers(10, 64)) == pytest.approx(10 * (20 / 9) ** 0.5)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(UserError, match="class 2 has none of these 2 features: take more images"):
        class_means(FEATURES, LABELS, 3)
    with pytest.raises(UserError, match="1 centers: a nearest other center needs at least 2"):
        own_and_other_distances(FEATURES, CENTERS[:1], LABELS * 0)
