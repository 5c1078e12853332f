"""Robust accuracy of any function from images in [0, 1] to logits, with an attack and an objective of your own."""

from functools import partial

import torch

from max_mahalanobis import Linf, evaluate, pgd
from max_mahalanobis.statistics import proportion

torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 5))
x, y = torch.rand(200, 3, 8, 8), torch.randint(5, (200,))


def toward_class_zero(logits, labels, targets=None):
    """An objective: per image, larger is worse for the model."""
    return logits[:, 0] - logits.gather(1, labels[:, None]).squeeze(1)


threat = Linf(8 / 255)
mine = {"mine": partial(pgd, threat=threat, objective=toward_class_zero, steps=20, restarts=2)}
(row,) = evaluate(network, (x, y), threat=threat, suite=mine)
print("robust accuracy at most", proportion(row.num_robust, row.num_images))
