"""Cases for benchmarks/fuzz.py: small archives of tiny pictures under tiny models, and mutations of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image

from acncodec.archive import header as head
from acncodec.archive import manifest as manifests
from acncodec.archive.classes import METHOD_CODED, METHOD_RAW, METHOD_WEBP, Class, PlaneCoding
from acncodec.archive.container import FEATURE_PARTS, read_container, write_container
from acncodec.archive.fields import MAX_VARINT, FieldReader, FieldWriter
from acncodec.archive.manifest import Manifest, Part
from acncodec.archive.store import PLAIN, unpack_blob
from acncodec.block.plan import Way
from acncodec.coding.selftest import TINY_ARCH, fixed_networks, pseudo_random
from acncodec.errors import DamagedError
from acncodec.exact.grids import FREQUENCY_BITS, WIDTHS
from acncodec.images.picture import Picture, expand, layout
from acncodec.images.raster import Layout
from acncodec.images.webp import pack_webp
from acncodec.nets.architecture import Architecture
from acncodec.nets.model import Model, UnconditionalPrior, dump_model, parse_model
from acncodec.packing.compress import Options, compress
from acncodec.packing.method_choice import FILE, Choice
from acncodec.progress import Advance, unwatched
from acncodec.reading.parts import Parts, sha256_of
from acncodec.reading.reader import Archive

COLOUR = {"levels": 256, "logistics": 2, "colours": 3}
COPIES = {"levels": 256, "logistics": 13, "colours": 4, "centres": 5, "candidates": 6}
KINDS = ({"levels": 2}, {"levels": 256}, COLOUR, COPIES)
DRAWN, DRAWN_WIDTH = 3, 5  # the last model's index, and the width of the pictures that it codes
PLANE_MODELS = {  # indices of KINDS
    Layout.BILEVEL: (0,),
    Layout.GREY: (1,),
    Layout.RGB: (2,),
    Layout.RGBA: (2, 1),
}
COMPONENTS = 3  # of the models' unconditional priors
ARCHIVES = (
    Options(head.NAMES_KEEP, way=Way.TOUR),
    Options(head.NAMES_KEEP, way=Way.NAMES, block=3),
    Options(head.NAMES_FOLDERS, way=Way.TOUR),
    Options(head.NAMES_DROP, way=Way.UNORDERED),
    Options(head.NAMES_KEEP, exact_files=True, carry=True),
)
STACKS = 2  # of each block of one more archive, which has two lanes
PARTS = ("a", "b", "c")  # folders of the directory, each a part of the archive of many parts
PACKED = ("FORM", "FILE", "PLAC")  # sections that are one blob
UNPACKED_MAX = 1 << 16
LIMITS = (0, 1, 2, 3, 7, 8, 13, 14, 20, 24, 26, 28, 31, 32, 40, 63, 64)  # log2 of what integers are often limited to
VALUES = sorted({(1 << bits) + d for bits in LIMITS for d in (-1, 0, 1)})

Section = tuple[str, bytes]


@dataclass
class Material:
    """An archive to be mutated: its sections, and the files (name -> bytes) and empty directories that it gives.

    Of an archive of many parts it is the manifest that is mutated; the parts are files beside it, and `named`.
    """

    sections: list[Section]
    files: dict[bytes, bytes]
    empty: list[bytes]
    named: bool = False


def make_models() -> list[bytes]:
    """Model files of the self-test's networks, for bilevel, grey and RGB pixels."""
    found = []
    for kind in KINDS:
        networks = fixed_networks(Architecture(**kind, **TINY_ARCH))
        shape = COMPONENTS, networks.arch.code
        means = pseudo_random("means", COMPONENTS * networks.arch.code, -40, 40).astype(np.int16)
        widths = pseudo_random("widths", COMPONENTS * networks.arch.code, 16, WIDTHS - 1).astype(np.uint8)
        weights = pseudo_random("weights", COMPONENTS, 1 << 16, 1 << FREQUENCY_BITS).astype(np.int32)
        prior = UnconditionalPrior(*map(torch.from_numpy, (weights, means.reshape(shape), widths.reshape(shape))))
        found.append(dump_model(f"tiny {kind}", networks, prior, {"purpose": "fuzzing"}))
    return found


