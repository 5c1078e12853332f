"""A compiled training reaches the weights of one that is not, to rounding, and compiles no more than it must."""

import json
from pathlib import Path

import pytest
from commands import python

from max_mahalanobis.errors import UserError
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.training import train


@pytest.mark.slow
@pytest.mark.long
def test_compiled_training_reaches_the_weights_of_an_uncompiled_one(tmp_path):
    """Within 1 % of the way the weights went: first weights rounded otherwise come as far apart (0.6 %, trades)."""
    done = python(Path(__file__).with_name("compiled.py"), cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told.pop("graphs") == 2  # the step and the adversary's copy, for batches of 40, 20 and those of validation
    assert told.pop("resumed") == 0
    assert {name: share for name, share in told.items() if not share < 0.01} == {}


def test_compiled_training_without_a_compiler_is_refused(digits, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match="there is no no-such-compiler: install it or do not compile"):
        train(Recipe(epochs=1), digits, device="cpu", compile=True)
