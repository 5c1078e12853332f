"""Our elastic-net attack beside those of foolbox and torchattacks, at equal settings."""

import pytest
import torch

from max_mahalanobis.attacks import is_fooled
from max_mahalanobis.attacks.minimum_norm.elastic_net import ead
from max_mahalanobis.threats import L1

pytestmark = pytest.mark.peers

VICTIMS = pytest.mark.parametrize("victim", ["mlp", "cnn", "mmc"], indirect=True)
RULES = pytest.mark.parametrize("rule", ["elastic_net", "l1"])
COUNT, STEPS, SEARCH_STEPS, BETA, CONSTANT = 400, 150, 5, 0.01, 0.01


@VICTIMS
@RULES
@pytest.mark.parametrize("abort_early", [None, False], ids=["own default", "no abort"])
def test_images_are_no_farther_than_foolbox_puts_them(foolbox, victim, rule, abort_early):
    name = {"elastic_net": "EN", "l1": "L1"}[rule]
    shared = {} if abort_early is None else {"abort_early": abort_early}
    attack = foolbox.attacks.EADAttack(
        binary_search_steps=SEARCH_STEPS,
        steps=STEPS,
        initial_const=CONSTANT,
        regularization=BETA,
        decision_rule=name,
        **shared,
    )
    model = foolbox.PyTorchModel(victim.model, bounds=(0, 1), device="cpu")
    theirs = attack.run(model, victim.x[:COUNT], victim.y[:COUNT])  # all zeros where it finds nothing
    assert_not_weaker(victim, rule, ours(victim, rule, **shared), theirs)


@VICTIMS
@RULES
def test_images_are_no_farther_than_torchattacks_puts_them(torchattacks, victim, rule):
    attack = {"elastic_net": torchattacks.EADEN, "l1": torchattacks.EADL1}[rule]
    theirs = attack(
        victim.model, binary_search_steps=SEARCH_STEPS, max_iterations=STEPS, initial_const=CONSTANT, beta=BETA
    )(victim.x[:COUNT], victim.y[:COUNT])
    assert_not_weaker(victim, rule, ours(victim, rule), theirs)


def ours(victim, rule, **settings):
    shared = {"steps": STEPS, "search_steps": SEARCH_STEPS, "beta": BETA, "initial_constant": CONSTANT}
    threat = L1.unlimited(victim.x[0].numel())
    x, y = victim.x[:COUNT], victim.y[:COUNT]
    return ead(victim.model, x, y, threat=threat, decision_rule=rule, **shared, **settings)


def assert_not_weaker(victim, rule, mine, theirs):
    """Success no more than half a point below, median of what the rule minimizes no 2 % above."""
    x, y = victim.x[:COUNT], victim.y[:COUNT]
    sizes, fooled = [], []
    for x_adv in (mine, theirs.detach()):
        with torch.no_grad():
            found = is_fooled(victim.model(x_adv), y) & (x_adv != 0).flatten(1).any(dim=1)
        delta = (x_adv - x).flatten(1)
        size = delta.abs().sum(dim=1)
        if rule == "elastic_net":
            size = BETA * size + delta.square().sum(dim=1)
        sizes.append(size.masked_fill(~found, torch.inf).median().item())
        fooled.append(found.double().mean().item())
    print(f"\nsuccess {fooled[0]:.3f} theirs {fooled[1]:.3f}, median {rule} {sizes[0]:.4f} theirs {sizes[1]:.4f}")
    assert fooled[0] >= fooled[1] - 0.005
    assert sizes[0] <= 1.02 * sizes[1]
