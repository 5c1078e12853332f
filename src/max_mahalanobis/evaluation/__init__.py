"""Honest numbers: attack, verify, record."""

from .passes import PassCounter
from .pictures import collect_pictures
from .recorded import evaluate_run
from .robustness import data_hash, evaluate, weights_hash
from .suites import SUITES, describe, make_suite

__all__ = [
    "SUITES",
    "PassCounter",
    "collect_pictures",
    "data_hash",
    "describe",
    "evaluate",
    "evaluate_run",
    "make_suite",
    "weights_hash",
]
