import math

import pytest
import torch

from max_mahalanobis.centers import max_mahalanobis_centers
from max_mahalanobis.errors import UserError
from max_mahalanobis.losses import (
    center_loss,
    general_logits,
    large_margin_gaussian_loss,
    margin_cosine_loss,
    mmc_loss,
    mmlda_loss,
    softmax_cross_entropy,
    squared_loss,
)

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


def test_squared_loss_by_hand_has_the_half():
    logits = torch.tensor([[1.0, 0.0, 0.0], [1.0, 2.0, -1.0]])
    torch.testing.assert_close(squared_loss(logits, torch.tensor([0, 2])), torch.tensor([0.0, 0.5 * (1 + 4 + 4)]))


def test_mmlda_loss_by_hand_in_either_convention():
    """Squared distances from (0, 0) are 9 and 16: gaps of 7/2 and 7."""
    here = torch.zeros(1, 2)
    for convention, gap in (("paper", 3.5), ("authors_code", 7.0)):
        expected = torch.tensor([gap]).neg().exp().log1p()
        torch.testing.assert_close(mmlda_loss(here, CENTERS, torch.tensor([0]), convention=convention), expected)


@pytest.mark.parametrize("norm", [10.0, 100.0])
@pytest.mark.parametrize("length", [1.0, 100.0, 1e4])
def test_mmlda_loss_keeps_its_digits_with_long_centers_and_features(norm, length):
    centers = max_mahalanobis_centers(10, 64, norm=norm)
    features = length * torch.randn(200, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(200) % 10
    exact = torch.nn.functional.cross_entropy(
        -0.5 * (features[:, None] - centers.float()).square().sum(dim=2), labels, reduction="none"
    )
    single = mmlda_loss(features.float(), centers.float(), labels)
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=1e-6 * norm * (norm + length))


def test_mmlda_and_gaussian_losses_are_exact_under_autocast():
    centers = max_mahalanobis_centers(10, 64, norm=100.0).float()
    features, labels = centers + torch.randn(10, 64, generator=torch.Generator().manual_seed(0)), torch.arange(10) // 2
    shape = {"margin": 0.3, "center_weight": 0.1}
    with torch.autocast("cpu", torch.bfloat16):
        mmlda = mmlda_loss(features, centers, labels)
        gaussian = large_margin_gaussian_loss(features, centers, 1 + centers.square(), labels, **shape)
    torch.testing.assert_close(mmlda, mmlda_loss(features, centers, labels), rtol=0, atol=0)
    exact = large_margin_gaussian_loss(features, centers, 1 + centers.square(), labels, **shape)
    torch.testing.assert_close(gaussian, exact, rtol=0, atol=0)


def test_the_pull_of_mmlda_is_bounded_by_the_centers_that_of_mmc_is_not():
    centers = max_mahalanobis_centers(10, 64, norm=10.0)
    features = (1e3 * torch.randn(50, 64, dtype=torch.float64)).requires_grad_()
    pull = torch.autograd.grad(mmlda_loss(features, centers, torch.arange(50) % 10).sum(), features)[0]
    assert pull.norm(dim=1).max() <= 10 * (20 / 9) ** 0.5 + 1e-9
    pull = torch.autograd.grad(mmc_loss(features, centers, torch.arange(50) % 10).sum(), features)[0]
    assert pull.norm(dim=1).min() > 1e3


def test_center_loss_is_mmc_loss_of_the_centers_and_pulls_features_alike():
    found, expected = (FEATURES.clone().requires_grad_() for _ in range(2))
    torch.testing.assert_close(center_loss(found, CENTERS, LABELS), mmc_loss(expected, CENTERS, LABELS))
    (center_loss(found, CENTERS, LABELS) * torch.tensor([2.0, 3.0])).sum().backward()
    (mmc_loss(expected, CENTERS, LABELS) * torch.tensor([2.0, 3.0])).sum().backward()
    torch.testing.assert_close(found.grad, expected.grad)


