"""A softmax classifier, already trained, becomes an MMC classifier: its last layer is replaced, then both are tuned."""

import torch
from torch import nn

from max_mahalanobis import MMCHead, load_dataset, softmax_cross_entropy
from max_mahalanobis.models import with_head
from max_mahalanobis.training import accuracy
from max_mahalanobis.types import as_pixels

torch.manual_seed(0)
digits = load_dataset("digits")
network = nn.Sequential(nn.Conv2d(1, 32, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))  # or torchvision's, timm's


def tune(parameters, loss):
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    for _ in range(20):
        for rows in torch.randperm(len(digits.train.labels)).split(64):
            optimizer.zero_grad()
            loss(as_pixels(digits.train.images[rows]), digits.train.labels[rows]).mean().backward()
            optimizer.step()


tune(network.parameters(), lambda x, y: softmax_cross_entropy(network(x), y))
model = with_head(network, MMCHead, 10, dim=64, norm=10.0)  # 64 linear features: those of a ReLU are never negative
tune(model.parameters(), model.loss)
print(f"clean accuracy {100 * accuracy(model, digits.test):.1f} %")
