"""Command lines in other processes: without the shape checks of the tests, as users run them."""

import atexit
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def python(*arguments, cwd, timeout=60):
    """A Python process that has ended."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def drive(folder, commands):
    """What each of the commands did in `folder`: code, out, err, changed (see drive.py)."""
    driver = _driver()
    driver.stdin.write(json.dumps({"folder": str(folder), "commands": commands}) + "\n")
    driver.stdin.flush()
    return json.loads(driver.stdout.readline())


@functools.cache
def _driver():
    """One process for all tests of the session; its stderr is the tests' own."""
    driver = subprocess.Popen(
        [sys.executable, HERE / "drive.py"], env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(driver.communicate)
    return driver
