"""One file in, directory out; and the same without writing anything, as a test."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from acncodec import bundled
from acncodec.archive import header as head
from acncodec.archive.atomic import DirectoryWriter
from acncodec.archive.container import Container, read_container
from acncodec.archive.store import unpack_stored
from acncodec.codec.collection import Kind
from acncodec.codec.compress import Progress, digest
from acncodec.codec.ledger import name_counts
from acncodec.coding.order import unpack_order
from acncodec.coding.protocol import Task, bob
from acncodec.coding.selftest import exactness, quick_selftest
from acncodec.coding.stack import Stack
from acncodec.errors import DamagedError, InputError, UnsupportedError
from acncodec.images.element import write_element
from acncodec.images.names import unpack_names
from acncodec.images.scan import MAX_PATH, safe_path
from acncodec.nets.model import Model
from acncodec.planning.schedule import Schedule

SECTIONS = {"HEAD", "BITS", "LEDG", "NAME", "ORDR", "FILE"}
MAX_NAME_BYTES = 1 << 32
MAX_STORED_BYTES = 1 << 40


@dataclass(frozen=True)
class Archive:
    """An archive whose structure and checksums are right."""

    container: Container
    header: head.Header

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return sum(self.container.overhead.values()) + sum(map(len, self.container.sections.values()))


def open_archive(path: Path) -> Archive:
    """Read and check an archive's structure. Raises InputError, DamagedError, UnsupportedError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}") from error
    return parse_archive(data)


def parse_archive(data: bytes) -> Archive:
    """The same from bytes. Raises DamagedError, UnsupportedError."""
    container = read_container(data)
    if unknown := set(container.sections) - SECTIONS:
        raise UnsupportedError(f"the archive has a section '{min(unknown)}' that this version does not know")
    if "HEAD" not in container.sections:
        raise DamagedError("the archive has no header")
    header = head.decode(container.sections["HEAD"])
    if bool(header.groups) != ("BITS" in container.sections) or bool(header.groups) != ("LEDG" in container.sections):
        raise DamagedError("the archive's sections do not fit its header")
    if ("FILE" in container.sections and not header.stored) or ("ORDR" in container.sections and not header.files):
        raise DamagedError("the archive's sections do not fit its header")
    return Archive(container, header)


def decompress(
    path: Path, target: Path, models: list[Path], device: torch.device, *, overwrite: bool = False, progress: Progress
) -> int:
    """Restore the directory of the archive `path` into `target`; returns the number of files.

    Everything is decoded and every pixel hash checked before the first file appears in `target`. Raises InputError,
    OutputError, DamagedError, UnsupportedError, ExactnessError.
    """
    archive = open_archive(path)
    with DirectoryWriter(target, overwrite) as writer:
        count = 0
        for name, data in files(archive, models, device, progress):
            writer.add(name, data)
            count += 1
    return count


def files(archive: Archive, models: list[Path], device: torch.device, progress: Progress) -> Iterator[tuple[bytes, bytes]]:
    """All files of an archive, name and content, after all of it was decoded and checked. Raises as `decompress`."""
    header = archive.header
    sections = archive.container.sections
    images = _decode_groups(archive, models, device, progress)
    blobs = unpack_stored(sections.get("FILE", b""), header.stored, MAX_STORED_BYTES) if header.stored else []
    count = header.files or header.stored
    names = unpack_names(sections.get("NAME", b""), count, min(MAX_NAME_BYTES, MAX_PATH * count))
    for name in names:
        safe_path(name)
    places = _places(header, sections.get("ORDR", b""), names)
    advance = progress("write", len(places))
    for name, group, position in places:
        if group == len(images):
            yield name, blobs[position]
        else:
            kind, pixels = images[group]
            yield name, write_element(kind.element(pixels[position]))
        advance(1)


def _decode_groups(
    archive: Archive, paths: list[Path], device: torch.device, progress: Progress
) -> list[tuple[Kind, np.ndarray]]:
    """Every group's kind and pixels uint8 [N, H, W] in coding order, hashes checked."""
    header = archive.header
    if header.groups and header.exactness != exactness():
        raise UnsupportedError("the archive was made with another version of the exact arithmetic; update acncodec")
    if not header.groups:
        return []
    models = [bundled.find_sha256(model.name, model.sha256, paths) for model in header.models]
    quick_selftest(device)
    words = archive.container.sections["BITS"]
    if len(words) % 4:
        raise DamagedError("the archive's coded bits are not whole words")
    stack = Stack(np.frombuffer(words, dtype="<u4"), seal=False)
    advance = progress("decode", sum(group.count for group in header.groups))
    images = []
    for group in header.groups:
        kind = Kind.of_group(group)
        model = _fitting(models[group.model], kind, device)
        conditional = header.prior == head.PRIOR_CONDITIONAL
        task = Task(model, Schedule(group.count, group.lanes), kind.height, kind.width, conditional, advance)
        pixels = bob(stack, task)
        if digest(pixels) != group.digest:
            raise DamagedError("the decoded pixels are not those that were encoded; nothing was written")
        images.append((kind, pixels))
    stack.check_seed(header.seed_words)
    return images


def _fitting(model: Model, kind: Kind, device: torch.device) -> Model:
    if model.arch.levels != kind.levels:
        raise DamagedError("the archive names a model that does not fit its images")
    model.networks.to(device)
    return model


def _places(header: head.Header, order: bytes, names: list[bytes]) -> list[tuple[bytes, int, int]]:
    """For every file its name, the number of its group (one more for stored files) and its position therein."""
    if header.names == head.NAMES_DROP:
        taken = {name.split(b"/")[0] for name in names}
        return [*_numbered(header, taken), *((name, len(header.groups), i) for i, name in enumerate(names))]
    counts, permuted = name_counts(header)
    kinds, permutations = unpack_order(order, counts, permuted)
    # rank_to_position[g][r]: where the r-th image of group g by name stands in coding order
    rank_to_position = [np.argsort(permutation) for permutation in permutations]
    seen = [0] * len(counts)
    places = []
    for name, group in zip(names, kinds.tolist(), strict=True):
        rank, seen[group] = seen[group], seen[group] + 1
        permuted_group = group < len(rank_to_position)
        places.append((name, group, int(rank_to_position[group][rank]) if permuted_group else rank))
    return places


def _numbered(header: head.Header, taken: set[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Names for images whose own were dropped: numbers in coding order, past any stored file or folder of that name."""
    total = sum(group.count for group in header.groups)
    digits = len(str(max(0, total - 1)))
    number = 0
    for g, group in enumerate(header.groups):
        suffix = Kind.of_group(group).suffix
        for position in range(group.count):
            while (name := f"{number:0{digits}d}{suffix}".encode()) in taken:
                number += 1
            yield name, g, position
            number += 1
