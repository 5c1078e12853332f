"""Numbers in words: what the rows say, how sure they are, what they do not settle."""

from .fixed import SATURATED, UNEXPLAINED, UNEXPLAINED_IN_CASCADE
from .overall import alarms, findings, take_away
from .words import Sentence

__all__ = ["SATURATED", "UNEXPLAINED", "UNEXPLAINED_IN_CASCADE", "Sentence", "alarms", "findings", "take_away"]
