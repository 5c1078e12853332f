import pytest

from max_mahalanobis.errors import UserError
from max_mahalanobis.experiments.sweeps import read_grid
from max_mahalanobis.threats import Linf

HEADS = "[axes.head]\nSCE = { head = 'softmax' }\nMMC = { head = 'mmc' }\n"


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "grid.toml").write_text(text)
        return read_grid(tmp_path / "grid.toml")

    return read


def test_cells_are_the_product_of_axes_and_seeds_all_of_one_seed_first(read):
    grid = read(f"seeds = [0, 7]\n{HEADS}[axes.length]\n'norm 1, or not' = {{}}\nb = {{ epochs = 3 }}\n")
    names = ["SCE-norm-1-or-not", "SCE-b", "MMC-norm-1-or-not", "MMC-b"]
    assert [cell.name for cell in grid.cells] == [f"{name}-{seed}" for seed in (0, 7) for name in names]
    last = grid.cells[-1]
    assert last.choices == {"head": "MMC", "length": "b"}
    assert (last.recipe.head, last.recipe.epochs, last.recipe.seed, last.recipe.learning_rate) == ("mmc", 3, 7, 0.001)


def test_an_axis_replaces_what_all_share_and_numbers_may_be_fractions(read):
    axis = "[axes.epochs]\nfew = { epochs = 2 }\nmany = {}\n"
    grid = read(f"[recipe]\nepochs = 5\neps = '8/255'\n{axis}[evaluate]\neps = ['1/10']\n")
    assert [cell.recipe.epochs for cell in grid.cells] == [2, 5]
    assert [cell.seed for cell in grid.cells] == [0, 0]
    assert grid.cells[0].recipe.eps == 8 / 255
    assert grid.evaluation.threats(grid.cells[0].recipe) == [Linf(0.1)]


def test_budgets_left_open_are_the_usual_ones_of_the_data(read):
    grid = read(HEADS)
    assert grid.evaluation.suites == ("quick",)
    assert [threat.eps for threat in grid.evaluation.threats(grid.cells[0].recipe)] == [0.1]


def test_an_impossible_recipe_is_refused_only_when_it_is_asked_for(read):
    grid = read("[axes.head]\nSCE = { head = 'softmax', margin = 0.5 }\n")
    with pytest.raises(UserError, match="margin 0.5 is no setting of head softmax"):
        _ = grid.cells[0].recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[axes.a]\nx = {}\n'x,' = {}\n", "x, and x,, would both be x-0: rename one"),
        ("[axes.a]\nx = {}\nX = {}\n", "x, and X, would both be X-0: rename one"),
        ("[axes.a]\nx = {}\n'x y' = {}\n[axes.b]\n'y z' = {}\nz = {}\n", "x and y z, and x y and z, would both be"),
        ("[axes.a]\n'...' = {}\n", "'...' names no folder: use letters or digits"),
        (f"seeds = [1.5]\n{HEADS}", r"seeds \[1.5\] must be a list of whole numbers, at least one"),
        (f"seeds = []\n{HEADS}", r"seeds \[\] must be a list of whole numbers, at least one"),
        (f"seeds = [true]\n{HEADS}", r"seeds \[True\] must be a list"),
        (f"seeds = [-1]\n{HEADS}", "seed -1 must lie in"),
        (f"recipe = 3\n{HEADS}", r"\[recipe\] is 3: it must be a table"),
        ("[axes]\nhead = 'mmc'\n", r"\[axes.head\] is 'mmc': it must be a table"),
        ("[axes.a]\nx = 'mmc'\n", r"\[axes.a\] x is 'mmc': it must be a table"),
        ("[axes.a]\nx = { norm = 'long' }\n", "norm 'long' is no number: write it as 0.1 or \"8/255\""),
        ("[axes.a]\nx = { norm = '1/0' }\n", "norm '1/0' is no number"),
        (f"{HEADS}[evaluate]\neps = 0.1\n", "eps 0.1 must be a list of numbers or words, at least of one"),
        (f"{HEADS}[evaluate]\neps = [true]\n", 'eps True must be numbers, or text as "8/255"'),
        (f"{HEADS}[evaluate]\neps = [8]\n", "eps 8 must be at most 1"),
        (f"{HEADS}[evaluate]\nimages = '9'\n", "images '9' must be int"),
        (f"{HEADS}[evaluate]\nthreat = 'l0'\n", "'l0': choose from linf, l2, l1"),
        (f"{HEADS}[evaluate]\nbatch_size = 0\n", "batch_size 0 must be at least 1"),
    ],
)
def test_what_cannot_be_a_grid_is_refused_with_its_place(read, text, message):
    with pytest.raises(UserError, match=message):
        read(text)
