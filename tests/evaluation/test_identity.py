"""What settings of an attack are recorded: all of them, also where an attack is made of attacks."""

from functools import partial

import pytest

from max_mahalanobis.attacks import apgd, every_target, nearest_targets, pgd, restarts
from max_mahalanobis.evaluation.identity import describe
from max_mahalanobis.evaluation.journal import key_of
from max_mahalanobis.threats import Linf

PGD = partial(pgd, threat=Linf(0.1))


def scouted(steps):
    return partial(nearest_targets, PGD, scout=partial(PGD, steps=steps), top=2)


CLASHES = {
    "times": lambda inner: partial(restarts, partial(restarts, PGD, times=inner), times=9),
    "top": lambda inner: partial(every_target, partial(every_target, PGD, top=inner), top=9),
    "scout": lambda inner: partial(nearest_targets, scouted(inner), scout=partial(PGD, steps=9), top=2),
    "deeper": lambda inner: partial(restarts, CLASHES["times"](inner), times=8),
    "an own restarts": lambda inner: partial(
        restarts, partial(every_target, partial(restarts, PGD, times=inner)), times=9
    ),
}


@pytest.mark.parametrize("name", CLASHES)
@pytest.mark.parametrize("leave_out", [(), ("threat",)])
def test_attacks_that_differ_only_in_an_inner_setting_have_different_keys(name, leave_out):
    keys = {key_of(attack=describe(CLASHES[name](inner), leave_out=leave_out)) for inner in (1, 2, 9)}
    assert len(keys) == 3


def test_where_nothing_clashes_the_settings_of_both_stand_side_by_side():
    made = describe(partial(every_target, partial(apgd, threat=Linf(0.1), steps=7), top=3))
    assert (made["steps"], made["top"]) == (7, 3)
    assert made["composed"] == ["every_target"]
    assert "inner" not in made


def test_where_names_clash_the_outer_stands_there_and_the_inner_under_inner():
    made = describe(CLASHES["times"](2))
    assert (made["times"], made["inner"]["times"], made["composed"]) == (9, 2, ["restarts", "restarts"])
