"""Finding a published set in a folder of the user's, which is only ever read."""

from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError
from .catalogue import SOURCES, Layout, Source
from .hashes import has_hash


def find(source: Source, data_dir: Path) -> tuple[Layout, Path]:
    """The layout `data_dir` has and the folder its files are in: a sub-folder of a usual name, or `data_dir` itself."""
    if not data_dir.is_dir():
        raise UserError(f"data folder {data_dir} does not exist: check the path")
    best, least = None, None
    for layout, folder in _candidates(source, data_dir):
        missing = [file.name for file in layout.files if not (folder / file.name).is_file()]
        if not missing:
            return layout, folder
        if len(missing) < len(layout.files) and (least is None or len(missing) < least):
            best, least = folder / missing[0], len(missing)
    if best:
        raise UserError(f"{best} is missing: a folder of {source.name} holds all its files, training and test")
    raise UserError(f"{data_dir} does not hold {source.name}: looked for {_looked_for(source)}, there and below")


def differing(source: Source, layout: Layout, folder: Path) -> list[str]:
    """Names of the files that are not the published ones; files of another published set are refused."""
    names = [file.name for file in layout.files if not has_hash(folder / file.name, file.hash)]
    for other in SOURCES.values():
        if other.name != source.name:
            _refuse_files_of(other, source, names, folder)
    return names


def _refuse_files_of(other: Source, source: Source, names: list[str], folder: Path) -> None:
    for file in (file for layout in other.layouts for file in layout.files if file.name in names):
        if has_hash(folder / file.name, file.hash):
            raise UserError(f"{folder / file.name} belongs to {other.name}, not {source.name}: check the folder")


def _candidates(source: Source, data_dir: Path) -> Iterator[tuple[Layout, Path]]:
    """The folder named after the set comes first: files of MNIST and Fashion-MNIST have the same names."""
    for layout in source.layouts:
        for folder in (source.name, *(f"{source.name}/{name}" for name in layout.folders), *layout.folders, "."):
            yield layout, data_dir / folder


def _looked_for(source: Source) -> str:
    looks = [f"{source.name}/{source.layouts[0].files[0].name}"]
    looks += [f"{folder}/{layout.files[0].name}" for layout in source.layouts for folder in layout.folders]
    return ", ".join(looks)
