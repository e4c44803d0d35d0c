"""The HEAD section: which models, which groups of elements, and how they were coded.

One header has one encoding, and `decode` takes nothing else, so that equal archives are equal files.
"""

from dataclasses import dataclass

from acncodec.archive.wire import Reader, Writer
from acncodec.errors import DamagedError

NAMES_DROP, NAMES_KEEP = 0, 1
ORDER_TOUR, ORDER_NAMES = 0, 1
PRIOR_CONDITIONAL, PRIOR_UNCONDITIONAL = 0, 1
MODE_1, MODE_L = 0, 1
CONTAINER_PNG, CONTAINER_PPM = 0, 1

SHA256_BYTES = 32
DIGEST_BYTES = 16
EXACTNESS_BYTES = 4

MAX_MODELS = 16
MAX_MODEL_NAME_BYTES = 255
MAX_GROUPS = 2**20
MAX_LANES = 512
MAX_STEP_PIXELS = 2**20  # of all lanes of a step together, where there is more than one
MAX_PIXELS = 2**26
MAX_IMAGES = 2**24
MAX_ALL_PIXELS = 2**36  # of all images together
MAX_STORED = 2**24
MAX_SEED_WORDS = 2**26


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the archive was made with: a printable name for people, its file's sha256 (32 bytes)."""

    name: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Group:
    """All elements of one kind: same mode (MODE_*), container (CONTAINER_*), height and width in pixels.

    `count` elements were coded in `lanes` parallel lanes with `models[model]`; `digest` (16 bytes) is the hash
    of their pixels.
    """

    mode: int
    container: int
    height: int
    width: int
    count: int
    lanes: int
    model: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """Everything that the decoder must know before the first coded bit.

    `names` is NAMES_*, `order` ORDER_*, `prior` PRIOR_*.  `seed_words` counts the words that the coder started
    from, `stored` the files kept outside the groups, `files` all files, where names are kept (else it is 0).
    `exactness` (4 bytes) is the fingerprint of the arithmetic self-test.
    """

    names: int
    order: int
    prior: int
    seed_words: int
    models: list[Model]
    groups: list[Group]
    stored: int
    files: int
    exactness: bytes


def encode(header: Header) -> bytes:
    """The bytes of the HEAD section; ValueError for a header that `decode` would refuse."""
    problem = _problem(header)
    if problem:
        raise ValueError(problem)
    out = Writer()
    out.u8(header.names | header.order << 1 | header.prior << 2)
    out.fixed(header.exactness)
    out.varint(header.seed_words)
    out.varint(header.stored)
    out.varint(header.files)
    out.varint(len(header.models))
    for model in header.models:
        out.text(model.name)
        out.fixed(model.sha256)
    out.varint(len(header.groups))
    for group in header.groups:
        out.u8(group.mode)
        out.u8(group.container)
        for value in (group.height, group.width, group.count, group.lanes, group.model):
            out.varint(value)
        out.fixed(group.digest)
    return out.to_bytes()


def decode(data: bytes) -> Header:
    """Read the HEAD section; DamagedError for anything that `encode` does not write."""
    reader = Reader(data, "The archive's section HEAD")
    flags = reader.u8()
    exactness = reader.fixed(EXACTNESS_BYTES)
    seed_words, stored, files = (reader.varint() for _ in range(3))
    models = [
        Model(reader.text(MAX_MODEL_NAME_BYTES), reader.fixed(SHA256_BYTES)) for _ in range(reader.varint(MAX_MODELS))
    ]
    groups = [_read_group(reader) for _ in range(reader.varint(MAX_GROUPS))]
    reader.end()
    # A bit above the lowest three ends up in `prior`, which is then out of range.
    header = Header(flags & 1, flags >> 1 & 1, flags >> 2, seed_words, models, groups, stored, files, exactness)
    problem = _problem(header)
    if problem:
        raise DamagedError(f"The archive's section HEAD is damaged: {problem}.")
    return header


def _read_group(reader: Reader) -> Group:
    mode, container = reader.u8(), reader.u8()
    height, width, count, lanes, model = (reader.varint() for _ in range(5))
    return Group(mode, container, height, width, count, lanes, model, reader.fixed(DIGEST_BYTES))


def _problem(header: Header) -> str | None:
    """What is wrong with a header, or None: the one list of rules for both directions."""
    if header.names not in (NAMES_DROP, NAMES_KEEP):
        return f"names is {header.names}"
    if header.order not in (ORDER_TOUR, ORDER_NAMES):
        return f"order is {header.order}"
    if header.prior not in (PRIOR_CONDITIONAL, PRIOR_UNCONDITIONAL):
        return f"prior is {header.prior}"
    if len(header.exactness) != EXACTNESS_BYTES:
        return "the self-test's fingerprint has a wrong length"
    if not 0 <= header.seed_words <= MAX_SEED_WORDS:
        return f"{header.seed_words} seed words"
    if not 0 <= header.stored <= MAX_STORED:
        return f"{header.stored} stored files"
    images = sum(group.count for group in header.groups)
    if header.files != (header.stored + images if header.names == NAMES_KEEP else 0):
        return f"{header.files} files, but {header.stored} stored ones and {images} images"
    if len(header.models) > MAX_MODELS:
        return f"{len(header.models)} models"
    if len(header.groups) > MAX_GROUPS:
        return f"{len(header.groups)} groups"
    pixels = sum(group.count * group.height * group.width for group in header.groups)
    if images > MAX_IMAGES or pixels > MAX_ALL_PIXELS:
        return f"{images} images of {pixels} pixels, more than an archive may hold"
    kinds = {(group.mode, group.container, group.height, group.width) for group in header.groups}
    if len(kinds) < len(header.groups):
        return "two groups are of one kind"
    problems = (_group_problem(group, len(header.models)) for group in header.groups)
    return next(filter(None, (*map(_model_problem, header.models), *problems)), None)


def _model_problem(model: Model) -> str | None:
    # Control characters in a name could drive the terminal that it is printed on.
    if not model.name.isprintable() or not 1 <= len(model.name.encode()) <= MAX_MODEL_NAME_BYTES:
        return "a model's name is not valid"
    if len(model.sha256) != SHA256_BYTES:
        return "a model's hash has a wrong length"
    return None


def _group_problem(group: Group, models: int) -> str | None:
    if group.mode not in (MODE_1, MODE_L):
        return f"a group's mode is {group.mode}"
    if group.container not in (CONTAINER_PNG, CONTAINER_PPM):
        return f"a group's container is {group.container}"
    if group.height < 1 or group.width < 1 or group.height * group.width > MAX_PIXELS:
        return f"a group's images are {group.width} x {group.height}"
    if group.count < 1:
        return "a group is empty"
    if not 1 <= group.lanes <= min(group.count, MAX_LANES):
        return f"a group of {group.count} has {group.lanes} lanes"
    if group.lanes > 1 and group.lanes * group.height * group.width > MAX_STEP_PIXELS:
        return f"{group.lanes} lanes of {group.width} x {group.height} pixels"
    if not 0 <= group.model < models:
        return f"a group's model is number {group.model} of {models}"
    if len(group.digest) != DIGEST_BYTES:
        return "a group's digest has a wrong length"
    return None
