import pytest
import torch

from max_mahalanobis.data import Batch, augment, prepare
from max_mahalanobis.data.augmentation import cutout, mixup, random_operations
from max_mahalanobis.draws import derive
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.types import Split

SPLIT = Split(
    torch.randint(0, 256, (30, 3, 12, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)),
    torch.arange(30) % 7,
    torch.arange(30) * 2,
)
ROWS = torch.tensor([3, 28, 3, 0, 17, 9])
SEEDS = derive(5, 2, torch.arange(6))
RECIPES = {
    "none": Recipe(),
    "crop": Recipe(augmentation="crop"),
    "operations": Recipe(random_operations=2),
    "cutout": Recipe(cutout=4, augmentation="shift_flip"),
    "mixup": Recipe(mix="mixup", augmentation="crop_flip", mix_alpha=0.4),
    "cutmix": Recipe(mix="cutmix", cutout=3),
    "everything": Recipe(mix="cutmix", mix_alpha=0.7, augmentation="crop_flip", random_operations=3, cutout=5),
}


@pytest.fixture(params=RECIPES)
def recipe(request):
    return RECIPES[request.param]


@pytest.mark.parametrize("kind", ["none", "shift", "shift_flip", "crop_flip"])
def test_what_recipes_asked_for_before_is_what_they_get(kind):
    batch = prepare(SPLIT, ROWS, SEEDS, Recipe(augmentation=kind))
    assert torch.equal(batch.x, augment(SPLIT.images[ROWS], SEEDS, kind=kind))
    assert torch.equal(batch.labels, SPLIT.labels[ROWS])
    assert batch.other_labels is batch.shares is None


def test_images_are_floats_in_the_unit_interval_and_the_split_is_untouched(recipe):
    before = SPLIT.images.clone()
    x = prepare(SPLIT, ROWS, SEEDS, recipe).x
    assert x.shape == (6, 3, 12, 10)
    assert x.dtype == torch.float32
    assert 0 <= x.min() <= x.max() <= 1
    assert torch.equal(SPLIT.images, before)


def test_nothing_depends_on_the_batch(recipe):
    together = prepare(SPLIT, ROWS, SEEDS, recipe)
    for i in range(6):
        alone = prepare(SPLIT, ROWS[i : i + 1], SEEDS[i : i + 1], recipe)
        for one, all_of_them in zip(alone, together, strict=True):
            assert (one is None) == (all_of_them is None)
            assert one is None or torch.equal(one[0], all_of_them[i])


def test_splits_of_floats_give_the_same_batch(recipe):
    floats = Split(SPLIT.images / 255, SPLIT.labels, SPLIT.index)
    torch.testing.assert_close(prepare(floats, ROWS, SEEDS, recipe).x, prepare(SPLIT, ROWS, SEEDS, recipe).x)


def test_operations_come_after_the_augmentation_and_cutout_after_them():
    recipe = Recipe(augmentation="crop_flip", random_operations=2, cutout=5)
    x = augment(SPLIT.images[ROWS], SEEDS, kind="crop_flip")
    x = cutout(random_operations(x, SEEDS, count=2), SEEDS, side=5)
    assert torch.equal(prepare(SPLIT, ROWS, SEEDS, recipe).x, x)


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_a_mixed_image_is_made_of_its_own_and_of_another_image_of_the_split(mix):
    images = torch.zeros(30, 1, 8, 8)
    images[1] = 1
    split = Split(images, torch.arange(30), torch.arange(30))
    rows = torch.full((2000,), 1)
    batch = prepare(split, rows, torch.arange(2000), Recipe(mix=mix))
    torch.testing.assert_close(batch.x.mean(dim=(1, 2, 3)), batch.shares)
    assert (batch.labels == 1).all()
    assert set(batch.other_labels.tolist()) == set(range(30)) - {1}
    assert (batch.shares >= 0.5).all()


def test_the_partner_is_augmented_too_by_draws_of_its_own():
    images = torch.rand(1, 1, 12, 12).repeat(2, 1, 1, 1)
    split = Split(images, torch.arange(2), torch.arange(2))
    rows, seeds = torch.zeros(50, dtype=torch.int64), torch.arange(50)
    batch = prepare(split, rows, seeds, Recipe(mix="mixup", augmentation="crop_flip"))
    own = augment(images[rows], seeds, kind="crop_flip")
    other = (batch.x - batch.shares[:, None, None, None] * own) / (1 - batch.shares[:, None, None, None])
    assert (other - own).abs().amax(dim=(1, 2, 3)).median() > 0.1
    assert (other - images[:1]).abs().amax(dim=(1, 2, 3)).median() > 0.1
    torch.testing.assert_close(mixup(own, other, batch.shares), batch.x, rtol=0, atol=1e-4)


def test_a_batch_without_mixing_needs_two_parts_alone():
    batch = Batch(torch.zeros(1, 1, 2, 2), torch.zeros(1))
    assert batch.shares is None
