import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # made.py: synthetic runs

from made import make_run, make_trained_run


@pytest.fixture
def mmc():
    """A run whose cross-entropy number is 87.5 % and whose worst adaptive objective leaves 50.5 %."""
    return make_run()


@pytest.fixture
def sce_at():
    return make_trained_run()
