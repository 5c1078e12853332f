"""What made a number: the versions of torch and Python and, in a checkout of this package, its commit."""

import platform
import shutil
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

_CHECKOUT = Path(__file__).parents[2]


@cache
def versions() -> dict[str, str]:
    """Versions by name; `commit` only where this package is a git checkout, with a + if files differ from it."""
    found = {"torch": version("torch"), "python": platform.python_version()}
    if (_CHECKOUT / ".git").exists() and shutil.which("git"):
        asked = ["git", "-C", str(_CHECKOUT), "describe", "--always", "--exclude=*", "--abbrev=10", "--dirty=+"]
        said = subprocess.run(asked, capture_output=True, text=True, check=False)
        found |= {"commit": said.stdout.strip()} if said.returncode == 0 else {}
    return found
