"""Which attack broke which images: every fallen image counted once, by the first attack that fooled it."""

from collections.abc import Sequence
from typing import NamedTuple

from ..results import AttackResult, is_cascade


class Share(NamedTuple):
    """What one attack adds to those before it: the images it was tried on, those it adds, and those left after it."""

    attack: str
    met: int
    fell: int
    left: int


def union(rows: Sequence[AttackResult]) -> list[Share]:
    """In a cascade in its order; else greedily, each time the attack that adds most (of equals the earlier).

    Images wrong when clean are nobody's. Rows of one attack (several seeds) count as one. `fell` adds up to the images
    right when clean that do not hold in the worst case.
    """
    names = list(dict.fromkeys(row.attack for row in rows))
    broke = {name: _images(rows, name, "fooled") & _right(rows) for name in names}
    held, shares = _right(rows), []
    while names:
        name = names[0] if is_cascade(rows) else max(names, key=lambda name: len(broke[name] & held))
        names.remove(name)
        left = held - broke[name]
        shares.append(Share(name, len(_images(rows, name, "attempted")), len(held) - len(left), len(left)))
        held = left
    return shares


def _right(rows: Sequence[AttackResult]) -> set[int]:
    return {place for place, right in enumerate(rows[0].correct) if right}


def _images(rows: Sequence[AttackResult], attack: str, flags: str) -> set[int]:
    """Positions at which any row of the attack has the flag."""
    return {place for row in rows if row.attack == attack for place, flag in enumerate(getattr(row, flags)) if flag}