def make_directory(root: Path) -> None:
    """Tiny pictures in all modes, other files, duplicates, an empty directory; see `MethodChoice` for what rows mean."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (3, 4, 4), np.uint8)
    drawn = noise[0, :3][random.integers(0, 3, (3, DRAWN_WIDTH))]
    pictures = {
        "a/bits-0.png": Image.fromarray(noise[..., 0] > 99),
        "a/bits-1.png": Image.fromarray(noise[..., 1] > 99),
        "a/bits-2.png": Image.fromarray(noise[..., 2] > 99),
        "a/grey-0.pgm": Image.fromarray(noise[..., 0]),
        "b/grey-1.png": Image.fromarray(noise[..., 1]),
        "b/rgb-0.ppm": Image.fromarray(noise[..., :3]),
        "b/rgba-0.png": Image.fromarray(noise),
        "b/palette.png": Image.fromarray(noise[..., :3]).quantize(5),
        "a/drawn-0.png": Image.fromarray(drawn),
        "a/drawn-1.png": Image.fromarray(drawn[:, ::-1].copy()),
        "b/drawn-2.png": Image.fromarray(drawn[..., :3].copy()),
        "b/drawn-3.png": sorted_palette(drawn[..., 0]),
        "b/raw-0.png": Image.fromarray(noise[:2, :, 0]),
        "c/raw-1.bmp": Image.fromarray(noise[:2, :, :3]),
        "c/webp-0.png": Image.fromarray(noise[:1, :, :2].copy(), "LA"),
        "c/webp-1.png": Image.fromarray(noise[:1]),
    }
    for name, picture in pictures.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(root / name)
    (root / "c" / "copy.png").write_bytes((root / "b" / "grey-1.png").read_bytes())
    for name in ("text.txt", "copy.txt"):
        (root / "c" / name).write_bytes(b"text " * 5)
    (root / "nothing").mkdir()


def sorted_palette(values: np.ndarray) -> Image.Image:
    """A picture of the values' ranks, with a palette that is left out of archives: its colours are in use, and sorted."""
    used, indices = np.unique(values, return_inverse=True)
    image = Image.fromarray(indices.reshape(values.shape).astype(np.uint8), "P")
    image.putpalette(np.repeat(used, 3).tobytes())
    return image


class MethodChoice:
    """In the place of the codec's, so that every method occurs: pictures of 3 rows are coded, of 2 raw, of 1 WebP."""

    def __init__(self, contents: list[tuple[int, Picture | None]]) -> None:
        self._pictures = [picture for _, picture in contents]
        self.count = len(contents)

    def choose(self, models: list[Model], advance: Advance) -> tuple[list[Choice], float]:
        return [FILE if picture is None else _choice(expand(picture) or picture) for picture in self._pictures], 0.0

    def prices(self) -> list[float]:
        return [0.0] * self.count


def _choice(picture: Picture) -> Choice:
    height, width, _ = picture.samples.shape
    if height == 1:
        return Choice(Class(METHOD_WEBP, height, width, picture.form, ()), data=pack_webp(picture.samples))
    if height == 2:
        return Choice(Class(METHOD_RAW, height, width, picture.form, ()), picture.samples)
    numbers = (DRAWN,) if width == DRAWN_WIDTH else PLANE_MODELS[layout(picture.form)]
    coding = tuple(PlaneCoding(number, 2 * (len(numbers) - 1)) for number in numbers)  # RGBA in tiles
    return Choice(Class(METHOD_CODED, height, width, picture.form, coding), picture.samples)


def make_material(folder: Path) -> list[Material]:
    """Write models and archives into a folder, which keeps them."""
    make_directory(folder / "in")
    paths = [folder / f"{number}.safetensors" for number in range(len(KINDS))]
    for path, data in zip(paths, make_models(), strict=True):
        path.write_bytes(data)
    models = [parse_model(path.read_bytes()) for path in paths]
    found = []
    target = folder / "archive"
    for options in ARCHIVES:
        _compress(folder / "in", target, models, options)
        found.append(read_material(target, paths))
        target.unlink()
    schedule = mock.patch.multiple("acncodec.planning.schedule", MIN_STEPS=2, MIN_STEPS_OF_MANY=2)
    with schedule, mock.patch("acncodec.block.codec.stack_count", return_value=STACKS):
        _compress(folder / "in", target, models, ARCHIVES[0])
    found.append(read_material(target, paths))
    target.unlink()
    parts = []
    for name in PARTS:
        _compress(folder / "in" / name, folder / f"{name}.acn", models, ARCHIVES[0])
        parts.append(_part(folder / f"{name}.acn", paths))
    target.write_bytes(b"".join(write_container(_manifest(parts, folder), FEATURE_PARTS)))
    found.append(read_material(target, paths))
    target.unlink()
    return found


def _compress(source: Path, target: Path, models: list[Model], options: Options) -> None:
    """By every method, whatever would be smallest."""
    chosen = mock.patch("acncodec.packing.compress.MethodChoice", MethodChoice)
    with chosen, mock.patch("acncodec.packing.compress.smaller_as_files", return_value=False):
        compress(source, target, models, options, unwatched)


def read_material(path: Path, models: list[Path]) -> Material:
    """An archive with all that it gives."""
    with path.open("rb") as file:
        container = read_container(file)
        sections = [(tag, container.read(i)) for i, tag in enumerate(container.tags)]
    files, empty = read_all(path, models, tolerant=False)
    return Material(sections, files, empty, named=sections[0][0] == "MANI")


