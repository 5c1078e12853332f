"""The cache: published files fetched once, checked by hash, resumed where a transfer broke off."""

import contextlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError
from ..files import cache_folder
from .catalogue import PublishedFile, Source
from .hashes import has_hash
from .readers.arrays import one_line

ATTEMPTS = 3
_TIMEOUT = 30  # seconds without a byte
_CHUNK = 1 << 16


def cached_folder(source: Source, *, download: bool, progress: bool) -> Path:
    """The cache's folder with all published files of `source`, their hashes checked; only missing ones are fetched."""
    folder = cache_folder() / source.name
    missing = [file for file in source.layouts[0].files if not has_hash(folder / file.name, file.hash)]
    if missing and not download:
        raise UserError(
            f"{folder / missing[0].name} is missing or damaged: allow the download, set MMC_CACHE to a cache "
            "that has it, or give the folder of your copy with --data-dir"
        )
    if missing and source.archive:
        archive = fetch(source.base_url, source.archive, folder, progress=progress)
        _extract(archive, f"{source.layouts[0].folders[0]}/", missing, folder)
        archive.unlink()
    else:
        for file in missing:
            fetch(source.base_url, file, folder, progress=progress)
    return folder


def fetch(base_url: str, file: PublishedFile, folder: Path, *, progress: bool = False) -> Path:
    """Download one file into `folder` and check its hash; a broken transfer goes on where it stopped, now or next time.

    Raises:
        UserError: in one line, whatever the network, the server or the disk did.
    """
    import pooch
    import urllib3

    pooch.get_logger().setLevel("ERROR")
    resume = _Resume(folder / f"{file.name}.part", progress)
    try:
        return Path(pooch.retrieve(base_url + file.name, file.hash, file.name, folder, downloader=resume))
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:  # requests' errors are OSErrors
        raise UserError(
            f"cannot download {base_url}{file.name} to {folder} ({one_line(error)}): try again, set MMC_CACHE to a "
            "folder you can write to, or give the folder of your own copy with --data-dir"
        ) from error


class _Resume:
    """A downloader for pooch that appends to `part` until it is whole, then puts it where pooch wants it."""

    def __init__(self, part: Path, progress: bool):
        self.part = part
        self.progress = progress

    def __call__(self, url: str, output_file: str, _pooch, check_only: bool = False) -> None:
        """Up to `ATTEMPTS` requests; the last failure is the caller's."""
        import urllib3

        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._request(url)
                break
            except urllib3.exceptions.HTTPError:  # the transfer broke off; the part stays
                if attempt == ATTEMPTS:
                    raise
        os.replace(self.part, output_file)

    def _request(self, url: str) -> None:
        """Ask for the bytes that are missing; a server that sends all of them (200, not 206) starts the part anew."""
        import requests

        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if have and response.status_code == requests.codes.requested_range_not_satisfiable:
                return  # nothing is missing; the hash will tell
            response.raise_for_status()
            resumed = response.status_code == requests.codes.partial_content
            chunks = response.raw.stream(_CHUNK, decode_content=False)
            total = int(response.headers.get("Content-Length", 0))
            with open(self.part, "ab" if resumed else "wb") as file:
                for chunk in _shown(chunks, self.part.stem, total) if self.progress else chunks:
                    file.write(chunk)


def _shown(chunks: Iterator[bytes], name: str, total: int) -> Iterator[bytes]:
    """The same chunks, with a bar on standard error."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total or None)
        for chunk in chunks:
            yield chunk
            bar.advance(task, len(chunk))


def _extract(archive: Path, prefix: str, files: list[PublishedFile], folder: Path) -> None:
    """Only the named members, written under our own names: an archive cannot choose where its files go."""
    try:
        with tarfile.open(archive) as tar:
            for file in files:
                member = tar.extractfile(prefix + file.name)
                part = folder / f"{file.name}.part"
                with contextlib.closing(member):
                    part.write_bytes(member.read())
                os.replace(part, folder / file.name)
    except (KeyError, AttributeError, tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"cannot unpack {archive} ({error}): delete it and try again") from error
