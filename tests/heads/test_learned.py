import torch

from max_mahalanobis.heads import CenterLossHead, LargeMarginGaussianHead
from max_mahalanobis.losses import softmax_cross_entropy

GENERATOR = torch.Generator().manual_seed(0)
FEATURES = torch.randn(40, 6, generator=GENERATOR)
LABELS = torch.randint(0, 4, (40,), generator=GENERATOR)


def test_sgd_at_the_own_rate_moves_centers_as_wen_et_al_do():
    """The slow twin reads equation 4 class by class, image by image; class 4 has none and stays."""
    head = CenterLossHead(6, 5, center_rate=0.3)
    head.centers.data = torch.randn(5, 6)
    expected = head.centers.detach().clone()
    for j in range(5):
        mine = [z for z, y in zip(FEATURES, LABELS, strict=True) if y == j]
        delta = sum((expected[j] - z for z in mine), torch.zeros(6)) / (1 + len(mine))
        expected[j] -= 0.3 * delta
    optimizer = torch.optim.SGD([head.centers], lr=head.own_rates["centers"])
    head.loss(FEATURES, LABELS).mean().backward()
    optimizer.step()
    torch.testing.assert_close(head.centers.detach(), expected)


def test_center_loss_beside_softmax_is_their_weighted_sum():
    head = CenterLossHead(6, 4, center_weight=0.2)
    head.centers.data = torch.randn(4, 6)
    half = 0.5 * (FEATURES - head.centers[LABELS]).square().sum(dim=1)
    torch.testing.assert_close(
        head.loss(FEATURES, LABELS), softmax_cross_entropy(head.linear(FEATURES), LABELS) + 0.2 * half
    )


def test_center_loss_predicts_by_its_linear_layer_whatever_the_centers():
    head = CenterLossHead(6, 4)
    before = head(FEATURES)
    head.centers.data.fill_(7.0)
    torch.testing.assert_close(head(FEATURES), before, rtol=0, atol=0)


def test_gaussian_logits_are_log_densities_up_to_the_constant():
    head = LargeMarginGaussianHead(6, 4)
    head.log_variances.data = torch.randn(4, 6)
    normal = torch.distributions.Normal(head.centers, head.variances.sqrt())
    densities = normal.log_prob(FEATURES[:, None]).sum(dim=2)
    constant = 3 * torch.tensor(2 * torch.pi).log()
    torch.testing.assert_close(head(FEATURES), densities + constant, rtol=1e-4, atol=1e-4)


def test_without_margin_and_likelihood_it_is_cross_entropy_and_both_only_add():
    torch.manual_seed(1)
    plain = LargeMarginGaussianHead(6, 4, margin=0, center_weight=0)
    torch.testing.assert_close(plain.loss(FEATURES, LABELS), softmax_cross_entropy(plain(FEATURES), LABELS))
    for name in ("margin", "center_weight"):
        other = LargeMarginGaussianHead(6, 4, **{"margin": 0, "center_weight": 0, name: 0.5})
        other.load_state_dict(plain.state_dict())
        assert (other.loss(FEATURES, LABELS) > plain.loss(FEATURES, LABELS)).all()
        torch.testing.assert_close(other(FEATURES), plain(FEATURES), rtol=0, atol=0)


def test_variances_keep_their_floor_so_the_likelihood_has_a_least_value():
    head = LargeMarginGaussianHead(6, 4)
    head.log_variances.data.fill_(-50.0)
    torch.testing.assert_close(head.variances.detach(), torch.full((4, 6), 1e-3))
    assert torch.isfinite(head.loss(head.centers, torch.arange(4))).all()
