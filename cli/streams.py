"""Archives that come from standard input or go to standard output: `-` in the place of a path."""

import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from .console import detail

if TYPE_CHECKING:
    from acncodec.archive.remote import Location

STREAM = Path("-")


class Droppable(io.TextIOBase):
    """A text stream that drops what cannot be written, so that no command fails for its messages."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self._stream.errors

    def write(self, words: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(words)
            self._stream.flush()
        return len(words)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


def keep_standard_streams() -> None:
    """Let commands work where standard streams are closed, or standard error cannot be written.

    A closed descriptor is opened on the null device, else one of our files would get its number, and a library's messages.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if not isinstance(sys.stderr, Droppable):
        sys.stderr = Droppable(sys.stderr or Path(os.devnull).open("w"))  # noqa: SIM115


def shown(archive: "Location") -> str:
    """An archive that is read, as messages name it."""
    return "standard input" if archive == STREAM else f"'{archive}'"


@contextmanager
def readable(archive: "Location") -> Iterator["Location"]:
    """A path or URL at which the archive can be read; standard input is copied to a temporary file first."""
    if archive != STREAM:
        yield archive
        if not isinstance(archive, Path):
            detail(f"fetched {archive.fetched.bytes:,} bytes in {archive.fetched.requests} requests")
        return
    if sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError("standard input is closed or is a terminal; pipe an archive into it, or give a path")
    with tempfile.NamedTemporaryFile(suffix=".acn") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        yield Path(file.name)


@contextmanager
def writable(archive: Path) -> Iterator[Path]:
    """A path at which the archive can be written; from a temporary one it goes to standard output if nothing went wrong."""
    if archive != STREAM:
        yield archive
        return
    if sys.stdout is None or sys.stdout.isatty():
        raise click.UsageError("an archive is not written to a terminal; redirect standard output, or give a path")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "archive.acn")
        yield target
        with target.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()
