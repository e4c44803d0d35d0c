"""Restoring of an archive's directory, all of it or selected files, and verification without writing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from os import fsdecode, fsencode
from pathlib import Path

import torch

from acncodec.archive.atomic import DirectoryWriter
from acncodec.block.directory import Entry
from acncodec.block.estimate import Estimated
from acncodec.errors import DamagedError, ExactnessError, InputError
from acncodec.images.escapes import unescape
from acncodec.progress import Advance, Progress
from acncodec.reading.estimate import estimate
from acncodec.reading.parts import Parts
from acncodec.reading.reader import Archive

Files = Iterator[tuple[bytes, Iterator[bytes]]]


@dataclass
class Outcome:
    """Number of files restored, and those lost with the reason: only with `keep_going`."""

    files: int = 0
    lost: list[tuple[bytes, str]] = field(default_factory=list)


def decompress(
    archive: Parts,
    target: Path,
    *,
    patterns: tuple[str, ...] = (),
    keep_going: bool = False,
    overwrite: bool = False,
    progress: Progress,
    estimated: Estimated | None = None,
) -> Outcome:
    """Restore files of an archive into `target`: those that `patterns` select, or all, empty directories included.

    A pattern is a path, a directory, or a glob in which * also matches /, as `images.escapes` writes names.
    Every file is decoded and checked before the first appears in `target`. With `keep_going` damage costs only the images
    of its block. `estimated`, if given, is called before long work with how long it will take. Raises InputError,
    OutputError, DamagedError, UnsupportedError, ExactnessError.
    """
    outcome = Outcome()
    patterns = tuple(map(normalised, patterns))
    wanted = _selected(archive, patterns) if patterns else None
    with DirectoryWriter(target, overwrite) as writer:
        for part, found in _files(archive, wanted, keep_going, outcome, progress, estimated):
            for name, pieces in found:
                writer.add(name, pieces)
            for name in part.directory.empty:
                if not patterns or any(matches(name, pattern) for pattern in patterns):
                    writer.add_directory(name)
    return outcome


def check(archive: Parts, *, keep_going: bool = False, progress: Progress, estimated: Estimated | None = None) -> Outcome:
    """Decode everything and check every hash, writing nothing. `estimated` and errors are as in `decompress`."""
    outcome = Outcome()
    for _, found in _files(archive, None, keep_going, outcome, progress, estimated):
        for _, pieces in found:
            for _ in pieces:
                pass
    return outcome


def verifier(models: list[Path], device: torch.device, progress: Progress) -> Callable[[Path], None]:
    """A check of a new archive: decodes all of it from disk, with models found as any reader finds them.

    The check raises ExactnessError if that fails.
    """

    def verify(path: Path) -> None:
        try:
            with Parts(path, models, device) as opened:
                check(opened, progress=progress)
        except DamagedError as error:
            raise ExactnessError(
                f"the new archive did not decode to what was compressed, and was removed: {error}; run 'acncodec selftest'"
            ) from error

    return verify


def _files(
    archive: Parts,
    wanted: dict[int, list[Entry]] | None,
    keep_going: bool,
    outcome: Outcome,
    progress: Progress,
    estimated: Estimated | None,
) -> Iterator[tuple[Archive, Files]]:
    """Each part, and the names and bytes in pieces of the files in it: those `wanted`, by part, or all.

    If all files are wanted, each part must have the manifest's sha256.
    """
    total = archive.files() if wanted is None else sum(map(len, wanted.values()))
    advance = progress("decode", total)
    for number in range(len(archive)) if wanted is None else sorted(wanted):
        try:
            if wanted is None and not keep_going:
                archive.check(number)
            opened = archive.open(number)
        except (DamagedError, InputError) as error:
            if archive.manifest is None or not keep_going:
                raise
            outcome.lost.append((archive.name(number).encode(), str(error)))
            continue
        with opened as part:
            try:
                entries = part.entries if wanted is None else wanted[number]
            except DamagedError as error:
                if archive.manifest is None or not keep_going:
                    raise
                outcome.lost.append((archive.name(number).encode(), str(error)))
                continue
            if estimated is not None and entries:
                found = estimate(part, entries, total / len(entries))
                if found is not None:
                    estimated(found)
                estimated = None  # the first part stands for the others
            yield part, _decoded(part, entries, keep_going, outcome, advance)


def _decoded(part: Archive, entries: list[Entry], keep_going: bool, outcome: Outcome, advance: Advance) -> Files:
    def lost(entry: Entry, error: DamagedError) -> None:
        outcome.lost.append((entry.name, str(error)))

    for name, pieces in part.files(entries, advance, lost if keep_going else None):
        outcome.files += 1
        yield name, pieces


def _selected(archive: Parts, patterns: tuple[str, ...]) -> dict[int, list[Entry]]:
    """Those entries of each part that any of `patterns` names. Raises InputError for a pattern that names nothing."""
    chosen: dict[int, list[Entry]] = {}
    left = set(patterns)
    for number in archive.holding(patterns):
        with archive.open(number) as part:
            for pattern in patterns:
                found = matching(part.entries, pattern)
                if found or any(matches(name, pattern) for name in part.directory.empty):
                    left.discard(pattern)
                    chosen.setdefault(number, []).extend(found)
    for pattern in patterns:
        if pattern in left:
            raise InputError(f"nothing in the archive matches '{pattern}'; 'acncodec list' shows what there is")
    return {
        number: sorted({entry.name: entry for entry in found}.values(), key=lambda entry: entry.name)
        for number, found in chosen.items()
    }


def matching(entries: list[Entry], pattern: str) -> list[Entry]:
    """The entries that a pattern names: a path, a directory, or a glob in which * also matches /."""
    return [entry for entry in entries if matches(entry.name, pattern)]


def matches(name: bytes, pattern: str) -> bool:
    """Whether a pattern names the file or directory of that path, or a directory that holds it."""
    raw = fsencode(pattern)
    return name == raw or name.startswith(raw + b"/") or fnmatchcase(name, raw)


def normalised(pattern: str) -> str:
    """A pattern without escapes, empty components and dots that stand for the directory itself."""
    parts = [part for part in unescape(fsencode(pattern)).split(b"/") if part not in (b"", b".")]
    return fsdecode(b"/".join(parts) or b"*")
