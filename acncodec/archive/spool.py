"""Temporary storage for the bytes of files, as read, until they are written to an archive."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from acncodec.errors import OutputError


class Spool:
    """Byte strings in an unnamed temporary file beside the archive `target`, created when the first one is added.

    It takes as much disk space as all of them; the system removes it with the object or the process.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._file: IO[bytes] | None = None

    def add(self, data: bytes) -> int:
        """Store `data`; returns its offset in bytes. Raises OutputError if the system refuses."""
        with self._reported():
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._target.parent)  # noqa: SIM115
            place = self._file.seek(0, os.SEEK_END)
            self._file.write(data)
            self._file.flush()  # reports a full disk here
        return place

    def read(self, place: int, size: int) -> bytes:
        """The `size` bytes at the offset `place`. Raises OutputError if the system refuses."""
        if not size:
            return b""
        assert self._file is not None  # `place` comes from `add`
        with self._reported():
            self._file.seek(place)
            return self._file.read(size)

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"cannot buffer files beside '{self._target}' during compression: {error.strerror or error}"
            ) from error
