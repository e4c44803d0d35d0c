"""A second reader of archives, written from docs/FORMAT.md: it shares no code and no table with the package.

Plain Python and numpy; numbers in brackets are sections of that document. It is slow, and it trusts its input more than
a reader of strangers' archives may: it checks checksums, digests and seeds, and few of the limits.
"""

import hashlib
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image
from reader_candidates import CANDIDATES, Copies, Memory
from reader_coders import Fields, Stack, check, names, permutation, sections, seed, sequence, unpacked, words_of
from reader_models import Model, unpacked_model

FILE, WEBP, RAW, CODED = range(4)
DROP, KEEP, FOLDERS = range(3)
BILEVEL, GREY, GREY_ALPHA, RGB, RGBA, INDEX = range(6)
CHANNELS = (1, 1, 2, 3, 4, 1)
EXACTNESS = bytes.fromhex("7f09fb37")
# First row and column, steps between rows and columns, of the passes over an interlaced PNG.
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


# [6] Schedules


def steps(count: int, lanes: int) -> list[int]:
    d = 0
    while 1 << d < lanes and 2 * ((2 << d) - 1) <= count:
        d += 1
    ramp, width = [1 << i for i in range(d)], min(lanes, 1 << d)
    full, rest = divmod(count - 2 * sum(ramp), width)
    return ramp + [width] * full + sorted([*ramp, *([rest] if rest else [])], reverse=True)


