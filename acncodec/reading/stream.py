"""A seekable stream over the pieces of a stored file, which are unpacked only as far as it is read."""

import io
from collections.abc import Iterator
from typing import Any


class PieceStream(io.RawIOBase):
    """A read-only stream over `pieces`. It keeps in memory what has been taken of them; seeking to the end takes all.

    Exceptions of `pieces` propagate.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._taken, self._place = pieces, bytearray(), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            self._take(None)
        self._place = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: len(self._taken)}[whence])
        return self._place

    def readinto(self, buffer: Any) -> int:
        with memoryview(buffer).cast("B") as view:
            self._take(self._place + len(view))
            found = self._taken[self._place : self._place + len(view)]
            view[: len(found)] = found
        self._place += len(found)
        return len(found)

    def _take(self, end: int | None) -> None:
        """Take pieces up to the offset `end`, or all."""
        while (end is None or len(self._taken) < end) and (piece := next(self._pieces, None)) is not None:
            self._taken += piece
