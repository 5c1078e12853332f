"""Other libraries attack our classifiers through what we hand them, and find what we find."""

import pytest
import torch

from max_mahalanobis.attacks import fgsm, is_fooled
from max_mahalanobis.evaluation import evaluate
from max_mahalanobis.interop import foolbox_view
from max_mahalanobis.results import worst_case
from max_mahalanobis.threats import Linf

pytestmark = pytest.mark.peers


@pytest.mark.parametrize("victim", ["mlp", "mmc"], indirect=True)
def test_foolbox_sees_our_logits_and_our_fgsm(foolbox, victim):
    view = foolbox_view(victim.model)
    assert tuple(view.bounds) == (0, 1)
    torch.testing.assert_close(view(victim.x), victim.model(victim.x), rtol=0, atol=0)
    _, theirs, fooled = foolbox.attacks.LinfFastGradientAttack()(view, victim.x, victim.y, epsilons=0.1)
    ours = fgsm(victim.model, victim.x, victim.y, threat=Linf(0.1))
    torch.testing.assert_close(fooled, is_fooled(victim.model(theirs), victim.y))
    torch.testing.assert_close(theirs, ours)


@pytest.mark.parametrize("victim", ["mlp", "mmc"], indirect=True)
def test_a_classifier_goes_straight_into_autoattack(victim):
    pyautoattack = pytest.importorskip("pyautoattack", reason="pyautoattack is not installed: make peers")
    x, y = victim.x[:100], victim.y[:100]
    threat = Linf(0.05)
    settings = {"norm": "Linf", "eps": threat.eps, "seed": 0, "version": "custom"}
    judged = pyautoattack.AutoAttack(victim.model, attacks=["apgd-ce", "apgd-t"], **settings)
    theirs, _ = judged.run_standard_evaluation(x, y, batch_size=100)
    assert threat.allows(theirs, x).all()
    held = 100 - int(is_fooled(victim.model(theirs), y).sum())
    assert 0 < held < 100, "a budget at which all images hold or fall shows little"
    ours = 100 - sum(worst_case(evaluate(victim.model, (x, y), threat=threat, suite="auto_fast")))
    assert abs(held - ours) <= 2
