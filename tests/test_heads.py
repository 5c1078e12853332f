import pytest
import torch

from max_mahalanobis.centers import max_mahalanobis_centers
from max_mahalanobis.errors import UserError
from max_mahalanobis.heads import HEADS, MMCHead, make_head

FEATURES = torch.randn(7, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 4, 0, 1])


@pytest.fixture(params=HEADS)
def head(request):
    torch.manual_seed(0)
    return make_head(request.param, 16, 5)


def test_logits_and_loss_have_one_entry_per_class_and_per_image(head):
    assert head(FEATURES).shape == (7, 5)
    assert head.loss(FEATURES, LABELS).shape == (7,)


def test_the_loss_reaches_every_parameter_and_the_features(head):
    features = FEATURES.clone().requires_grad_()
    head.loss(features, LABELS).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in head.parameters())
    assert features.grad.abs().sum() > 0


def test_state_dict_restores_the_whole_head(head):
    other = make_head("mmc", 16, 5, norm=3.0) if isinstance(head, MMCHead) else make_head("softmax", 16, 5)
    other.load_state_dict(head.state_dict())
    torch.testing.assert_close(other(FEATURES), head(FEATURES))


def test_raising_the_true_logit_lowers_the_loss_of_either_head(head):
    features = FEATURES.clone().requires_grad_()
    own = head(features).gather(1, LABELS[:, None]).sum()
    toward = torch.autograd.grad(own, features)[0]
    assert (head.loss(FEATURES + 1e-3 * toward, LABELS) < head.loss(FEATURES, LABELS)).all()


def test_mmc_logits_equal_the_slow_twin():
    head = MMCHead(16, 5)
    slow = -(FEATURES[:, None] - head.centers[None]).square().sum(dim=2)
    torch.testing.assert_close(head(FEATURES), slow, rtol=1e-5, atol=1e-4)


def test_mmc_predicts_the_nearest_center_and_its_loss_is_least_there():
    head = MMCHead(16, 5)
    near = head.centers + 0.1 * torch.randn(5, 16, generator=torch.Generator().manual_seed(1))
    assert head(near).argmax(dim=1).tolist() == [0, 1, 2, 3, 4]
    assert head.loss(head.centers, torch.arange(5)).abs().max() == 0


def test_mmc_centers_are_saved_and_never_trained():
    head = MMCHead(16, 5, norm=3.0)
    assert list(head.parameters()) == []
    torch.testing.assert_close(head.state_dict()["centers"], max_mahalanobis_centers(5, 16, norm=3.0).float())


def test_given_centers_replace_the_simplex_and_stay_the_callers():
    centers = torch.eye(3, 4)
    head = MMCHead(4, 3, centers=centers)
    torch.testing.assert_close(head.centers, centers)
    head.centers.zero_()
    torch.testing.assert_close(centers, torch.eye(3, 4))
    with pytest.raises(UserError, match=r"centers must be \(5, 4\), got \(3, 4\)"):
        MMCHead(4, 5, centers=centers)


def test_mmc_training_loss_computes_no_distance_to_other_centers():
    head = MMCHead(16, 5)
    head.forward = None  # the loss must not need the logits
    head.centers[4] = torch.nan
    assert torch.isfinite(head.loss(FEATURES[:4], LABELS[:4])).all()
