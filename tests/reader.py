"""A second reader of archives, written from docs/FORMAT.md: it shares no code and no table with the package.

Plain Python and numpy; numbers in brackets are sections of that document. It is slow, and it trusts its input more than
a reader of strangers' archives may: it checks checksums, digests and seeds, and few of the limits.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from reader_candidates import CANDIDATES, Copies, Memory
from reader_coders import Fields, Slices, Stack, check, names, permutation, sections, seed, sequence, unpacked, words_of
from reader_images import BILEVEL, CHANNELS, Form, read_webp
from reader_models import Model, unpacked_model

FILE, WEBP, RAW, CODED = range(4)
DROP, KEEP, FOLDERS = range(3)
EXACTNESS = bytes.fromhex("7f09fb37")


# [6] Schedules


def steps(count: int, lanes: int) -> list[int]:
    d = 0
    while 1 << d < lanes and 2 * ((2 << d) - 1) <= count:
        d += 1
    ramp, width = [1 << i for i in range(d)], min(lanes, 1 << d)
    full, rest = divmod(count - 2 * sum(ramp), width)
    return ramp + [width] * full + sorted([*ramp, *([rest] if rest else [])], reverse=True)


def pop_group(
    stacks: list[Stack],
    model: Model,
    shape: tuple[int, int],
    count: int,
    lanes: int,
    conditional: bool,
    memories: dict[int, Memory],
) -> np.ndarray:
    """[7] A group's elements, uint8 [count, height, width, C]; `memories` of copy candidates [7.5] by colours."""
    found, codes = [], None
    before: list[Copies] = []
    for size in steps(count, lanes):
        parents, copies, stack = None, [], Slices(stacks, size)
        if conditional and codes is not None:
            parents = codes[np.arange(size) * len(codes) // size]
        if model.arch.get("candidates"):
            memory = memories[model.arch["colours"]]
            of = [before[i * len(before) // size] if before else None for i in range(size)]
            copies = memory.begin(shape, of)
        z = model.pop_latents(stack, size, parents)
        x = model.pop_samples(stack, z, *shape, copies)
        for each in copies:
            each.complete()
        before = copies
        codes = model.encode(x)
        model.push_latents(stack, z, codes)
        found.append(x.astype(np.uint8))
    return np.concatenate(found)


# [2] Classes, blocks, stores


@dataclass
class Class:
    """What pictures have in common; of a file that is kept as it is, only the method."""

    method: int
    height: int = 0
    width: int = 0
    form: Form | None = None
    planes: tuple[tuple[int, int], ...] = ()  # (model, tile)

    def picture(self) -> Form:
        assert self.form is not None
        return self.form

    def cells(self) -> Iterator[tuple[tuple[int, int, int], tuple[slice, slice, slice]]]:
        """The elements of a picture: group (model, height, width), and rows, columns, channels."""
        channels = CHANNELS[self.picture().layout]
        widths = (3, 1) if channels == 4 and len(self.planes) == 2 else (1, 1) if channels == 2 else (channels,)
        start = 0
        for (model, tile), width in zip(self.planes, widths, strict=True):
            for rows in spans(self.height, tile or self.height):
                for columns in spans(self.width, tile or self.width):
                    group = model, rows.stop - rows.start, columns.stop - columns.start
                    yield group, (rows, columns, slice(start, start + width))
            start += width


def spans(length: int, side: int) -> list[slice]:
    parts = -(-length // side)
    sizes = [length // parts + (i < length % parts) for i in range(parts)]
    return [slice(sum(sizes[:i]), sum(sizes[: i + 1])) for i in range(parts)]


def read_classes(data: bytes) -> list[Class]:
    fields = Fields(unpacked(data))
    forms: list[Form] = []
    classes = []
    for _ in range(fields.varint()):
        method = fields.byte()
        if method == FILE:
            classes.append(Class(FILE))
            continue
        height, width, number = fields.varints(3)
        if number == 0:
            forms.append(Form(fields.blob()))
        planes = tuple((fields.varint(), fields.varint()) for _ in range(fields.byte() if method == CODED else 0))
        classes.append(Class(method, height, width, forms[number - 1], planes))
    fields.end()
    return classes


@dataclass
class Content:
    """What one or several files hold; `folder` of a picture where folders are kept."""

    kind: Class
    data: bytes
    folder: int = 0


def read_block(data: bytes, archive: "Archive") -> list[Content]:
    """The pictures of a block, in the order of their numbers."""
    fields = Fields(data)
    flags = fields.byte()
    tour, conditional = flags & 1, bool(flags & 2)
    used, counts, lowest = [], [], 0
    for _ in range(fields.varint()):
        index = lowest + fields.varint()
        used.append(archive.classes[index])
        counts.append(fields.varint())
        lowest = index + 1
    lanes = fields.varints(fields.varint())
    several = fields.varint() if flags & 4 else 1
    check(several > 1 or not flags & 4, "there are not several stacks")
    lengths = [(fields.varint(), fields.varint()) for _ in range(several - 1)]
    seeds = [*(words for words, _ in lengths), fields.varint()]
    digest = fields.take(16)
    fields.varints(5)
    order, total = Fields(fields.blob()), sum(counts)
    places = [(order.varint(), order.varint()) for _ in range(order.varint())] if archive.folders else []
    stack = Stack(words_of(order.rest()))
    kinds = sequence(stack, counts)
    where = [index for index, (_, n) in enumerate(places) for _ in range(n)]
    if tour and places:
        where = sequence(stack, [n for _, n in places])
    ranks = permutation(stack, total) if tour and archive.names == KEEP else list(range(total))
    check(not stack.words(), "an order has bits left over")
    sizes: dict[tuple[int, int, int], int] = {}
    for each, n in zip(used, counts, strict=True):
        for group, _ in each.cells():
            sizes[group] = sizes.get(group, 0) + n
    stacks = [Stack(words_of(fields.take(4 * words))) for _, words in lengths] + [Stack(words_of(fields.rest()))]
    elements, pixels = {}, dict.fromkeys(range(5), 0)
    for (model, height, width), n in sizes.items():
        pixels[archive.models[model].arch["colours"]] += (
            n * height * width * archive.models[model].arch.get("candidates", 0)
        )
    memories = {colours: Memory(colours, n // CANDIDATES) for colours, n in pixels.items()}
    for group, each_lanes in zip(sorted(sizes), lanes, strict=True):
        model, *shape = group
        size = shape[0], shape[1]
        elements[group] = iter(
            pop_group(stacks, archive.models[model], size, sizes[group], each_lanes, conditional, memories)
        )
    check([stack.words() for stack in stacks] == [seed(words) for words in seeds], "the seed was not met")
    found, hashes = [], b""
    for i, kind in enumerate(kinds):
        each = used[kind]
        samples = np.zeros((each.height, each.width, CHANNELS[each.picture().layout]), np.uint8)
        for group, part in each.cells():
            samples[part] = next(elements[group])[..., : samples[part].shape[-1]]  # alpha of a model for more is left
        hashes += hashlib.sha256(samples.tobytes()).digest()
        found.append(Content(each, each.picture().write(samples), places[where[i]][0] if places else 0))
    check(hashlib.sha256(hashes).digest()[:16] == digest, "the pixels are not those that were encoded")
    return [found[i] for i in np.argsort(ranks)]


def read_store(data: bytes, count: int, classes: list[Class]) -> list[Content]:
    fields = Fields(unpacked(data))
    kinds: list[Class] = []
    while len(kinds) < count:
        index, run = fields.varints(2)
        check(run, "a run is empty")
        kinds += [classes[index]] * run
    items = [fields.take(length) for length in fields.varints(count)]
    fields.end()
    return [Content(kind, restored(kind, item)) for kind, item in zip(kinds, items, strict=True)]


def restored(kind: Class, data: bytes) -> bytes:
    if kind.method == FILE:
        return data
    channels = CHANNELS[kind.picture().layout]
    if kind.method == WEBP:
        return kind.picture().write(read_webp(data, channels))
    if kind.picture().layout == BILEVEL and len(data) == kind.height * -(-kind.width // 8) != kind.height * kind.width:
        strips = np.frombuffer(data, np.uint8).reshape(-1, kind.height, 1) >> np.arange(7, -1, -1) & 1
        samples = np.concatenate(list(strips), 1)[:, : kind.width, None]
        return kind.picture().write(samples.astype(np.uint8))
    return kind.picture().write(np.frombuffer(data, np.uint8).reshape(kind.height, kind.width, channels))


# [12] The directory


class Archive:
    """A whole archive, decoded: `files` by name, `empty` directories, `contents` as they are numbered."""

    def __init__(self, data: bytes, models: list[bytes]) -> None:
        found = sections(data)
        once = dict(found)
        head = Fields(once["HEAD"])
        self.names = head.byte() & 3
        exactness = head.take(4)
        carried = [unpacked_model(payload, models) for tag, payload in found if tag == "MODL"]
        known = {model.sha256: model for model in map(Model, [*models, *carried])}
        self.models = [known[(head.blob(), head.take(32))[1]] for _ in range(head.varint())]
        self.duplicates, self.folders, empty = head.varints(3)
        blocks, stores = (head.varints(head.varint()) for _ in range(2))
        head.end()
        check(exactness == EXACTNESS or not blocks, "the archive was made with another arithmetic")
        self.classes = read_classes(once["FORM"]) if "FORM" in once else []
        self.contents: list[Content] = []
        coded = [payload for tag, payload in found if tag == "BLCK"]
        for payload, count in zip(coded, blocks, strict=True):
            pictures = read_block(payload, self)
            check(len(pictures) == count, "a block does not fit the header")
            self.contents += pictures
        kept = [payload for tag, payload in found if tag == "FILE"]
        for payload, count in zip(kept, stores, strict=True):
            self.contents += read_store(payload, count, self.classes)
        methods = [each.kind.method for each in self.contents[sum(blocks) :]]
        check(methods == sorted(methods), "what is stored does not stand by method")
        self.files = self._files(once, sum(blocks))
        check(len(self.files) == sum(blocks) + sum(stores) + self.duplicates, "there are more or fewer names than files")
        self.empty = names(once.get("EMPT", b""), empty)

    def _files(self, once: dict[str, bytes], coded: int) -> dict[bytes, bytes]:
        order = Fields(once.get("ORDR", bytes(5)))
        counts = order.varints(5)
        stack = Stack(words_of(order.rest()))
        kinds = sequence(stack, counts)
        check(not stack.words(), "the order of names has bits left over")
        places = Fields(unpacked(once["PLAC"]) if "PLAC" in once else b"\0")
        named = places.varints(places.varint())
        check(len(named) == counts[4], "duplicates do not fit")
        check(len(named) <= self.duplicates and (self.names == KEEP or counts[1:4] == [0, 0, 0]), "names do not fit")
        numbered = [(places.varint(), places.varint()) for _ in range(self.duplicates - len(named))]
        if self.names == FOLDERS:
            for content in self.contents[coded:]:
                content.folder = places.varint() if content.kind.method != FILE else 0
        places.end()
        queues = [iter([i for i, each in enumerate(self.contents) if each.kind.method == m]) for m in range(4)]
        queues.append(iter(named))
        files = {}
        for name, kind in zip(names(once.get("NAME", b""), sum(counts)), kinds, strict=True):
            files[name] = self.contents[next(queues[kind])].data
        return files if self.names == KEEP else {**files, **self._numbered(once, list(files), numbered)}

    def _numbered(self, once: dict[str, bytes], taken: list[bytes], again: list[tuple[int, int]]) -> dict[bytes, bytes]:
        """Pictures whose names were dropped."""
        folders = names(once.get("FLDR", b""), self.folders) or [b"."]
        paths = [b"" if folder == b"." else folder + b"/" for folder in folders]
        used = {b"/".join(parts[: i + 1]) for name in taken for parts in [name.split(b"/")] for i in range(len(parts))}
        used |= {b"/".join(parts[: i + 1]) for path in folders for parts in [path.split(b"/")] for i in range(len(parts))}
        members = [(i, each.folder) for i, each in enumerate(self.contents) if each.kind.method != FILE] + again
        next_number = [0] * len(folders)
        files = {}
        for content, folder in members:
            digits = len(str(sum(other == folder for _, other in members) - 1))
            while True:
                name = b"%s%0*d" % (paths[folder], digits, next_number[folder])
                name += self.contents[content].kind.picture().suffix.encode()
                next_number[folder] += 1
                if name not in used:
                    break
            files[name] = self.contents[content].data
        return files
