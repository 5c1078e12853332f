"""What must hold on a CUDA device as on a CPU."""

import pytest
import torch

from max_mahalanobis import L2, Linf, Recipe, evaluate, train
from max_mahalanobis.draws import derive, normal, uniform
from max_mahalanobis.runs import create_run, facts_of
from max_mahalanobis.training import accuracy

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


def test_draws_are_the_same_numbers_on_either_device():
    seeds = derive(3, 7, torch.arange(50))
    torch.testing.assert_close(derive(3, 7, torch.arange(50).cuda()).cpu(), seeds, rtol=0, atol=0)
    torch.testing.assert_close(uniform(seeds.cuda(), 100).cpu(), uniform(seeds, 100), rtol=0, atol=0)
    torch.testing.assert_close(normal(seeds.cuda(), 100).cpu(), normal(seeds, 100), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.5)])
@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(epochs=3, augmentation="shift_flip"),
        Recipe(epochs=2, model="small_cnn", adversary="pgd", adversary_steps=3, augmentation="crop_flip"),
        Recipe(epochs=2, model="resnet_v1", blocks=1, adversary="pgd", adversary_steps=3, adversary_batchnorm="train"),
        Recipe(epochs=2, model="resnet_v2", blocks=1, head="softmax", precision="bf16-mixed"),
    ],
)
def test_training_and_evaluation_run_there_and_give_the_verdicts_of_the_cpu(digits, recipe, threat):
    model = train(recipe, digits, device="cuda")
    part = digits.test.first(100)
    here = evaluate(model, part, threat=threat)
    there = evaluate(model.cuda(), part, threat=threat, device="cuda")
    for cpu, gpu in zip(here, there, strict=True):
        assert sum(a != b for a, b in zip(cpu.fooled, gpu.fooled, strict=True)) <= 1


def test_a_run_resumes_there(tmp_path, digits):
    recipe = Recipe(epochs=2)

    def stop(event):
        if event["epoch"] == 1:
            raise KeyboardInterrupt

    run = create_run(tmp_path / "run", recipe, facts_of(recipe, digits))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, digits, run=run, device="cuda", progress=stop)
    model = train(recipe, digits, run=run, resume=True, device="cuda")
    assert accuracy(model, digits.test) > 0.5
