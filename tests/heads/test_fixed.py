import pytest
import torch

from max_mahalanobis.centers import max_mahalanobis_centers
from max_mahalanobis.heads import MMCHead, MMLDAHead
from max_mahalanobis.losses import softmax_cross_entropy

FEATURES = torch.randn(7, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 4, 0, 1])


def test_mmc_logits_equal_the_slow_twin():
    head = MMCHead(16, 5)
    slow = -(FEATURES[:, None] - head.centers[None]).square().sum(dim=2)
    torch.testing.assert_close(head(FEATURES), slow, rtol=1e-5, atol=1e-4)


def test_mmc_predicts_the_nearest_center_and_its_loss_is_least_there():
    head = MMCHead(16, 5)
    near = head.centers + 0.1 * torch.randn(5, 16, generator=torch.Generator().manual_seed(1))
    assert head(near).argmax(dim=1).tolist() == [0, 1, 2, 3, 4]
    assert head.loss(head.centers, torch.arange(5)).abs().max() == 0


@pytest.mark.parametrize("kind", [MMCHead, MMLDAHead])
def test_fixed_centers_are_saved_and_never_trained(kind):
    head = kind(16, 5, norm=3.0)
    assert list(head.parameters()) == []
    torch.testing.assert_close(head.state_dict()["centers"], max_mahalanobis_centers(5, 16, norm=3.0).float())


def test_given_centers_replace_the_simplex_and_stay_the_callers():
    centers = torch.eye(3, 4)
    head = MMCHead(4, 3, centers=centers)
    torch.testing.assert_close(head.centers, centers)
    head.centers.zero_()
    torch.testing.assert_close(centers, torch.eye(3, 4))


def test_mmc_training_loss_computes_no_distance_to_other_centers():
    head = MMCHead(16, 5)
    head.forward = None  # the loss must not need the logits
    head.centers[4] = torch.nan
    assert torch.isfinite(head.loss(FEATURES[:4], LABELS[:4])).all()


@pytest.mark.parametrize(("convention", "factor"), [("paper", 0.5), ("authors_code", 1.0)])
def test_mmlda_is_cross_entropy_of_mmc_logits_times_a_half_or_one(convention, factor):
    head, other = MMLDAHead(16, 5, convention=convention, norm=4.0), MMCHead(16, 5, norm=4.0)
    torch.testing.assert_close(head(FEATURES), factor * other(FEATURES))
    torch.testing.assert_close(head.loss(FEATURES, LABELS), softmax_cross_entropy(factor * other(FEATURES), LABELS))


def test_mmlda_has_no_best_feature_its_loss_falls_beyond_the_center():
    head, labels = MMLDAHead(16, 5, norm=2.0).double(), torch.arange(5)
    at, beyond, far = (head.loss(share * head.centers, labels) for share in (1.0, 2.0, 4.0))
    assert (at > beyond).all()
    assert (beyond > far).all()
    assert (far > 0).all()
