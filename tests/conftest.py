"""Shapes and types in signatures are checked while the tests run; heavy helpers are shared here."""

import os
from pathlib import Path

from jaxtyping import install_import_hook

NUMERIC = (
    "attacks",
    "centers",
    "density",
    "draws",
    "evaluation",
    "heads",
    "interop",
    "losses",
    "models",
    "threats",
    "training",
    "types",
)
hook = install_import_hook([f"max_mahalanobis.{room}" for room in NUMERIC], "beartype.beartype")
hook.__enter__()

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)  # tensors here are tiny: a second thread waits more than it works


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the published data files, where there is one."""
    here = Path(os.environ.get("MMC_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not here.is_dir():
        pytest.skip(f"no published data files at {here} (set MMC_TEST_DATA)")
    return here


@pytest.fixture(scope="session")
def digits():
    """The 1,797 real digits."""
    from max_mahalanobis.data import load_dataset

    return load_dataset("digits")


@pytest.fixture(scope="session")
def digits_mmc(digits):
    """A small MMC classifier of digits, trained for a few seconds; do not change it."""
    from max_mahalanobis import Recipe, train

    return train(Recipe(epochs=15), digits, device="cpu")
