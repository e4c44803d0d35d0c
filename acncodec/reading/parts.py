"""One interface to archives of one file and of many parts: each part is an archive, listed by a manifest."""

import hashlib
import io
import os
from collections.abc import Iterable
from functools import cached_property

import numpy as np
import torch
from PIL import Image

from acncodec.archive import manifest as manifests
from acncodec.archive.classes import METHOD_FILE
from acncodec.archive.container import FEATURE_PARTS, PIECE_BYTES, Container, read_container
from acncodec.archive.manifest import Manifest
from acncodec.archive.remote import Fetched, Location, Remote
from acncodec.block.directory import Entry
from acncodec.errors import DamagedError, InputError
from acncodec.reading.pixels import read_pixels
from acncodec.reading.reader import CACHE_BYTES, Archive
from acncodec.reading.stream import PieceStream

MANIFEST = "manifest.acn"  # in the directory of an archive of many parts
GLOB = frozenset("*?[")


class Parts:
    """An archive by its path or URL: a file, or the directory or the manifest of one of many parts. A context manager.

    `models`, `device`, `tolerant` and `cache` are as for `Archive`, of which `open` gives one for each part. Raises
    InputError, DamagedError, UnsupportedError.
    """

    def __init__(
        self,
        path: Location,
        models: Iterable[str | os.PathLike[str]] = (),
        device: torch.device | None = None,
        tolerant: bool = False,
        cache: int = CACHE_BYTES,
    ) -> None:
        self.path = path / MANIFEST if _is_dir(path) else path
        self._models, self._device, self._tolerant, self._cache = list(models), device, tolerant, cache
        self.manifest: Manifest | None = None
        try:
            self._file = self.path.open("rb")
        except OSError as error:
            if self.path != path and not self.path.exists():
                raise InputError(f"'{path}' is a directory without a finished archive: there is no {MANIFEST}") from error
            raise InputError(f"cannot read '{self.path}': {error.strerror}") from error
        try:
            self._container: Container = read_container(self._file, tolerant)
            if self._container.features & FEATURE_PARTS:
                self.manifest = self._read()
        except BaseException:
            self._file.close()
            raise

    def _read(self) -> Manifest:
        tags = self._container.tags
        if not tags or tags[0] != "MANI":
            raise DamagedError("the archive's manifest does not list its parts")
        manifest = manifests.decode(self._container.read(0))
        if tags[1:] != ["NIDX"] * manifest.buckets or not manifest.parts:
            raise DamagedError("the archive's manifest does not fit its parts")
        return manifest

    def __enter__(self) -> "Parts":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self.manifest.parts) if self.manifest else 1

    @property
    def manifest_bytes(self) -> int:
        """Size of the manifest, 0 if there is none."""
        return self._container.size if self.manifest else 0

    def name(self, number: int) -> str:
        """A part's file name, for messages."""
        return self.manifest.parts[number].name if self.manifest else self.path.name

    def open(self, number: int) -> Archive:
        """One part. Raises InputError if its file is missing, DamagedError if it is not the one in the manifest."""
        if self.manifest is None:
            return Archive(self.path, self._models, self._device, self._tolerant, cache=self._cache)
        part, path = self.manifest.parts[number], self._location(number)
        archive = Archive(path, self._models, self._device, self._tolerant, self.manifest.prefix(number), self._cache)
        header = archive.header
        known = header.entries, sum(header.blocks), len(header.blocks) + len(header.stores), header.names
        size = archive.container.size
        if known != (part.files, part.images, part.sections, self.manifest.names) or (
            size != part.size and not self._tolerant
        ):
            archive.close()
            raise DamagedError(f"'{part.name}' is not the part that the archive's manifest means")
        return archive

    def check(self, number: int) -> None:
        """Compare a part's sha256 with the manifest. Raises DamagedError if it differs, InputError."""
        if self.manifest is None:
            return
        try:
            digest = sha256_of(self._location(number))
        except OSError as error:
            raise InputError(f"cannot read '{self._location(number)}': {error.strerror}") from error
        if digest != self.manifest.parts[number].sha256:
            raise DamagedError(f"'{self.name(number)}' is not the part that the archive's manifest means, or is damaged")

    @property
    def fetched(self) -> Fetched | None:
        """Requests and bytes fetched so far; None for a local archive."""
        return self.path.fetched if isinstance(self.path, Remote) else None

    def _location(self, number: int) -> Location:
        return self.path.parent / self.name(number)

    def files(self) -> int:
        """Number of files in the archive."""
        if self.manifest is None:
            with self.open(0) as archive:
                return archive.header.entries
        return sum(part.files for part in self.manifest.parts)

    def holding(self, patterns: tuple[str, ...]) -> list[int]:
        """The parts that may hold files matching any pattern: all parts, unless each pattern is an exact file name."""
        every = list(range(len(self)))
        if self.manifest is None or not patterns or any(GLOB & set(pattern) for pattern in patterns):
            return every
        found = {self.where(os.fsencode(pattern)) for pattern in patterns}
        return every if None in found else sorted(number for number in found if number is not None)

    def where(self, name: bytes) -> int | None:
        """The part that holds the file of this path; None if there is none, or if names are not indexed."""
        if self.manifest is None or len(self) == 1:
            return 0
        if not self.manifest.named:
            return None
        key = manifests.hashes([name])
        bucket = int(manifests.bucket_of(key, self.manifest.buckets)[0])
        number = manifests.part_of(self._container.read(1 + bucket), key[0], len(self))
        with self.open(number) as archive:
            return number if any(entry.name == name for entry in archive.entries) else None


def _is_dir(path: Location) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # opening it will say why
        return False


def sha256_of(path: Location) -> bytes:
    """Of a file's bytes. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return digest.digest()


class PartImages:
    """The files of one part that Pillow opens as images, in the order of their names."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive

    @cached_property
    def entries(self) -> list[Entry]:
        contents = sorted({entry.content for entry in self.archive.entries})  # in the order in which they are unpacked
        images = {content for content in contents if self._is_image(content)}
        return [entry for entry in self.archive.entries if entry.content in images]

    @property
    def sections(self) -> int:
        """Number of blocks and stores, each of which is decodable by itself."""
        return len(self.archive.header.blocks) + len(self.archive.header.stores)

    def within(self, section: int) -> list[Entry]:
        """The images in a section, in the order of contents."""
        return self._by_section.get(section, [])

    @cached_property
    def _by_section(self) -> dict[int, list[Entry]]:
        found: dict[int, list[Entry]] = {}
        for entry in sorted(self.entries, key=lambda entry: entry.content):
            found.setdefault(self.archive.section(entry.content), []).append(entry)
        return found

    def _is_image(self, content: int) -> bool:
        if self.archive.class_of(content).method != METHOD_FILE:
            return True
        try:
            Image.open(io.BufferedReader(PieceStream(self.archive.pieces(content)))).close()
        except DamagedError:
            raise
        except Exception:  # Pillow raises many kinds; any of them means: no image
            return False
        return True

    def read(self, entry: Entry) -> Image.Image:
        """The image, as Pillow opens its file. Raises DamagedError, ModelMissingError."""
        image = Image.open(io.BytesIO(self.archive.read(entry.content)))
        image.load()
        return image

    def pixels(self, entry: Entry) -> np.ndarray:
        """The image as `read_pixels` gives it."""
        return read_pixels(self.archive, entry.content)
