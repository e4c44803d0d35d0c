"""An open archive: its list of files, and random access to them, decoded block by block on demand."""

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType

import numpy as np
import torch

from acncodec import bundled
from acncodec.archive import block as blocks
from acncodec.archive import classes as class_table
from acncodec.archive import header as head
from acncodec.archive.block import Block
from acncodec.archive.classes import METHOD_CODED, METHOD_FILE, METHOD_RAW, METHOD_WEBP, Class
from acncodec.archive.container import FEATURE_MODELS, FEATURE_STACKS, Container, read_container
from acncodec.archive.limits import MAX_BLOCK_SAMPLES, MAX_CARRIED_BYTES, MAX_MODELS, MAX_STORED_BYTES
from acncodec.archive.remote import Location
from acncodec.archive.store import WHOLE_BYTES, Store
from acncodec.block.codec import Order, decode_block, read_order, side_by_side
from acncodec.block.directory import Directory, Entry, entries, unpack_directory
from acncodec.block.elements import channels, check
from acncodec.coding.selftest import exactness, quick_selftest
from acncodec.coding.weights import names_of
from acncodec.errors import DamagedError, InputError, ModelError, UnsupportedError
from acncodec.images.picture import layout, suffix, write_picture
from acncodec.images.raster import Layout
from acncodec.images.strips import strips_size, unpack_strips
from acncodec.images.webp import unpack_webp
from acncodec.nets.model import Model
from acncodec.progress import Advance, Portion, ignore
from acncodec.reading.ahead import Ahead
from acncodec.reading.recent import Recent

ONCE = ("HEAD", "FORM", "NAME", "ORDR", "PLAC", "FLDR", "EMPT")
MANY = ("BLCK", "FILE")
MODELS = "MODL"  # with FEATURE_MODELS any number
RECENT_BLOCKS, RECENT_STORES = 8, 2  # parsed blocks and unpacked stores that an open archive caches
CACHE_BYTES = 1 << 27  # of decoded samples that an open archive caches
WEBP_BYTES = 1 << 16  # that WebP may take beyond twice an image's samples
LOST = ".lost"  # suffix of a picture whose class cannot be read


