"""One file in, directory out: all of it or a part; and the same without writing anything, as a test."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from os import fsencode
from pathlib import Path

import torch

from acncodec.archive.atomic import DirectoryWriter
from acncodec.codec.directory import Entry
from acncodec.codec.progress import Progress
from acncodec.codec.reader import Archive
from acncodec.errors import DamagedError, ExactnessError, InputError


@dataclass
class Outcome:
    """How many files came back, and which did not, with the reason: only where the caller asked to go on past damage."""

    files: int = 0
    lost: list[tuple[bytes, str]] = field(default_factory=list)


def decompress(
    archive: Archive,
    target: Path,
    *,
    patterns: tuple[str, ...] = (),
    keep_going: bool = False,
    overwrite: bool = False,
    progress: Progress,
) -> Outcome:
    """Restore files of an archive into `target`: those that `patterns` select, or all, empty directories included.

    Every file is decoded and checked before the first appears in `target`. With `keep_going` damage costs only the images
    of its block. Raises InputError, OutputError, DamagedError, UnsupportedError, ExactnessError.
    """
    wanted = select(archive.entries, patterns)
    outcome = Outcome()
    with DirectoryWriter(target, overwrite) as writer:
        for name, data in _files(archive, wanted, keep_going, outcome, progress):
            writer.add(name, data)
        if not patterns:
            for name in archive.directory.empty:
                writer.add_directory(name)
    return outcome


def check(archive: Archive, *, keep_going: bool = False, progress: Progress) -> Outcome:
    """Decode everything and check every hash, writing nothing. Raises as `decompress`."""
    outcome = Outcome()
    for _ in _files(archive, archive.entries, keep_going, outcome, progress):
        pass
    return outcome


def verifier(models: list[Path], device: torch.device, progress: Progress) -> Callable[[Path], None]:
    """What makes sure of a new archive: reads it from the disk and decodes all of it, looking for models as a reader does.

    It raises ExactnessError if that fails.
    """

    def verify(path: Path) -> None:
        try:
            with Archive(path, models, device) as opened:
                check(opened, progress=progress)
        except DamagedError as error:
            raise ExactnessError(
                f"the new archive did not decode to what was compressed, and was removed: {error}; run 'acncodec selftest'"
            ) from error

    return verify


def _files(
    archive: Archive, wanted: list[Entry], keep_going: bool, outcome: Outcome, progress: Progress
) -> Iterator[tuple[bytes, bytes]]:
    def lost(entry: Entry, error: DamagedError) -> None:
        outcome.lost.append((entry.name, str(error)))

    advance = progress("decode", len(wanted))
    for name, data in archive.files(wanted, lost=lost if keep_going else None):
        outcome.files += 1
        advance(1)
        yield name, data


def select(entries: list[Entry], patterns: tuple[str, ...]) -> list[Entry]:
    """The entries that any of `patterns` names: a path, a directory, or a glob in which * also matches /. None: all.

    Raises InputError for a pattern that matches nothing.
    """
    if not patterns:
        return entries
    chosen: dict[bytes, Entry] = {}
    for pattern in patterns:
        raw = fsencode(pattern).rstrip(b"/")
        found = [e for e in entries if e.name == raw or e.name.startswith(raw + b"/") or fnmatchcase(e.name, raw)]
        if not found:
            raise InputError(f"nothing in the archive matches '{pattern}'; 'acncodec list' shows what there is")
        chosen.update((entry.name, entry) for entry in found)
    return sorted(chosen.values(), key=lambda entry: entry.name)
