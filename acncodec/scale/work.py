"""Intermediate results of an archive in progress: files in a hidden folder, each written atomically.

A stage's task is done if its result exists, so interrupted work resumes with what is left. Every process reads and writes
here: on a cluster the folder lies, like the archive itself, on a file system shared by all nodes. Starting over uses a new
subfolder: a cluster may still run tasks of a killed driver, which then find their folder gone.
"""

import contextlib
import io
import json
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from acncodec.archive.atomic import write_atomically
from acncodec.errors import InputError, OutputError

FOLDER = ".acncodec-work"
DONE = ".done-"  # appended to its name before it is removed


class Work:
    """The folder of work in progress, in the directory of the future archive."""

    def __init__(self, target: Path) -> None:
        self.target, self.folder = target, target / FOLDER / secrets.token_hex(8)

    def begin(self, settings: dict[str, Any], resume: bool) -> None:
        """Create the folder, or resume in an existing one if it was started with the same settings.

        Raises InputError, OutputError.
        """
        begun = next(self.target.glob(f"{FOLDER}/*/settings.json"), None)
        if resume and begun:
            self.folder = begun.parent
            if self.json("settings.json") != settings:
                raise InputError(
                    f"the work in '{self.target}' was started with another source or other options; use the same to resume"
                )
            return
        try:
            self._put_away()
            self.folder.mkdir(parents=True)
        except OSError as error:
            raise OutputError(f"cannot write '{self.target}': {error.strerror}") from error
        self.put_json("settings.json", settings)

    def path(self, name: str) -> Path:
        return self.folder / name

    def has(self, name: str) -> bool:
        return self.path(name).exists()

    def json(self, name: str) -> Any:
        """Raises InputError, like all reading methods."""
        try:
            return json.loads(self.path(name).read_bytes())
        except (OSError, ValueError) as error:
            raise self.unusable(name, error) from error

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        try:
            with np.load(self.path(name)) as found:
                return dict(found)
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            raise self.unusable(name, error) from error

    def hashes(self, name: str) -> np.ndarray:
        """Rows of two uint64, memory-mapped: only the rows used are read."""
        try:
            path = self.path(name)
            if not path.stat().st_size:
                return np.zeros((0, 2), dtype=np.uint64)
            return np.memmap(path, "<u8", "r").reshape(-1, 2)
        except (OSError, ValueError) as error:
            raise self.unusable(name, error) from error

    def unusable(self, name: str, error: object) -> InputError:
        """The error for a file of work that is missing or was changed."""
        return InputError(f"cannot resume work in '{self.target}' ('{name}': {error}); start over with --force")

    def put_json(self, name: str, value: Any) -> None:
        """Raises OutputError, like all writing methods."""
        self.put(name, [json.dumps(value).encode()])

    def put_arrays(self, name: str, **arrays: Any) -> None:
        data = io.BytesIO()
        np.savez(data, **arrays)
        self.put(name, [data.getvalue()])

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        path = self.path(name)
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write '{path.parent}': {error.strerror}") from error
        write_atomically(path, chunks, overwrite=True)  # a task that runs twice writes the same twice

    def end(self) -> None:
        """Remove the folder; for observers it disappears in one step."""
        with contextlib.suppress(OSError):
            self._put_away()

    def _put_away(self) -> None:
        """Raises OSError if an existing folder cannot be moved away."""
        with contextlib.suppress(FileNotFoundError):
            (self.target / FOLDER).rename(self.target / f"{FOLDER}{DONE}{secrets.token_hex(8)}")
        for done in self.target.glob(f"{FOLDER}{DONE}*"):
            shutil.rmtree(done, ignore_errors=True)  # best effort: some systems keep open files
