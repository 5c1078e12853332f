"""The command line: `mmc`, then train, evaluate, sweep, ... (`options.COMMANDS` has them all).

Results go to stdout, progress to stderr. Exit codes: 0 done, 1 failed (training diverged, cells of a sweep
failed, an internal error), 2 something the user can put right, 130 Ctrl-C, 141 the reader of stdout left, 143 SIGTERM.
"""

import contextlib
import os
import signal
import sys

from .errors import AttackCheated, TrainingDiverged, UserError


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        code = _run(arguments)
        sys.stdout.flush()  # here, where a full disk or a reader that left gets its line and its code
        sys.exit(code)
    except UserError as error:
        _fail(error, 2)
    except BrokenPipeError:
        _silence_stdout()
        sys.exit(141)
    except OSError as error:
        _silence_stdout()
        _fail(f"{error.filename or 'cannot write the output'}: {error.strerror or error}", 2)
    except (TrainingDiverged, AttackCheated) as error:
        _fail(error, 1)
    except KeyboardInterrupt:
        _fail("stopped by Ctrl-C", 130)


def _run(arguments: list[str]) -> int:
    if arguments in (["--version"], ["-V"]):
        from . import __version__

        print(f"mmc {__version__}")
        return 0
    from .parser import parse

    command = parse(arguments)
    from .commands import COMMANDS  # after the parser: help needs none of what the commands import

    return COMMANDS[type(command)](command) or 0


def _silence_stdout() -> None:
    """What is still to be written would fail again when Python exits, with a traceback."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: object, code: int) -> None:
    print(f"mmc: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(code)
