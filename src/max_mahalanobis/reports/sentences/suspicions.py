"""What is suspicious about a model's output, whatever the attacks say."""

from collections.abc import Sequence

from ...results import SIGNS
from ..conditions import condition_of
from ..reading import RunRecord
from .words import Sentence

COUNTED = "non-finite logits"  # the sign that rows also count


def suspicions(runs: Sequence[RunRecord]) -> list[Sentence]:
    """For each run a warning per distinct sign, and the most images on which its logits were not finite."""
    return [Sentence(f"{run.name}: {text}.", warns=True) for run in runs for text in (*_signs(run), *_non_finite(run))]


def _signs(run: RunRecord) -> list[str]:
    signs = dict.fromkeys(sign for row in run.results for sign in row.signs)
    if _non_finite(run):
        signs.pop(COUNTED, None)
    return [SIGNS.get(sign, sign) for sign in signs]


def _non_finite(run: RunRecord) -> list[str]:
    row = max(run.results, key=lambda row: row.non_finite, default=None)
    if row is None or row.non_finite == 0:
        return []
    where = f"{row.attack}, {condition_of(row).budget}, suite {row.suite}"
    they = "it counts" if row.non_finite == 1 else "they count"
    images = f"NaN or infinite logits on {row.non_finite} of {row.num_images} images ({where})"
    return [f"{images}: {they} as fooled, never as robust; check the model's numerics"]
