import pytest
import torch

from max_mahalanobis.attacks import OBJECTIVES, cross_entropy, dlr, margin, nearest_other, own_distance
from max_mahalanobis.heads import MMCHead

LOGITS = torch.tensor([[4.0, 1.0, 3.0, 0.0], [0.0, 2.0, -1.0, 5.0]])
LABELS = torch.tensor([0, 1])
TARGETS = torch.tensor([3, 0])


@pytest.mark.parametrize("objective", [objective for objective in OBJECTIVES.values() if objective is not dlr])
def test_every_objective_is_larger_the_worse_for_the_model(objective):
    """Its gradient never raises the true logit, and raises the target's (DLR, a ratio, has its values below)."""
    for targets in (None, TARGETS):
        logits = LOGITS[:1].clone().requires_grad_()
        value = objective(logits, LABELS[:1], None if targets is None else targets[:1])
        slope = torch.autograd.grad(value.sum(), logits)[0][0]
        assert value.shape == (1,)
        assert slope[LABELS[0]] <= 0
        assert slope.abs().sum() > 0
        if targets is not None:
            assert slope[targets[0]] > 0


@pytest.mark.parametrize("objective", OBJECTIVES.values())
@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("targeted", [False, True])
def test_two_and_three_classes_give_finite_values_and_gradients(objective, num_classes, targeted):
    logits = torch.randn(5, num_classes, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.arange(5) % num_classes
    value = objective(logits, labels, (labels + 1) % num_classes if targeted else None)
    gradient = torch.autograd.grad(value.sum(), logits)[0]
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()


def test_values_by_hand():
    torch.testing.assert_close(margin(LOGITS, LABELS), torch.tensor([-1.0, 3.0]))
    torch.testing.assert_close(margin(LOGITS, LABELS, TARGETS), torch.tensor([-4.0, -2.0]))
    torch.testing.assert_close(dlr(LOGITS, LABELS), torch.tensor([-1 / 3, 3 / 5]))
    torch.testing.assert_close(dlr(LOGITS, LABELS, TARGETS), torch.tensor([-4 / 3.5, -2 / 5.5]))
    torch.testing.assert_close(own_distance(LOGITS, LABELS), torch.tensor([-4.0, -2.0]))
    torch.testing.assert_close(own_distance(LOGITS, LABELS, TARGETS), torch.tensor([0.0, 0.0]))
    torch.testing.assert_close(cross_entropy(LOGITS, LABELS), torch.tensor([0.3618, 3.0573]), rtol=0, atol=1e-4)
    torch.testing.assert_close(
        cross_entropy(LOGITS, LABELS, TARGETS), torch.tensor([-4.3618, -5.0573]), rtol=0, atol=1e-4
    )
    torch.testing.assert_close(nearest_other(LOGITS, LABELS), torch.tensor([3.0, 5.0]))
    torch.testing.assert_close(nearest_other(LOGITS, LABELS, TARGETS), torch.tensor([0.0, 0.0]))


def test_dlr_of_two_classes_is_the_margin_over_the_range():
    logits = torch.tensor([[4.0, 1.0], [1.0, 3.0]])
    torch.testing.assert_close(dlr(logits, LABELS * 0), torch.tensor([-1.0, 1.0]))


def test_dlr_does_not_change_when_logits_are_rescaled_and_shifted():
    torch.testing.assert_close(dlr(7 * LOGITS + 3, LABELS), dlr(LOGITS, LABELS))


def test_cross_entropy_has_no_gradient_at_an_mmc_center_and_the_margin_has():
    """Why an attack on cross-entropy finds nothing on MMC features: the gap of two logits is 222."""
    head = MMCHead(16, 10, norm=10.0)
    slopes = {}
    for objective in (cross_entropy, margin):
        features = head.centers[:3].clone().requires_grad_()
        value = objective(head(features), torch.arange(3), None)
        slopes[objective] = torch.autograd.grad(value.sum(), features)[0].norm(dim=1)
    assert slopes[cross_entropy].max() == 0
    assert slopes[margin].min() > 10


def test_own_distance_is_the_squared_distance_to_the_own_center():
    head = MMCHead(16, 10)
    features = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 3, 9, 1])
    expected = (features - head.centers[labels]).square().sum(dim=1)
    torch.testing.assert_close(own_distance(head(features), labels), expected, rtol=1e-4, atol=1e-3)
