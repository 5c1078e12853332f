import pytest
import torch

from max_mahalanobis.errors import UserError
from max_mahalanobis.losses import mmc_loss, softmax_cross_entropy

CENTERS = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
FEATURES = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
LABELS = torch.tensor([0, 1])


def test_mmc_loss_by_hand_is_half_the_squared_distance():
    torch.testing.assert_close(mmc_loss(FEATURES, CENTERS, LABELS), torch.tensor([4.5, 5.0]))


def test_authors_code_drops_the_half():
    whole = mmc_loss(FEATURES, CENTERS, LABELS, convention="authors_code")
    torch.testing.assert_close(whole, 2 * mmc_loss(FEATURES, CENTERS, LABELS))


def test_mmc_gradient_points_from_the_center_to_the_feature():
    features = FEATURES.clone().requires_grad_()
    mmc_loss(features, CENTERS, LABELS).sum().backward()
    torch.testing.assert_close(features.grad, FEATURES - CENTERS[LABELS])


def test_mmc_loss_does_not_look_at_other_centers():
    poisoned = CENTERS.clone()
    poisoned[1] = torch.nan
    assert torch.isfinite(mmc_loss(FEATURES, poisoned, torch.tensor([0, 0]))).all()


def test_an_unknown_convention_is_refused():
    with pytest.raises(UserError, match="unknown convention 'half': choose from paper, authors_code"):
        mmc_loss(FEATURES, CENTERS, LABELS, convention="half")


def test_softmax_cross_entropy_by_hand_is_in_nats():
    logits = torch.tensor([[0.0, 0.0], [0.0, 3.0]])
    expected = torch.tensor([0.6931472, 3.0485873])
    torch.testing.assert_close(softmax_cross_entropy(logits, torch.tensor([0, 0])), expected)
