"""Runs a list of command lines in this one process, as `mmc` would, and prints what each did, as JSON.

Reads {"folder": ..., "commands": [[...], ...]} on stdin. Importing torch takes seconds: one process for a whole table.
"""

import contextlib
import hashlib
import io
import json
import os
import sys
import traceback
from pathlib import Path

from max_mahalanobis.cli import main


def snapshot(folder):
    """Every file and folder below `folder`, with a hash of its contents."""
    paths = [path for path in Path(folder).rglob("*") if not path.is_symlink()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "" for path in paths}


def drive(arguments):
    """Exit code, stdout and stderr of one command line."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as stop:
            code = stop.code
        except BaseException:
            traceback.print_exc()
            code = 1
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    os.chdir(asked["folder"])
    results, before = [], snapshot(".")
    for arguments in asked["commands"]:
        result = drive(arguments)
        after = snapshot(".")
        changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
        results.append(result | {"changed": sorted(changed)})
        before = after
    json.dump(results, sys.stdout)
