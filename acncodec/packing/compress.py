"""Compression of a source to one archive file."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from acncodec.archive import block as blocks
from acncodec.archive import classes as class_table
from acncodec.archive import header as head
from acncodec.archive.atomic import refuse_occupied, write_atomically
from acncodec.archive.classes import METHOD_CODED, METHOD_FILE, METHOD_RAW, METHOD_WEBP, Class
from acncodec.archive.container import FEATURE_COPIES, FEATURE_DERIVED, FEATURE_MODELS, FEATURE_STACKS, write_container
from acncodec.archive.limits import MAX_ALL_PIXELS, MAX_ENTRIES
from acncodec.archive.partial import remove_left_over
from acncodec.archive.store import pack_store
from acncodec.block.codec import Members, encode_block, side_by_side
from acncodec.block.directory import Directory, folder_of, list_directory, pack_directory
from acncodec.block.elements import cells, count
from acncodec.block.estimate import (
    Estimate,
    Estimated,
    GroupWork,
    coding_seconds,
    is_long,
    planning_seconds,
    writing_seconds,
)
from acncodec.block.plan import PlanOptions, Way
from acncodec.coding.order import order_bits
from acncodec.coding.selftest import exactness, quick_selftest
from acncodec.coding.weights import pack_model
from acncodec.errors import InputError
from acncodec.images.picture import derived
from acncodec.images.source import Folder, Source
from acncodec.nets.model import Model
from acncodec.packing.adapting import choose_adapted
from acncodec.packing.collection import Collection, collect
from acncodec.packing.method_choice import FILE, Choice, MethodChoice, smaller_as_files
from acncodec.planning.schedule import choose_lanes
from acncodec.planning.tour import DEFAULT_EFFORT
from acncodec.progress import Advance, Progress

MAX_EFFORT = 9
BLOCK_PICTURES = 16384  # per block, by default
BLOCK_SAMPLES = 1 << 26  # per block at most, since a block is decoded as a whole
RANDOM_PICTURES, RANDOM_SAMPLES = 16, 1 << 17  # a block for random access has at least one of the two,
RANDOM_BITS = 1 << 16  # and so many bits that its overhead is below 1 %
RANDOM_STORE_BYTES = 1 << 20  # of WebP files per FILE section, for random access
STORE_BYTES = 1 << 26  # of files per FILE section: LZMA's window
STORE_ITEMS = 1 << 16


@dataclass(frozen=True)
class Options:
    """Options of a compression.

    `names`: head.NAMES_*. `exact_files`: every file is restored byte for byte. `block`: pictures per block, None for a
    default that depends on `random`. `random`: blocks are small, for random access. `way`: order and prior of all blocks,
    None for the cheapest. `effort`: of planning tours, 1 to 9. `overwrite` an existing archive. `carry`: embed the models
    in the archive. `adapt`: minutes of fine-tuning the models on these images, 0 for none.
    """

    names: int = head.NAMES_KEEP
    exact_files: bool = False
    block: int | None = None
    random: bool = False
    way: Way | None = None
    effort: int = DEFAULT_EFFORT
    overwrite: bool = False
    carry: bool = False
    adapt: float = 0.0

    def __post_init__(self) -> None:
        """Raises InputError for numbers out of range."""
        if not 1 <= self.effort <= MAX_EFFORT or (self.block is not None and self.block < 1) or self.adapt < 0:
            raise InputError(
                f"the effort must be 1 to {MAX_EFFORT}, the block size at least 1, the minutes to adapt at least 0"
            )


@dataclass(frozen=True)
class PackingResult:
    """Result of `compress`: what was read, the number of contents stored unmodelled, and the archive's size in bytes.

    `without_names` estimates that size under the other head.NAMES_*; empty unless names were kept. `encoding_seconds` is
    how long coding by networks took.
    """

    collection: Collection
    stored: int
    size: int
    without_names: dict[int, int]
    encoding_seconds: float


def compress(
    source: Path | Source,
    target: Path,
    models: list[Model],
    options: Options,
    progress: Progress,
    inspect: Callable[[Path], None] | None = None,
    estimated: Estimated | None = None,
) -> PackingResult:
    """Compress a directory, or another source, into the file `target`, with those of `models` that make it smallest.

    `inspect` gets the path of the finished file before it appears as `target`; if it raises nothing appears. `estimated`,
    if given, is called before long coding with how long it will take. Raises InputError, OutputError, ExactnessError; the
    target is written whole or not at all.
    """
    for model in models:
        quick_selftest(model.networks.device)
    refuse_occupied(target, options.overwrite)  # now, not after hours of work
    remove_left_over(target)
    source = Folder(source) if isinstance(source, Path) else source
    found = collect(source, target, options.exact_files, progress("read", 0))
    samples = sum(c.picture.samples.size for c in found.contents if c.picture)
    if len(found.names) > MAX_ENTRIES or samples > MAX_ALL_PIXELS:
        raise InputError("there are more files or pixels than one archive may hold; compress parts of the directory")
    methods = MethodChoice([(c.size, c.picture) for c in found.contents])
    packed: dict[bytes, bytes] = {}
    if options.adapt:
        choices, models, packed = choose_adapted(methods, models, options.adapt, progress)
    else:
        choices, _ = methods.choose(models, progress("price", methods.count))
    archive = _Archive(found, choices, models, options, methods.prices())
    if estimated is not None and (estimate := archive.estimate()) is not None:
        estimated(estimate)
    begin = time.monotonic()
    archive.code(progress("encode", archive.elements()))
    encoding_seconds = time.monotonic() - begin
    archive.store()
    if smaller_as_files(found, choices, archive.size + sum(map(len, packed.values()))):
        archive, packed = _Archive(found, [FILE] * methods.count, [], options, []), {}
        archive.store()
    directory = archive.directory()
    header = head.Header(
        names=options.names,
        promise=head.PROMISE_BYTES if options.exact_files else head.PROMISE_PIXELS,
        exactness=exactness(),
        models=[head.ModelReference(model.name, model.sha256) for model in archive.models],
        entries=len(found.names),
        duplicates=len(found.names) - methods.count,
        folders=len(archive.folders),
        empty=len(directory.empty),
        blocks=archive.block_sizes,
        stores=archive.store_sizes,
    )
    sections = [("HEAD", head.encode(header)), ("FORM", archive.form)]
    if options.carry:
        packed = {model.sha256: pack_model(model.plain) for model in archive.models}
    carried = [("MODL", packed[model.sha256]) for model in archive.models if model.sha256 in packed]
    sections += carried
    names = pack_directory(directory)
    sections += names
    sections += [("BLCK", data) for data in archive.blocks] + [("FILE", data) for data in archive.stores]
    features = FEATURE_MODELS if carried else 0
    if any(model.arch.candidates for model in archive.models):
        features |= FEATURE_COPIES
    if any(derived(each.form) for each in archive.classes):
        features |= FEATURE_DERIVED
    if archive.several_stacks:
        features |= FEATURE_STACKS
    chunks = write_container([s for s in sections if s[1]], features)
    size = write_atomically(target, chunks, options.overwrite, inspect)
    stored = sum(choice.content_class.method != METHOD_CODED for choice in archive.choices)
    saved = archive.saved_by_names(_size(names))
    without_names = {mode: size - each for mode, each in saved.items()}
    return PackingResult(found, stored, size, without_names, encoding_seconds)


class _Archive:
    """The sections of an archive being made; `numbers[i]` is the number in the archive of content i."""

    def __init__(
        self, found: Collection, choices: list[Choice], models: list[Model], options: Options, prices: list[float]
    ) -> None:
        """The choices' classes index `models`, of which only those in use are kept; `prices` [contents], bits."""
        self.found, self.options, self._prices = found, options, prices
        self.choices, self.models = _number_models(choices, models)
        self.classes, self.sequence = _classes(self.choices)
        self.form = class_table.encode(self.classes) if self.classes else b""
        self.folders = _folders(found.names) if options.names == head.NAMES_FOLDERS else []
        self.blocks: list[bytes] = []
        self.several_stacks = False  # in a block
        self.block_sizes: list[int] = []
        self.stores: list[bytes] = []
        self.store_sizes: list[int] = []
        self.numbers = [0] * len(choices)
        self.stored_pictures: list[int] = []  # contents, in the order of the archive
        self._members: list[list[int]] = []  # of each block
        self._order_bytes = 0
        self._next = 0

    @property
    def size(self) -> int:
        """Bytes of all blocks, stored files and classes so far."""
        return len(self.form) + sum(map(len, self.blocks)) + sum(map(len, self.stores))

    def elements(self) -> int:
        """Number of elements to be coded."""
        counts = [len(cells(each)) if each.method == METHOD_CODED else 0 for each in self.classes]
        return sum(counts[i] for i in self.sequence.tolist())

    def estimate(self) -> Estimate | None:
        """How long `code`, and restoring, will take on this machine; None if that is short or cannot be told."""
        blocks = list(self._runs_to_code())
        work = [each for members in blocks for each in self._group_work(members)]
        if not is_long(work, self.models):
            return None
        sequence = np.concatenate([self.sequence[members] for members in blocks])
        pictures = [(each, int(n)) for each, n in zip(self.classes, np.bincount(sequence), strict=False)]
        side = side_by_side(max(map(len, blocks)), self.models[0].networks.device)
        encoding, decoding = coding_seconds(work, self.models, side)
        planning = planning_seconds(map(len, blocks), self.models[0], self.options.effort)
        names = tuple(model.name for model in self.models)
        return Estimate(len(sequence), names, encoding + planning, decoding + writing_seconds(pictures))

    def _group_work(self, members: list[int]) -> list[GroupWork]:
        """What the networks will do for a block, if its latents are conditional on parents."""
        used, counts = np.unique(self.sequence[members], return_counts=True)
        found = []
        for group, n in count([self.classes[i] for i in used], counts.tolist()).items():
            arch, pixels = self.models[group.model].arch, group.height * group.width
            lanes = choose_lanes(n, pixels, arch.colours, True, self.options.random, bool(arch.candidates))
            found.append(GroupWork(group, n, lanes))
        return found

    def code(self, advance: Advance) -> None:
        """Encode all blocks; `advance` takes numbers of elements."""
        keep = self.options.names == head.NAMES_KEEP
        index = {folder: i for i, folder in enumerate(self.folders)}
        planning = PlanOptions(self.options.effort, self.options.way, self.options.random)
        for members in self._runs_to_code():
            folders = np.array([index[self._folder(i)] for i in members]) if self.folders else None
            pictures = [samples for i in members if (samples := self.choices[i].samples) is not None]
            expected = sum(self._prices[i] for i in members)
            given = Members(pictures, self.sequence[members], folders, keep, expected)
            block, order = encode_block(given, self.classes, self.models, advance, planning)
            self.blocks.append(blocks.encode(block))
            self.several_stacks |= len(block.bits) > 1
            self._members.append(members)
            self._order_bytes += len(block.order)
            self.block_sizes.append(len(members))
            self._number(members if keep else [members[i] for i in order])

    def _runs_to_code(self) -> Iterator[list[int]]:
        """The contents of each block, by index."""
        sizes, block = self._to_code(), self.options.block
        if not self.options.random or block is not None:
            yield from _runs(sizes, block or BLOCK_PICTURES, BLOCK_SAMPLES)
            return
        run: list[int] = []
        for i in sizes:
            run.append(i)
            enough = len(run) >= RANDOM_PICTURES or sum(sizes[j] for j in run) >= RANDOM_SAMPLES
            if enough and sum(self._prices[j] for j in run) >= RANDOM_BITS:
                yield run
                run = []
        if run:
            yield run

    def _to_code(self) -> dict[int, int]:
        """Contents to be coded and their numbers of samples, by name, or folder by folder where only folders are kept."""
        members = range(len(self.choices))
        ordered = sorted(members, key=self._folder) if self.folders else members
        return {
            i: samples.size
            for i in ordered
            if self.choices[i].content_class.method == METHOD_CODED and (samples := self.choices[i].samples) is not None
        }

    def store(self) -> None:
        """Pack all other contents into FILE sections, by method, in the order of names."""
        for method in (METHOD_FILE, METHOD_WEBP, METHOD_RAW):
            found = self.found.contents
            sizes = {i: found[i].size for i, choice in enumerate(self.choices) if choice.content_class.method == method}
            small = self.options.random and method == METHOD_WEBP
            for run in _runs(sizes, STORE_ITEMS, RANDOM_STORE_BYTES if small else STORE_BYTES):
                items = [(int(self.sequence[i]), self._content(i)) for i in run]
                self.stores.append(pack_store(items))
                self.store_sizes.append(len(run))
                self._number(run)
                self.stored_pictures += run if method != METHOD_FILE else []

    def _content(self, i: int) -> bytes:
        choice = self.choices[i]
        if choice.data is not None:
            return choice.data
        return self.found.read(self.found.contents[i]) if choice.samples is None else choice.samples.tobytes()

    def _number(self, members: list[int]) -> None:
        for i in members:
            self.numbers[i] = self._next
            self._next += 1

    def _folder(self, content: int) -> bytes:
        return folder_of(self.found.names[self.found.contents[content].entry])

    def directory(self) -> Directory:
        """The contents of the name sections; `code` and `store` come first, which number the contents."""
        return self._directory(self.options.names, self.folders)

    def _directory(self, mode: int, folders: list[bytes]) -> Directory:
        methods = [choice.content_class.method for choice in self.choices]
        lists = list_directory(self.found.names, self.found.content_of, methods, self.numbers, folders, mode)
        index = {folder: i for i, folder in enumerate(folders)}
        stored = [index[self._folder(i)] for i in self.stored_pictures] if folders else []
        return Directory(*lists, stored, folders, self.found.empty if mode != head.NAMES_DROP else [])

    def saved_by_names(self, packed: int) -> dict[int, int]:
        """Estimated bytes that the archive would be smaller by under each other head.NAMES_*; empty unless names are kept.

        `packed` is the size of the name sections in bytes. Blocks are taken to stay the same but for their orders.
        """
        if self.options.names != head.NAMES_KEEP or all(each.content_class.method == METHOD_FILE for each in self.choices):
            return {}
        folders = _folders(self.found.names)
        kept = packed + self._order_bytes
        counts = [list(Counter(map(self._folder, members)).values()) for members in self._members]
        in_folders = _size(pack_directory(self._directory(head.NAMES_FOLDERS, folders))) + int(order_bits(counts, []) / 8)
        dropped = _size(pack_directory(self._directory(head.NAMES_DROP, [])))
        return {head.NAMES_FOLDERS: kept - in_folders, head.NAMES_DROP: kept - dropped}