def read_all(
    path: Path, models: list[Path], tolerant: bool, names: Iterable[bytes] = ()
) -> tuple[dict[bytes, bytes], list[bytes]]:
    """All files that an archive gives, and its empty directories; where it is `tolerant` those that can be had.

    `names` are looked up first, as `extract` does it.
    """
    lost: Callable[..., None] | None = (lambda entry, error: None) if tolerant else None
    files: dict[bytes, bytes] = {}
    empty: list[bytes] = []
    with Parts(path, models, tolerant=tolerant) as opened:
        for name in names:
            opened.where(name)
        for number in range(len(opened)):
            if not tolerant:
                opened.check(number)
            with opened.open(number) as archive:
                files |= {name: b"".join(pieces) for name, pieces in archive.files(archive.entries, lost=lost)}
                empty += archive.directory.empty
    return files, empty


def _part(path: Path, models: list[Path]) -> Part:
    with Archive(path, models) as archive:
        header = archive.header
        sections = len(header.blocks) + len(header.stores)
        return Part(path.name, archive.container.size, sha256_of(path), header.entries, sum(header.blocks), 0, sections)


def _manifest(parts: list[Part], folder: Path) -> list[Section]:
    """The sections of the manifest of these parts, in which every file is found by its name."""
    names = [sorted(path.name.encode() for path in (folder / "in" / name).iterdir()) for name in PARTS]
    keys = manifests.hashes([name for own in names for name in own])
    owners = [number for number, own in enumerate(names) for _ in own]
    return [
        ("MANI", manifests.encode(Manifest(head.NAMES_KEEP, [], parts, "-", len(owners)))),
        ("NIDX", manifests.encode_bucket(keys, owners, len(parts))),
    ]


def mutate(material: list[Material], random: np.random.Generator) -> tuple[Material, str, list[Section]]:
    """A case: the archive that was taken, the tag of the section that was changed, and all sections after the change.

    One time in four a second section was changed, too.
    """
    chosen = material[random.integers(len(material))]
    sections = list(chosen.sections)
    tag = _mutate_one(sections, material, random)
    if random.integers(4) == 0 and sections:
        _mutate_one(sections, material, random)
    return chosen, tag, sections


def _mutate_one(sections: list[Section], material: list[Material], random: np.random.Generator) -> str:
    """Change any section and return its tag; all tags are equally likely, however many sections they have."""
    tag = str(random.choice(sorted({tag for tag, _ in sections})))
    index = int(random.choice([i for i, (t, _) in enumerate(sections) if t == tag]))
    payload = sections[index][1]
    kind = random.integers(12)
    if kind == 0:
        _rearrange(sections, index, random)
    elif kind == 1:
        others = [other for each in material for t, other in each.sections if t == tag]
        sections[index] = tag, _splice(payload, others[random.integers(len(others))], random)
    else:
        sections[index] = tag, _change_packed(payload, random) if tag in PACKED else _change(payload, random)
    return tag


def _change_packed(payload: bytes, random: np.random.Generator) -> bytes:
    """Change a blob, mostly what is in it, since the general compressor notices nearly everything else."""
    if random.integers(4):
        try:
            return bytes([PLAIN]) + _change(unpack_blob(payload, UNPACKED_MAX, "A section"), random)
        except DamagedError:  # it was changed before
            pass
    return _change(payload, random)


def _rearrange(sections: list[Section], index: int, random: np.random.Generator) -> None:
    other = int(random.integers(len(sections)))
    match random.integers(4):
        case 0:
            del sections[index]
        case 1:
            sections.insert(other, sections[index])
        case 2:
            sections[index], sections[other] = sections[other], sections[index]
        case _:
            sections[index] = sections[other][0], sections[index][1]


def _splice(own: bytes, other: bytes, random: np.random.Generator) -> bytes:
    """The start of one and the end of another, or all of the other."""
    if random.integers(2):
        return other
    return own[: random.integers(len(own) + 1)] + other[random.integers(len(other) + 1) :]


def _change(payload: bytes, random: np.random.Generator) -> bytes:
    """One to three small changes; the beginning, where the structure is, is changed as often as all the rest."""
    data = bytearray(payload)
    for _ in range(1 + random.integers(3)):
        size = len(data)
        end = 1 + int(random.integers(size + 1) if random.integers(2) else random.integers(min(size, 24) + 1))
        at = int(random.integers(end))
        length = int(random.integers(1, 9))
        match random.integers(8):
            case 0 | 1 if at < size:
                data[at] ^= 1 << int(random.integers(8))
            case 2 if at < size:
                data[at] = random.integers(256)
            case 3:
                data[at:at] = random.bytes(length)
            case 4:
                del data[at : at + length]
            case 5:
                data[at:at] = data[at : at + length]
            case 6:
                del data[at:]
            case _:
                _edit_varint(data, at, random)
    return bytes(data)


def _edit_varint(data: bytearray, at: int, random: np.random.Generator) -> None:
    """Take the bytes at a place for an integer and put another there: one more, one less, or one that is often a limit."""
    source = FieldReader(bytes(data[at:]), "A section")
    try:
        value = source.varint()
    except DamagedError:
        return
    value = value + 1 - 2 * int(random.integers(2)) if random.integers(2) else VALUES[random.integers(len(VALUES))]
    out = FieldWriter()
    out.varint(min(max(value, 0), MAX_VARINT))
    data[at : at + source.position] = out.to_bytes()
