"""Honest numbers: attack, verify, record."""

from .audits import Audit, audit
from .checks import CHECKS, Evidence, Finding
from .identity import data_hash, describe, weights_hash
from .journal import Journal
from .passes import PassCounter
from .pictures import collect_pictures
from .recorded import evaluate_run
from .robustness import evaluate
from .sharing import evaluate_shared
from .single import single_attack
from .suites import SUITES, UNLIMITED, Suite, make_suite
from .verdict import Thresholds, Verdict

__all__ = [
    "CHECKS",
    "SUITES",
    "UNLIMITED",
    "Audit",
    "Evidence",
    "Finding",
    "Journal",
    "PassCounter",
    "Suite",
    "Thresholds",
    "Verdict",
    "audit",
    "collect_pictures",
    "data_hash",
    "describe",
    "evaluate",
    "evaluate_run",
    "evaluate_shared",
    "make_suite",
    "single_attack",
    "weights_hash",
]
