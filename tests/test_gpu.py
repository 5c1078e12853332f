"""What must hold on a CUDA device as on a CPU."""

import pytest
import torch

from max_mahalanobis import Linf, Recipe, evaluate, train
from max_mahalanobis.draws import derive, normal, uniform

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


def test_draws_are_the_same_numbers_on_either_device():
    seeds = derive(3, 7, torch.arange(50))
    torch.testing.assert_close(derive(3, 7, torch.arange(50).cuda()).cpu(), seeds, rtol=0, atol=0)
    torch.testing.assert_close(uniform(seeds.cuda(), 100).cpu(), uniform(seeds, 100), rtol=0, atol=0)
    torch.testing.assert_close(normal(seeds.cuda(), 100).cpu(), normal(seeds, 100), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("adversary", ["none", "pgd"])
def test_training_and_evaluation_run_there_and_give_the_verdicts_of_the_cpu(digits, adversary):
    model = train(Recipe(epochs=3, adversary=adversary, augmentation="shift_flip"), digits, device="cuda")
    part = digits.test.first(100)
    here = evaluate(model, part, threat=Linf(0.1))
    there = evaluate(model.cuda(), part, threat=Linf(0.1), device="cuda")
    for cpu, gpu in zip(here, there, strict=True):
        assert sum(a != b for a, b in zip(cpu.fooled, gpu.fooled, strict=True)) <= 1
