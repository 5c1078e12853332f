"""Files that are written whole or not at all, and text that is read line by line."""

import contextlib
import io
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .errors import UserError


def cache_folder() -> Path:
    """Where downloads, and what took long to compute, are kept: `MMC_CACHE`, or the user's cache folder."""
    import pooch

    return Path(os.environ.get("MMC_CACHE") or pooch.os_cache("max_mahalanobis")).expanduser()


def write_atomically(path: Path, contents: bytes) -> None:
    """Either the whole new file or the old one, whatever happens in between.

    Raises:
        UserError: the disk is full, or the place cannot be written to.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(unfinished, "wb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UserError(
                f"cannot write {path} ({error.strerror}): make room there, or choose another place"
            ) from error
        raise


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Add lines at the end of a text file, on disk before this returns: all of them, or (a full disk) none."""
    text = "".join(line + "\n" for line in lines).encode()
    try:
        with open(path, "ab+", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            torn = end > 0 and os.pread(file.fileno(), 1, end - 1) != b"\n"  # a crash left a line without its end
            try:
                _write_all(file, b"\n" + text if torn else text)
            except BaseException:
                file.truncate(end)
                raise
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}): make room there, or choose another place") from error


def read_lines(path: Path, parse: Callable[[str], Any]) -> list:
    """What `parse` makes of each line of a text file; a line it cannot read is named, with the remedy."""
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not text ({error}): give a run folder or a .jsonl of result rows") from error
    return [_parse_line(path, number, line, parse) for number, line in enumerate(lines, 1) if line.strip()]


def _parse_line(path: Path, number: int, line: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(line)
    except UserError as error:
        raise UserError(f"{path} line {number}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} line {number} is damaged ({error}): delete that line or make the file anew") from error


def _write_all(file: io.FileIO, contents: bytes) -> None:
    while contents:
        contents = contents[file.write(contents) :]
    os.fsync(file.fileno())
