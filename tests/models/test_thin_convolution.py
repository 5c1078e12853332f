import copy

import pytest
import torch
from torch import nn

from max_mahalanobis.models.thin_convolution import ThinConvolution

THIN = [
    nn.Conv2d(1, 32, 4, stride=2, padding=1),
    nn.Conv2d(1, 16, 3, padding=1, bias=False),
    nn.Conv2d(2, 40, (3, 5), stride=(2, 1), padding=(0, 2)),
    nn.Conv2d(1, 16, 3, padding=2, dilation=2),
    nn.Conv2d(3, 8, 5, stride=5),
]
OTHERS = [
    nn.Conv2d(3, 16, 3, padding=1),  # its patches are larger than what it puts out
    nn.Conv2d(8, 128, 3),
    nn.Conv2d(4, 64, 3, groups=2),
    nn.Conv2d(1, 32, 3, padding="same"),
    nn.Conv2d(1, 32, 3, padding=1, padding_mode="reflect"),
    nn.Linear(4, 2),
]


@pytest.mark.parametrize("layer", THIN, ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_output_and_input_gradient_are_those_of_the_convolution(layer, layout):
    layer = copy.deepcopy(layer).double().requires_grad_(False)
    thin = copy.deepcopy(layer).to(memory_format=layout)
    ThinConvolution.replace(thin)
    assert type(thin) is ThinConvolution
    x = torch.rand(3, layer.in_channels, 11, 13, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(thin(x), layer(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(thin(x.detach()), layer(x), rtol=1e-12, atol=1e-12)
    downstream = torch.rand_like(layer(x))
    (ours,), (plain,) = (torch.autograd.grad(each(x), x, downstream) for each in (thin, layer))
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)


def test_the_gradient_itself_has_a_gradient():
    layer = nn.Conv2d(1, 16, 3).double().requires_grad_(False)
    ThinConvolution.replace(layer)
    x = torch.rand(1, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: layer(x) ** 2, x)


@pytest.mark.parametrize("layer", OTHERS, ids=str)
def test_other_layers_stay_as_they_are(layer):
    kind = type(layer)
    ThinConvolution.replace(layer)
    assert type(layer) is kind