@pytest.mark.parametrize("weight", [1.0, 0.003])
def test_center_loss_gives_centers_the_rule_of_wen_whatever_its_weight(weight):
    """By hand: two images of class 0, one of class 1, none of class 2."""
    features = torch.tensor([[2.0, 0.0], [4.0, 2.0], [0.0, 1.0]])
    centers = torch.tensor([[0.0, 0.0], [0.0, 3.0], [5.0, 5.0]], requires_grad=True)
    (weight * center_loss(features, centers, torch.tensor([0, 0, 1])).mean()).backward()
    torch.testing.assert_close(centers.grad, torch.tensor([[-2.0, -2.0 / 3], [0.0, 1.0], [0.0, 0.0]]))


def test_large_margin_gaussian_loss_by_hand():
    """z = 0, centers 3 and 1 away, variances 1 and 4: d = 9/2 and 1/8, half log-determinants 0 and log 2."""
    features, labels = torch.zeros(1, 1), torch.tensor([0])
    centers, variances = torch.tensor([[3.0], [1.0]]), torch.tensor([[1.0], [4.0]])
    loss = large_margin_gaussian_loss(features, centers, variances, labels, margin=0.5, center_weight=0.1)
    own, other = -4.5 * 1.5, -0.125 - math.log(2)
    expected = math.log(math.exp(own) + math.exp(other)) - own + 0.1 * 4.5
    torch.testing.assert_close(loss, torch.tensor([expected]))


def test_margin_cosine_loss_by_hand():
    loss = margin_cosine_loss(torch.tensor([[0.5, -0.5]]), torch.tensor([0]), scale=10, margin=0.2)
    torch.testing.assert_close(loss, torch.tensor([math.log1p(math.exp(-8))]))


def test_general_logits_equal_the_slow_twin_for_every_shape_of_precisions():
    generator = torch.Generator().manual_seed(0)
    z, mu, biases = (torch.randn(n, generator=generator, dtype=torch.float64) for n in ((6, 4), (3, 4), (3,)))
    factors = torch.randn(3, 4, 4, generator=generator, dtype=torch.float64)
    whole = factors @ factors.mT + torch.eye(4)
    diagonal = whole.diagonal(dim1=1, dim2=2)
    cases = [
        (whole, whole),
        (diagonal, torch.diag_embed(diagonal)),
        (diagonal[:, 0], diagonal[:, :1, None] * torch.eye(4)),
    ]
    for precisions, matrices in cases:
        slow = torch.tensor(
            [[-(a - b) @ s @ (a - b) + c for b, s, c in zip(mu, matrices, biases, strict=True)] for a in z]
        )
        torch.testing.assert_close(general_logits(z, mu, precisions, biases), slow)


LOSSES = {
    "softmax": (softmax_cross_entropy, ["logits"], {}),
    "squared": (squared_loss, ["logits"], {}),
    "mmc": (mmc_loss, ["features", "centers"], {}),
    "mmlda": (mmlda_loss, ["features", "centers"], {"convention": "authors_code"}),
    "gaussian": (
        large_margin_gaussian_loss,
        ["features", "centers", "variances"],
        {"margin": 0.3, "center_weight": 0.1},
    ),
    "cosine": (margin_cosine_loss, ["logits"], {"scale": 15, "margin": 0.2}),
    "center": (lambda z, y: center_loss(z, torch.ones(3, 4, dtype=torch.float64), y), ["features"], {}),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name):
    """Center loss in its features only: its centers follow a rule that is no gradient, tested above."""
    loss, inputs, settings = LOSSES[name]
    shapes = {"logits": (5, 3), "features": (5, 4), "centers": (3, 4), "variances": (3, 4)}
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(shapes[i], generator=generator, dtype=torch.float64) for i in inputs]
    tensors = [(t.exp() if i == "variances" else t).requires_grad_() for i, t in zip(inputs, tensors, strict=True)]
    assert torch.autograd.gradcheck(lambda *given: loss(*given, torch.tensor([0, 1, 2, 0, 0]), **settings), tensors)