def _folders(names: list[bytes]) -> list[bytes]:
    """All folders that hold a file, sorted."""
    return sorted({folder_of(name) for name in names})


def _size(sections: list[tuple[str, bytes]]) -> int:
    """Total size in bytes."""
    return sum(len(data) for _, data in sections)


def _runs(sizes: dict[int, int], most: int, limit: int) -> Iterator[list[int]]:
    """Split contents, given with sizes, into runs of at most `most` items and size `limit`; a larger one stands alone."""
    run: list[int] = []
    total = 0
    for i, size in sizes.items():
        if run and (len(run) == most or total + size > limit):
            yield run
            run, total = [], 0
        run.append(i)
        total += size
    if run:
        yield run


def _number_models(choices: list[Choice], models: list[Model]) -> tuple[list[Choice], list[Model]]:
    """The choices with models renumbered, and the models in use."""
    used = sorted({plane.model for choice in choices for plane in choice.content_class.planes})
    number = {model: i for i, model in enumerate(used)}

    def numbered(each: Class) -> Class:
        return replace(each, planes=tuple(replace(plane, model=number[plane.model]) for plane in each.planes))

    return [replace(c, content_class=numbered(c.content_class)) for c in choices], [models[i] for i in used]


def _classes(choices: list[Choice]) -> tuple[list[Class], np.ndarray]:
    """All classes in a fixed order, and each choice's: int64 [N]."""
    classes = sorted({c.content_class for c in choices}, key=_class_key)
    number = {each: i for i, each in enumerate(classes)}
    return classes, np.array([number[c.content_class] for c in choices], dtype=np.int64)


def _class_key(each: Class) -> tuple[object, ...]:
    planes = tuple((plane.model, plane.tile) for plane in each.planes)
    return each.method, each.height, each.width, planes, each.form
