"""What docs/attacks.md says is there, and costs what it says."""

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from max_mahalanobis.attacks import (
    ATTACKS,
    CORRUPTIONS,
    OBJECTIVES,
    TARGETED_ONLY,
    UNTARGETED_ONLY,
    compose,
    most_passes,
    tries,
)
from max_mahalanobis.evaluation import CHECKS, make_suite
from max_mahalanobis.evaluation.suites import SUITES, UNLIMITED
from max_mahalanobis.threats import Linf

PAGE = (Path(__file__).parents[1] / "docs" / "attacks.md").read_text(encoding="utf-8")
COMPOSITIONS = {
    name
    for module in (compose, tries)
    for name, thing in vars(module).items()
    if callable(thing) and getattr(thing, "__module__", "") == module.__name__ and name[0].islower()
} - {"random_wrong_targets"}


def rows(title: str) -> dict[str, list[str]]:
    """The tables under one title: cells by the name in the first."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
    lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return {cells[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_every_check_has_its_row_with_its_own_words():
    text = (Path(__file__).parents[1] / "docs" / "checks.md").read_text(encoding="utf-8")
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]
    assert {cells[0].strip("`"): cells[2] for cells in lines} == {name: c.__doc__ for name, c in CHECKS.items()}


@pytest.mark.parametrize(
    ("title", "names"),
    [
        ("Attacks", ATTACKS),
        ("Corruptions", CORRUPTIONS),
        ("Compositions", COMPOSITIONS),
        ("Objectives", OBJECTIVES | UNTARGETED_ONLY | TARGETED_ONLY),
        ("Suites", SUITES | UNLIMITED),
    ],
)
def test_everything_has_a_row_and_every_row_a_thing(title, names):
    written = set(rows(title))
    assert not set(names) - written, f"docs/attacks.md lacks rows under '{title}': {sorted(set(names) - written)}"
    assert not written - set(names), f"docs/attacks.md has rows for nothing: {sorted(written - set(names))}"


def test_the_settings_of_spsa_cost_what_their_rows_say():
    found = re.findall(r"--steps (\d+) --samples (\d+).*?\| ([\d,]+) \|", PAGE)
    assert len(found) == 2
    for steps, samples, cost in found:
        attack = partial(ATTACKS["spsa"], threat=Linf(0.1), steps=int(steps), samples=int(samples))
        assert f"{most_passes(attack):,}" == cost


@pytest.mark.parametrize("name", SUITES | UNLIMITED)
def test_every_suite_is_as_large_and_as_dear_as_its_row_says(name):
    suite = make_suite(name, Linf(8 / 255), image_shape=(3, 32, 32))
    cost = sum(most_passes(attack) for attack in suite.attacks.values())
    true = [str(len(suite.attacks)), "yes" if suite.cascade else "no", f"{cost:,}"]
    assert rows("Suites")[name][:3] == true, f"docs/attacks.md: the row of {name} must begin {' | '.join(true)}"


def test_the_commands_name_what_exists():
    suites, attacks, objectives = (
        re.findall(rf"--{option} (\w+)", PAGE) for option in ("suite", "attack", "objective")
    )
    assert suites
    assert set(suites) <= set(SUITES | UNLIMITED)
    assert set(attacks) <= set(ATTACKS)
    assert set(objectives) <= set(OBJECTIVES)


@pytest.mark.examples
def test_the_example_runs():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^worst case \d+ of 20\n243 496$", done.stdout, flags=re.MULTILINE), done.stdout