def pop_group(
    stack: Stack,
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
        parents, copies = None, []
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


# [3] Files from forms and samples


class Form:
    """Everything of an image file but its samples."""

    def __init__(self, data: bytes) -> None:
        self.expanded, self.derived = data[0] in (3, 4), data[0] == 4
        self.kind = 1 if self.derived else data[1 if self.expanded else 0]
        fields = Fields(data[2 if data[0] == 3 else 1 :])
        self.fields = []
        while fields.at < len(fields.data):
            self.fields.append(fields.blob())
        if self.derived:
            self.stated = self.fields
            channels = 4 if b"tRNS" in self.fields else 3
            (entries,) = (field[4:] for field in self.fields if field[:4] == b"PLTE")
            self.unused = np.frombuffer(entries, np.uint8).reshape(-1, channels)
            self._derive(np.zeros((0, channels), np.uint8))
        self.palette = np.zeros((0, 3), np.uint8)
        self.suffix = ".png"
        check(self.kind in (1, 2), "a form is of an unknown kind")
        if self.kind == 1:
            self._png()
        else:
            self._raster()
        self.layout = (RGB if self.palette.shape[1] == 3 else RGBA) if self.expanded else self.own

    def _derive(self, colours: np.ndarray) -> None:
        """The fields with a palette of these colours and those not in use."""
        channels = self.unused.shape[1]
        found = {tuple(colour) for colour in np.concatenate([self.unused, colours]).tolist()} or {(0,) * channels}
        palette = sorted(found, key=lambda colour: (*colour[3:], *colour[:3]))
        plain = b"".join(bytes(colour[:3]) for colour in palette)
        alpha = b"".join(bytes(colour[3:]) for colour in palette).rstrip(b"\xff")
        bodies = {b"PLTE": b"PLTE" + plain, b"tRNS": b"tRNS" + alpha}
        self.fields = [bodies.get(field[:4], field) for field in self.stated]

    def _png(self) -> None:
        self.depth, colour, *interlaced = self.fields[0]
        check(interlaced in ([], [1]), "a PNG's rows are in an unknown order")
        self.colour, self.passes = colour, ADAM7 if interlaced else ((0, 0, 1, 1),)
        rows = self.fields.index(b"")
        self.before, self.after, self.tail = self.fields[1:rows], self.fields[rows + 1 :], b""
        if b"" in self.after:
            *self.after, empty, self.tail = self.after
            check(not empty and self.tail and b"" not in self.after, "a PNG has an empty chunk")
        self.own = (
            BILEVEL if (self.depth, colour) == (1, 0) else {0: GREY, 2: RGB, 3: INDEX, 4: GREY_ALPHA, 6: RGBA}[colour]
        )
        if self.own == INDEX:
            (entries,) = (chunk[4:] for chunk in self.before if chunk[:4] == b"PLTE")
            self.palette = np.frombuffer(entries, np.uint8).reshape(-1, 3)
            alphas = [chunk[4:] for chunk in self.before if chunk[:4] == b"tRNS"]
            if alphas:
                alpha = alphas[-1][: len(self.palette)].ljust(len(self.palette), b"\xff")
                self.palette = np.column_stack([self.palette, np.frombuffer(alpha, np.uint8)])

    def _raster(self) -> None:
        prefix, hole, suffix = self.fields
        whole = prefix + bytes(int.from_bytes(hole, "little")) + suffix
        self.flip = self.blue_first = False
        if prefix[:1] == b"P":
            kind = prefix[1:2]
            self.suffix, self.own = {b"4": (".pbm", BILEVEL), b"5": (".pgm", GREY), b"6": (".ppm", RGB)}[kind]
            text = re.sub(rb"#[^\r\n]*[\r\n]", b" ", prefix)
            self.width, self.height = map(int, text[2:].split()[:2])
            self.stride = (self.width + 7) // 8 if self.own == BILEVEL else self.width * CHANNELS[self.own]
        elif prefix[:2] == b"BM":
            self.suffix = ".bmp"
            header, self.width, height, _, bits = struct.unpack_from("<IiiHH", whole, 14)
            (used,) = struct.unpack_from("<I", whole, 46)
            self.height, self.flip, self.stride = abs(height), height > 0, -(-self.width * bits // 32) * 4
            self.own = RGB if bits == 24 else INDEX
            self.blue_first = bits == 24
            if bits == 8:
                table = np.frombuffer(whole, np.uint8, 4 * (used or 256), 14 + header).reshape(-1, 4)
                self.palette = np.ascontiguousarray(table[:, 2::-1])
                if np.array_equal(self.palette, np.repeat(np.arange(256)[:, None], 3, 1)):
                    self.own = GREY
        else:
            self.suffix = ".tif"
            tags = self._tiff(whole)
            self.width, self.height = tags[256], tags[257]
            self.own = {1: GREY, 2: GREY_ALPHA, 3: RGB, 4: RGBA}[tags.get(277, 1)]
            self.stride = self.width * CHANNELS[self.own]

    @staticmethod
    def _tiff(whole: bytes) -> dict[int, int]:
        """The values of those tags that have one of 2 or 4 bytes."""
        order = "<" if whole[:2] == b"II" else ">"
        (start,) = struct.unpack_from(order + "I", whole, 4)
        (count,) = struct.unpack_from(order + "H", whole, start)
        tags = {}
        for i in range(count):
            tag, kind, number = struct.unpack_from(order + "HHI", whole, start + 2 + 12 * i)
            if number == 1 and kind in (3, 4):
                (tags[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), whole, start + 10 + 12 * i)
        return tags

    def write(self, samples: np.ndarray) -> bytes:
        """The file with samples uint8 [H, W, C]."""
        if self.derived:
            self._derive(samples.reshape(-1, samples.shape[2]))
            self._png()
        if self.expanded:
            first = {tuple(colour): i for i, colour in reversed(list(enumerate(self.palette.tolist())))}
            indices = [first[tuple(colour)] for colour in samples.reshape(-1, samples.shape[2]).tolist()]
            samples = np.array(indices, np.uint8).reshape(*samples.shape[:2], 1)
        return self._write_png(samples) if self.kind == 1 else self._write_raster(samples)

    def _write_png(self, samples: np.ndarray) -> bytes:
        height, width, channels = samples.shape
        filtered = self.depth == 8 and self.own != INDEX
        body = b""
        for top, left, down, right in self.passes:
            part = samples[top::down, left::right]
            if not part.size:
                continue
            rows = part.reshape(len(part), -1)
            if self.depth < 8:
                bits = np.unpackbits(part[:, :, :1], axis=2)[:, :, 8 - self.depth :]
                rows = np.packbits(bits.reshape(len(part), -1), axis=1)
            body += filter_rows(rows, channels) if filtered else b"".join(b"\0" + row.tobytes() for row in rows)
        deflate = zlib.compressobj(6, strategy=zlib.Z_FILTERED if filtered else zlib.Z_DEFAULT_STRATEGY)
        header = b"IHDR" + struct.pack(">IIBBBBB", width, height, self.depth, self.colour, 0, 0, len(self.passes) > 1)
        chunks = [header, *self.before, b"IDAT" + deflate.compress(body) + deflate.flush(), *self.after, b"IEND"]
        parts = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + self.tail

    def _write_raster(self, samples: np.ndarray) -> bytes:
        check(samples.shape[:2] == (self.height, self.width), "a file is of another size than its samples")
        samples = samples[:: -1 if self.flip else 1, :, :: -1 if self.blue_first else 1]
        rows = np.packbits(1 - samples[:, :, 0], 1) if self.own == BILEVEL else samples.reshape(self.height, -1)
        body = np.pad(rows, ((0, 0), (0, self.stride - rows.shape[1]))).tobytes()
        check(len(body) == int.from_bytes(self.fields[1], "little"), "a file's rows are of another length")
        return self.fields[0] + body + self.fields[2]


def filter_rows(rows: np.ndarray, channels: int) -> bytes:
    """PNG's filters, each row's that leaves the least sum of absolute differences."""
    out, above = bytearray(), np.zeros(rows.shape[1], np.int64)
    for row in rows.astype(np.int64):
        left = np.concatenate([np.zeros(channels, np.int64), row[:-channels]])
        corner = np.concatenate([np.zeros(channels, np.int64), above[:-channels]])
        guess = left + above - corner
        order = np.stack([left, above, corner])
        paeth = np.take_along_axis(order, np.abs(order - guess).argmin(0)[None], 0)[0]
        rests = [(row - each) % 256 for each in (0 * row, left, above, (left + above) // 2, paeth)]
        best = min(range(5), key=lambda i: int(np.minimum(rests[i], 256 - rests[i]).sum()))
        out += bytes([best]) + rests[best].astype(np.uint8).tobytes()
        above = row
    return bytes(out)


def read_webp(data: bytes, channels: int) -> np.ndarray:
    with Image.open(BytesIO(data), formats=("WEBP",)) as image:
        samples = np.asarray(image.convert("RGBA" if channels in (2, 4) else "RGB"))
    return samples if channels > 2 else samples[..., :: 3 if channels == 2 else 1][..., :channels]


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
    seed_words = fields.varint()
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
    stack = Stack(words_of(fields.rest()))
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
            pop_group(stack, archive.models[model], size, sizes[group], each_lanes, conditional, memories)
        )
    check(stack.words() == seed(seed_words), "the seed was not met")
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
