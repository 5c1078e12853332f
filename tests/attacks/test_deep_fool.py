import pytest
import torch
from linear import linear_problem
from torch import nn

from max_mahalanobis.attacks import is_fooled
from max_mahalanobis.attacks.minimum_norm.deep_fool import deepfool
from max_mahalanobis.threats import L2, Linf


def slow_deepfool(model, x, y, *, linf, steps, overshoot, candidates):
    """Moosavi-Dezfooli et al. 2016, algorithm 2 and its Linf form, image by image, with whole Jacobians."""
    found = []
    for image, label in zip(x.split(1), y.tolist(), strict=True):
        classes = [k for k in model(image)[0].argsort(descending=True).tolist() if k != label][: candidates - 1]
        x_adv, moved = image.clone(), torch.zeros_like(image)
        for _ in range(steps):
            if model(x_adv).argmax() != label:
                break
            jacobian = torch.autograd.functional.jacobian(model, x_adv)[0][:, 0]
            logits, nearest = model(x_adv)[0], None
            for k in classes:
                w, f = jacobian[k] - jacobian[label], (logits[k] - logits[label]).abs()
                distance = f / (w.abs().sum() if linf else w.norm())
                if nearest is None or distance < nearest:
                    nearest, step = distance, distance * (w.sign() if linf else w / w.norm())
            moved = moved + step
            x_adv = (image + (1 + overshoot) * moved).clamp(0, 1).detach()
        found.append(x_adv)
    return torch.cat(found)


@pytest.mark.parametrize("threat", [Linf.unlimited(16), L2.unlimited(16)])
@pytest.mark.parametrize("candidates", [2, 4, 10])
def test_where_the_box_is_not_in_the_way_it_is_the_published_algorithm(threat, candidates):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 30), nn.Tanh(), nn.Linear(30, 6)).double()
    x = 0.5 + 0.1 * torch.randn(20, 1, 4, 4, dtype=torch.float64)
    y = model(x).argmax(dim=1)
    settings = {"steps": 20, "overshoot": 0.05, "candidates": candidates}
    slow = slow_deepfool(model, x, y, linf=isinstance(threat, Linf), **settings)
    fooled = is_fooled(model(slow), y)
    inside = ((slow > 0) & (slow < 1)).flatten(1).all(dim=1)
    fooled &= inside
    assert fooled.float().mean() > 0.5
    fast = deepfool(model, x, y, threat=threat, **settings)
    torch.testing.assert_close(fast[fooled], slow[fooled].detach())


def test_one_step_suffices_on_hyperplanes_and_its_cost_is_what_is_said(monkeypatch):
    model, x, y = linear_problem(10, count=7)
    forwards, backwards, grad = [], [], torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: backwards.append(1) or grad(*a, **k))
    deepfool(lambda z: forwards.append(len(z)) or model(z), x, y, threat=L2(4), candidates=6)
    assert forwards == [7, 7, 7]
    assert len(backwards) == 5


def test_only_the_likeliest_candidates_are_considered():
    model, x, y = linear_problem(10, count=100)
    threat = L2.unlimited(16)
    sizes = [threat.size(deepfool(model, x, y, threat=threat, candidates=k) - x) for k in (2, 10)]
    assert (sizes[1] <= 1.001 * sizes[0]).all()
    assert sizes[1].mean() < 0.97 * sizes[0].mean()
