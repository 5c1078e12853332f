"""Our Carlini and Wagner attack beside those of torchattacks, foolbox and ART, at equal settings."""

import pytest
import torch

from max_mahalanobis.attacks import is_fooled
from max_mahalanobis.attacks.minimum_norm.carlini_wagner import cw_l2
from max_mahalanobis.threats import L2

pytestmark = pytest.mark.peers

VICTIMS = pytest.mark.parametrize("victim", ["mlp", "cnn", "mmc"], indirect=True)
COUNT, STEPS, SEARCH_STEPS, LEARNING_RATE = 200, 200, 5, 0.05


@VICTIMS
@pytest.mark.parametrize("abort_early", [True, False])
def test_images_are_no_farther_than_foolbox_puts_them(foolbox, victim, abort_early):
    shared = {"steps": STEPS, "abort_early": abort_early, "confidence": 0.0}
    attack = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=SEARCH_STEPS, stepsize=LEARNING_RATE, initial_const=0.01, **shared
    )
    model = foolbox.PyTorchModel(victim.model, bounds=(0, 1), device="cpu")
    theirs = attack.run(model, victim.x[:COUNT], victim.y[:COUNT])  # all zeros where it finds nothing
    assert_not_weaker(victim, ours(victim, abort_early=abort_early), theirs)


@VICTIMS
@pytest.mark.parametrize("constant", [1.0, 10.0])
def test_images_are_no_farther_than_torchattacks_puts_them_with_one_constant(torchattacks, victim, constant):
    if victim.model(victim.x).max() < 0:
        pytest.skip("its best other logit is never below 0: on MMC, whose logits all are, it finds nothing")
    attack = torchattacks.CW(victim.model, c=constant, steps=STEPS, lr=LEARNING_RATE)
    theirs = attack(victim.x[:COUNT], victim.y[:COUNT])
    settings = {
        "search_steps": 1,
        "initial_constant": constant,
        "abort_early": False,
    }  # it gives up on whole batches only
    assert_not_weaker(victim, ours(victim, **settings), theirs)


@VICTIMS
def test_images_are_no_farther_than_art_puts_them(victim):
    evasion = pytest.importorskip("art.attacks.evasion", reason="ART is not installed")
    from art.estimators.classification import PyTorchClassifier

    shape = tuple(victim.x.shape[1:])
    settings = {"input_shape": shape, "nb_classes": 10, "clip_values": (0, 1), "device_type": "cpu"}
    classifier = PyTorchClassifier(model=victim.model, loss=torch.nn.CrossEntropyLoss(), **settings)
    attack = evasion.CarliniL2Method(
        classifier, binary_search_steps=SEARCH_STEPS, max_iter=20, initial_const=0.01, batch_size=COUNT, verbose=False
    )
    theirs = torch.from_numpy(attack.generate(victim.x[:COUNT].numpy(), victim.y[:COUNT].numpy()))
    assert_not_weaker(victim, ours(victim), theirs)


def ours(victim, **settings):
    settings = {"steps": STEPS, "search_steps": SEARCH_STEPS, "learning_rate": LEARNING_RATE} | settings
    return cw_l2(victim.model, victim.x[:COUNT], victim.y[:COUNT], threat=unlimited(victim), **settings)


def unlimited(victim):
    return L2.unlimited(victim.x[0].numel())


def assert_not_weaker(victim, mine, theirs):
    """Success no more than half a point below, median distance (infinite where nothing was found) no 2 % above."""
    x, y = victim.x[:COUNT], victim.y[:COUNT]
    sizes, fooled = [], []
    for x_adv in (mine, theirs.detach()):
        with torch.no_grad():
            found = is_fooled(victim.model(x_adv), y) & (x_adv != 0).flatten(1).any(dim=1)
        sizes.append(unlimited(victim).size(x_adv - x).masked_fill(~found, torch.inf).median().item())
        fooled.append(found.double().mean().item())
    print(f"\nsuccess {fooled[0]:.3f} theirs {fooled[1]:.3f}, median L2 {sizes[0]:.4f} theirs {sizes[1]:.4f}")
    assert fooled[0] >= fooled[1] - 0.005
    assert sizes[0] <= 1.02 * sizes[1]
