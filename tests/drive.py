"""Runs command lines in this one process, as `mmc` would, and tells what each did.

Reads lines {"folder": ..., "commands": [[...], ...]} on stdin and answers each with a line of JSON. Importing torch
takes seconds: one process for all tables. A command that begins with "full disk after N" finds that no file can grow
beyond N bytes.
"""

import contextlib
import functools
import hashlib
import io
import json
import os
import resource
import sys
import traceback
from pathlib import Path

from max_mahalanobis.cli import main


def snapshot():
    """Every file and folder below the current one, with a hash of its contents."""
    return {str(path): _hash(path.resolve(), path.stat().st_mtime_ns) for path in Path().rglob("*")}


@functools.cache
def _hash(path, _modified):
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


@contextlib.contextmanager
def disk(limit):
    """Files cannot grow beyond `limit` bytes: writing more raises OSError (Python ignores SIGXFSZ)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def drive(arguments):
    """Exit code, stdout and stderr of one command line."""
    limit = resource.RLIM_INFINITY
    if arguments and arguments[0].startswith("full disk after "):
        limit, arguments = int(arguments[0].split()[-1]), arguments[1:]
    out, err, code = io.StringIO(), io.StringIO(), None
    with disk(limit), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as stop:
            code = stop.code
        except BaseException:
            traceback.print_exc()
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def drive_all(commands):
    """What each did, and which files below the current folder it made, changed or removed."""
    results, before = [], snapshot()
    for arguments in commands:
        result, after = drive(arguments), snapshot()
        changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
        results.append(result | {"changed": sorted(changed)})
        before = after
    return results


if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        os.chdir(asked["folder"])
        os.environ["MMC_CACHE"] = str(Path(asked["folder"]) / "cache")
        print(json.dumps(drive_all(asked["commands"])), flush=True)
