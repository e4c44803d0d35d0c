"""Archives that come from standard input or go to standard output: `-` in the place of a path."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

STREAM = Path("-")


def shown(archive: Path) -> str:
    """How sentences call an archive that is read."""
    return "standard input" if archive == STREAM else f"'{archive}'"


@contextmanager
def readable(archive: Path) -> Iterator[Path]:
    """A path at which the archive can be read: what standard input gives is copied to a temporary file first."""
    if archive != STREAM:
        yield archive
        return
    if sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError("standard input is closed or a terminal; send an archive through it, or give a path")
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
