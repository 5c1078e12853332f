"""The general softmax head has the others as special cases."""

import pytest
import torch

from max_mahalanobis.centers import max_mahalanobis_centers
from max_mahalanobis.heads import GeneralSoftmaxHead, LargeMarginGaussianHead, MMLDAHead, SoftmaxHead

FEATURES = 3 * torch.randn(30, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.arange(30) % 4


@pytest.fixture(autouse=True)
def _double():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def agree(general, special):
    torch.testing.assert_close(general.loss(FEATURES, LABELS), special.loss(FEATURES, LABELS), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        general(FEATURES).log_softmax(dim=1), special(FEATURES).log_softmax(dim=1), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.0])
def test_equal_isotropic_precisions_are_sce(sigma):
    special = SoftmaxHead(6, 4)
    centers = special.linear.weight.detach() / (2 * sigma)
    biases = special.linear.bias.detach() + sigma * centers.square().sum(dim=1)
    agree(GeneralSoftmaxHead(centers, precisions=sigma, biases=biases), special)


@pytest.mark.parametrize(("convention", "sigma"), [("paper", 0.5), ("authors_code", 1.0)])
def test_fixed_centers_and_one_precision_are_mmlda(convention, sigma):
    centers = max_mahalanobis_centers(4, 6, norm=10.0)
    agree(GeneralSoftmaxHead(centers, precisions=sigma), MMLDAHead(6, 4, norm=10.0, convention=convention))


@pytest.mark.parametrize("shape", ["diagonal", "matrices"])
def test_diagonal_precisions_are_l_gm_without_margin_and_likelihood(shape):
    special = LargeMarginGaussianHead(6, 4, margin=0, center_weight=0)
    special.log_variances.data = torch.randn(4, 6)
    variances = special.variances.detach()
    precisions = 0.5 / variances if shape == "diagonal" else torch.diag_embed(0.5 / variances)
    biases = -0.5 * variances.log().sum(dim=1)
    agree(GeneralSoftmaxHead(special.centers.detach(), precisions=precisions, biases=biases), special)


def test_it_is_saved_whole_and_nothing_of_it_trains():
    head = GeneralSoftmaxHead(torch.randn(4, 6), precisions=torch.rand(4) + 0.5, biases=torch.randn(4))
    other = GeneralSoftmaxHead(torch.randn(4, 6), precisions=torch.rand(4) + 0.5)
    other.load_state_dict(head.state_dict())
    assert list(head.parameters()) == []
    torch.testing.assert_close(other(FEATURES), head(FEATURES), rtol=0, atol=0)
