"""SIGTERM and Ctrl-C wait for the end of a step, so that what was learned is saved before the process ends."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interruption:
    """Whether the process was asked to stop, and by what."""

    def __init__(self):
        self.signal: int | None = None

    def ask(self, number: int, frame: object = None) -> None:
        """A handler of signals: the first is kept for the end of the step, a second one stops at once."""
        if self.signal is not None:
            self.stop()
        self.signal = number

    def stop(self) -> None:
        """End the way the signal would have: KeyboardInterrupt for Ctrl-C, exit code 143 for SIGTERM."""
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(143)


@contextmanager
def interruptible(interruption: Interruption, *, active: bool = True) -> Iterator[None]:
    """Within, signals wait to be looked at; afterwards the handlers are as before. In a thread nothing changes."""
    if not active or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interruption.ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