class Archive:
    """An open archive; a context manager. `models` are paths to look for models, beside the bundled ones.

    With `tolerant` a truncated archive opens too. At most `cache` bytes of decoded samples, or one block, are cached.
    Numbered names begin with `prefix`: in a part of a larger archive its number. Raises InputError, DamagedError,
    UnsupportedError.
    """

    def __init__(
        self,
        path: Location,
        models: Iterable[str | os.PathLike[str]] = (),
        device: torch.device | None = None,
        tolerant: bool = False,
        prefix: bytes = b"",
        cache: int = CACHE_BYTES,
    ):
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise InputError(f"cannot read '{path}': {error.strerror}") from error
        try:
            self.container: Container = read_container(self._file, tolerant)
            self._tolerant, self._prefix = tolerant, prefix
            self._paths, self._device = list(map(Path, models)), device or torch.device("cpu")
            self._blocks: Recent[Block] = Recent(RECENT_BLOCKS)
            self._outlines: dict[int, Block] = {}
            self._orders: Recent[Order] = Recent(RECENT_BLOCKS)
            self._decoded: Recent[list[np.ndarray]] = Recent(cache, lambda block: sum(each.nbytes for each in block))
            self._stores: Recent[Store] = Recent(RECENT_STORES)
            self._sections = self._index()
            self.header = head.decode(self._once("HEAD"))
            self.classes = class_table.decode(self._once("FORM"), len(self.header.models)) if self._has("FORM") else []
            self._check()
            self._ahead = Ahead(self._task, self.side_by_side)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        for recent in (self._blocks, self._orders, self._decoded, self._stores):
            recent.clear()

    @property
    def side_by_side(self) -> int:
        """How many blocks are decoded in parallel."""
        return side_by_side(max(self.header.blocks, default=0), self._device)

    def _index(self) -> dict[str, list[int]]:
        """Where the sections of each tag are."""
        found: dict[str, list[int]] = {}
        for index, tag in enumerate(self.container.tags):
            found.setdefault(tag, []).append(index)
        known = {*ONCE, *MANY} | ({MODELS} if self.container.features & FEATURE_MODELS else set())
        if unknown := set(found) - known:
            raise UnsupportedError(f"the archive has a section '{min(unknown)}' that this version does not know")
        if "HEAD" not in found or any(len(found.get(tag, [])) > 1 for tag in ONCE):
            raise DamagedError("the archive has no header, or a section twice")
        return found

    def _has(self, tag: str) -> bool:
        return tag in self._sections

    def _once(self, tag: str) -> bytes:
        return self.container.read(self._sections[tag][0])

    def _check(self) -> None:
        """Check that header, classes and sections are consistent. Raises DamagedError."""
        if len(self._sections.get(MODELS, [])) > MAX_MODELS:
            raise DamagedError("the archive carries more models than it may have")
        counts = [len(self._sections.get(tag, [])) for tag in MANY]
        if counts != [len(self.header.blocks), len(self.header.stores)]:
            raise DamagedError("the archive's sections do not fit its header")
        for each in self.classes:
            if each.method != METHOD_FILE:
                channels(each.form)  # raises if the form is damaged

    # What there is

    @property
    def contents(self) -> int:
        """Distinct contents; numbered as in `block/directory.py`."""
        return sum(self.header.blocks) + sum(self.header.stores)

    @cached_property
    def directory(self) -> Directory:
        """Names, duplicates and folders. Raises DamagedError."""
        return unpack_directory(self.header, {tag: self._once(tag) for tag in ONCE if self._has(tag)})

    @cached_property
    def entries(self) -> list[Entry]:
        """Every file, sorted by name. Raises DamagedError.

        Where names were dropped, a tolerant reader substitutes defaults for suffixes and folders that are lost.
        """
        new = np.bincount(self.directory.named_methods, minlength=METHOD_CODED + 1).tolist()
        coded = sum(self.header.blocks)
        if self.header.names == head.NAMES_KEEP:
            stored = [method for method in range(METHOD_CODED) for _ in range(new[method])]
            if len(stored) != self.contents - coded or new[METHOD_CODED] != coded:
                raise DamagedError("the archive's list of files does not fit its contents")
            return entries(self.header, self.directory, [METHOD_CODED] * coded + stored, [], [])
        files = new[METHOD_FILE]
        methods = [METHOD_CODED] * coded + [METHOD_FILE] * files + [METHOD_WEBP] * (self.contents - coded - files)
        suffixes = ["" if method == METHOD_FILE else self._suffix(i) for i, method in enumerate(methods)]
        folders = [folder for i in range(len(self.header.blocks)) for folder in self._folders(i)]
        folders += self.directory.stored_folders
        return entries(self.header, self.directory, methods, suffixes, folders, self._prefix)

    def _suffix(self, content: int) -> str:
        try:
            return suffix(self.class_of(content).form)
        except DamagedError:
            if not self._tolerant:
                raise
            return LOST

    def _folders(self, index: int) -> list[int]:
        """The folders of a block's pictures; [] if folders are not kept."""
        try:
            folders = self.order(index).folders
        except DamagedError:
            if not self._tolerant:
                raise
            folders = np.zeros(self.header.blocks[index], dtype=np.int64) if self.header.folders else None
        return [] if folders is None else folders.tolist()

    def class_of(self, content: int) -> Class:
        """The class of a content; no pixel is decoded. Raises DamagedError."""
        section, offset = self._locate(content)
        if section < len(self.header.blocks):
            order = self.order(section)
            return self.classes[order.classes[order.positions[offset]]]
        store, offset = self._store_of(content)
        return self.classes[store.classes[offset]]

    def section(self, content: int) -> int:
        """The number of the section that holds a content: blocks are numbered first, then stores."""
        return self._locate(content)[0]

    def _locate(self, content: int) -> tuple[int, int]:
        """The section that holds a content, numbered as by `section`, and the content's index in it."""
        section = int(np.searchsorted(self._ends, content, side="right"))
        return section, content - (int(self._ends[section - 1]) if section else 0)

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum([*self.header.blocks, *self.header.stores])

    def block(self, index: int) -> Block:
        """A block whose structure fits the header, not decoded. Raises DamagedError."""
        return self._blocks.get(index, lambda: self._parsed(index))

    def outline(self, index: int) -> Block:
        """A block without its order and its coded bits; cached. Raises DamagedError."""
        if index not in self._outlines:
            self.block(index)
        return self._outlines[index]

    def _parsed(self, index: int) -> Block:
        block = blocks.decode(self.container.read(self._sections["BLCK"][index]))
        inside = [(self.classes[i], n) for i, n in block.classes if i < len(self.classes)]
        values = sum(each.height * each.width * channels(each.form) * n for each, n in inside if each.form)
        if (
            len(inside) < len(block.classes)
            or any(each.method != METHOD_CODED for each, _ in inside)
            or sum(n for _, n in inside) != self.header.blocks[index]
            or values > MAX_BLOCK_SAMPLES
            or (len(block.bits) > 1 and not self.container.features & FEATURE_STACKS)
        ):
            raise DamagedError(f"block {index + 1} of the archive does not fit its header")
        self._outlines[index] = replace(block, order=b"", bits=[])
        return block

    def order(self, index: int) -> Order:
        """Classes, folders and name ranks of a block's pictures. Raises DamagedError."""
        keep, folders = self.header.names == head.NAMES_KEEP, self.header.folders
        return self._orders.get(index, lambda: read_order(self.block(index), keep, folders))

    def _store(self, index: int) -> Store:
        return self._stores.get(index, lambda: self._opened(index))

    def _opened(self, index: int) -> Store:
        pieces = partial(self.container.pieces, self._sections["FILE"][index])
        store = Store(pieces, self.header.stores[index], MAX_STORED_BYTES)
        for i, length in zip(store.classes, store.lengths, strict=True):
            if i >= len(self.classes) or self.classes[i].method == METHOD_CODED:
                raise DamagedError("stored files of the archive are of no class that it has")
            of = self.classes[i]
            if of.method != METHOD_FILE and length > 2 * of.height * of.width * channels(of.form) + WEBP_BYTES:
                raise DamagedError("a stored picture of the archive is longer than its samples could be")
        return store

    # What is in it

    @cached_property
    def models(self) -> list[Model]:
        """The archive's models. Raises DamagedError, ModelMissingError, UnsupportedError, ExactnessError."""
        if self.header.exactness != exactness():
            raise UnsupportedError("the archive was made with another version of the exact arithmetic; update acncodec")
        found = [self._model(model) for model in self.header.models]
        for model in found:
            model.networks.to(self._device)
        quick_selftest(self._device)
        return found

    @cached_property
    def carried(self) -> dict[bytes, bytes]:
        """The models that the archive carries, packed, by the sha256 of the plain files. Raises DamagedError."""
        packed = [self.container.read(index) for index in self._sections.get(MODELS, [])]
        try:
            return {names_of(each)[0]: each for each in packed}
        except ModelError as error:
            raise DamagedError("a model that the archive carries is damaged") from error

    def _model(self, model: head.ModelReference) -> Model:
        packed = self.carried.get(model.sha256)
        if packed is None:
            return bundled.find_sha256(model.name, model.sha256, self._paths)
        try:
            return bundled.unpack(packed, self._paths, MAX_CARRIED_BYTES)
        except ModelError as error:
            raise DamagedError(f"the model '{model.name}' that the archive carries is damaged: {error}") from error

    def _task(self, index: int, advance: Advance) -> Callable[[], list[np.ndarray]]:
        """A function that decodes a block without reading from the archive. Raises DamagedError."""
        block, order = self.block(index), self.order(index)
        for i, _ in block.classes:
            check(self.classes[i], [model.arch for model in self.models])
        return partial(decode_block, block, self.classes, order, self.models, advance)

    def _pictures(self, index: int, advance: Advance) -> list[np.ndarray]:
        """Samples uint8 [H, W, C] of a block's pictures, by number of content."""

        def decode() -> list[np.ndarray]:
            decoded = self._ahead.take(index, advance) or self._task(index, advance)()
            return [decoded[position] for position in self.order(index).positions]

        return self._decoded.get(index, decode)

    def samples(self, content: int, advance: Advance = ignore) -> np.ndarray:
        """Samples uint8 [H, W, C] of a coded picture; `advance` takes shares of its block. Raises as `read`."""
        section, offset = self._locate(content)
        return self._pictures(section, advance)[offset]

    def read(self, content: int, advance: Advance = ignore) -> bytes:
        """The file with this content; its block is decoded and kept for the next call.

        `advance` takes shares of the block. Raises DamagedError, ModelMissingError, UnsupportedError, ExactnessError.
        """
        if self.section(content) < len(self.header.blocks):
            return write_picture(self.class_of(content).form, self.samples(content, advance))
        return b"".join(self._restored(*self._store_of(content)))

    def _store_of(self, content: int) -> tuple[Store, int]:
        """The store that holds a content, and the content's index in it."""
        section, offset = self._locate(content)
        return self._store(section - len(self.header.blocks)), offset

    def stored(self, content: int) -> tuple[Class, bytes]:
        """The class of a content that is not coded, and what the archive stores of it. Raises DamagedError."""
        store, offset = self._store_of(content)
        return self.classes[store.classes[offset]], b"".join(store.chunks(offset))

    def pieces(self, content: int) -> Iterator[bytes]:
        """A file of METHOD_FILE in pieces, unpacked as they are taken if it is large. Raises DamagedError."""
        return self._restored(*self._store_of(content))

    def _restored(self, store: Store, offset: int) -> Iterator[bytes]:
        """The file of a stored content, in pieces if it is large."""
        its, pieces = self.classes[store.classes[offset]], store.chunks(offset)
        return pieces if its.method == METHOD_FILE else iter([restore(its, b"".join(pieces))])

    def files(
        self, wanted: Iterable[Entry], advance: Advance = ignore, lost: Callable[[Entry, DamagedError], None] | None = None
    ) -> Iterator[tuple[bytes, Iterator[bytes]]]:
        """Name and bytes of each entry, in pieces, in the order of contents, so that every block is decoded once.

        Consume the pieces before the next entry. `advance` takes numbers of files, fractions while a block is decoded.
        Damage raises DamagedError; `lost`, if given, is called for each damaged entry instead, and the others are restored.
        """
        ordered = sorted(wanted, key=lambda entry: entry.content)
        sections = Counter(self.section(entry.content) for entry in ordered)
        portions = {section: Portion(advance, count) for section, count in sections.items()}
        failed: dict[int, DamagedError] = {}  # by block, so that a damaged one is decoded only once
        with self._ahead.of([section for section in sections if section < len(self.header.blocks)]):
            for entry in ordered:
                section = self.section(entry.content)
                portion = portions[section]
                try:
                    if section in failed:
                        raise failed[section]
                    pieces = self._checked(entry.content, portion.advance, lost is not None)
                except DamagedError as error:
                    if lost is None:
                        raise
                    if section < len(self.header.blocks):
                        failed[section] = error
                    lost(entry, error)
                else:
                    yield entry.name, pieces
                if section < len(self.header.blocks):
                    portion.finish()
                else:
                    portion.advance(1 / sections[section])

    def _checked(self, content: int, advance: Advance, at_once: bool) -> Iterator[bytes]:
        """The file with this content in pieces. Damage raises DamagedError now if `at_once`, else by the last of them."""
        if self.section(content) < len(self.header.blocks):
            return iter([self.read(content, advance)])
        store, offset = self._store_of(content)
        if store.lengths[offset] <= WHOLE_BYTES:
            return iter([b"".join(self._restored(store, offset))])
        if at_once:
            for _ in self._restored(store, offset):
                pass
        return self._restored(store, offset)


def restore(content_class: Class, data: bytes) -> bytes:
    """A stored file from what the archive keeps of it. Raises DamagedError."""
    if content_class.method == METHOD_FILE:
        return data
    return write_picture(content_class.form, stored_samples(content_class, data))


def stored_samples(content_class: Class, data: bytes) -> np.ndarray:
    """Samples uint8 [H, W, C] of a picture that is stored raw or as WebP. Raises DamagedError."""
    shape = content_class.height, content_class.width, channels(content_class.form)
    return _raw_samples(data, content_class, shape) if content_class.method == METHOD_RAW else unpack_webp(data, *shape)


def _raw_samples(data: bytes, content_class: Class, shape: tuple[int, int, int]) -> np.ndarray:
    """Samples uint8 of this shape from a byte each or, if they are bilevel, strips. Raises DamagedError."""
    height, width, _ = shape
    if len(data) == math.prod(shape):
        return np.frombuffer(data, np.uint8).reshape(shape)
    if len(data) == strips_size(height, width) and layout(content_class.form) == Layout.BILEVEL:
        return unpack_strips(data, height, width)
    raise DamagedError("raw samples of an image have another length than the archive says")
