"""MMC in your own training loop, on your own backbone, adversarially trained."""

import torch
from torch import nn

from max_mahalanobis import Classifier, Linf, MMCHead, load_dataset, pgd
from max_mahalanobis.attacks import own_distance
from max_mahalanobis.training import accuracy
from max_mahalanobis.types import as_pixels

torch.manual_seed(0)
digits = load_dataset("digits")
backbone = nn.Sequential(nn.Flatten(), nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 32))  # end with a linear layer
model = Classifier(backbone, MMCHead(dim=32, num_classes=10, norm=10.0))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for _ in range(8):
    for rows in torch.randperm(len(digits.train.labels)).split(64):
        x, y = as_pixels(digits.train.images[rows]), digits.train.labels[rows]
        x = pgd(model, x, y, threat=Linf(0.05), objective=own_distance, steps=5, stop_when_fooled=False)
        loss = model.loss(x, y).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
print(f"clean accuracy {100 * accuracy(model, digits.test):.1f} %")
