"""Numbers in words: what the rows say, how sure they are, what they do not settle."""

from .audited import VerdictText, verdicts_on
from .classes import class_sentences
from .fixed import SATURATED, UNEXPLAINED, UNEXPLAINED_IN_CASCADE
from .overall import alarms, findings, take_away
from .words import Sentence

__all__ = [
    "SATURATED",
    "UNEXPLAINED",
    "UNEXPLAINED_IN_CASCADE",
    "Sentence",
    "VerdictText",
    "alarms",
    "class_sentences",
    "findings",
    "take_away",
    "verdicts_on",
]
