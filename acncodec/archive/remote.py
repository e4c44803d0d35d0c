"""Archives that lie elsewhere: files by URL, of which fsspec fetches what is read and no more.

`open` is called for local paths and URLs alike; a `Remote` has as much of `pathlib.Path` as reading an archive takes.
"""

import errno
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

SCHEME = "://"  # marks a URL


@dataclass
class Fetched:
    """What was asked of other machines: requests, and bytes that came."""

    requests: int = 0
    bytes: int = 0


class Remote:
    """A file or directory by its URL. All that are made of one another count in the same `fetched`."""

    def __init__(self, url: str, fetched: Fetched | None = None) -> None:
        self.url = url.rstrip("/")
        self.fetched = fetched or Fetched()

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "Remote":
        return Remote(f"{self.url}/{name}", self.fetched)

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def parent(self) -> "Remote":
        return Remote(self.url.rpartition("/")[0], self.fetched)

    def exists(self) -> bool:
        return bool(self._asked("exists"))

    def is_dir(self) -> bool:
        return bool(self._asked("isdir"))

    def open(self, mode: str = "rb") -> BinaryIO:
        """The file, seekable; every read fetches exactly its bytes. Raises OSError, whatever the file system raised."""
        assert mode == "rb"
        file = self._asked("open", "rb", cache_type="none")
        if not file.seekable():
            file.close()
            raise OSError(errno.ESPIPE, "the server sends whole files only")
        return cast(BinaryIO, _Counted(file, self.fetched))

    def _asked(self, question: str, *arguments: Any, **options: Any) -> Any:
        """What a method of the file system answers for this path; at least one request."""
        self.fetched.requests += 1
        try:
            import fsspec

            system, path = fsspec.core.url_to_fs(self.url)
            return getattr(system, question)(path, *arguments, **options)
        except Exception as error:  # a file system of fsspec may raise anything
            raise _as_os_error(error) from error


Location = Path | Remote


def location(path: str | os.PathLike[str]) -> Location:
    """A local path, or a `Remote` for a URL."""
    text = os.fspath(path)
    return Remote(text) if SCHEME in text else Path(text)


class _Counted(io.RawIOBase):
    """A remote file whose reads are counted, and whose errors are OSErrors."""

    def __init__(self, file: Any, fetched: Fetched) -> None:
        self._file, self._fetched = file, fetched

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def read(self, size: int | None = -1) -> bytes:
        if size == 0:
            return b""
        self._fetched.requests += 1
        try:
            data: bytes = self._file.read(-1 if size is None else size)
        except Exception as error:  # as above
            raise _as_os_error(error) from error
        self._fetched.bytes += len(data)
        return data

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _as_os_error(error: Exception) -> OSError:
    """An error of any file system, with a reason in `strerror`."""
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "there is no such file")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return OSError(getattr(error, "errno", None) or errno.EIO, " ".join(str(reason).split()))
