"""The HEAD section: what the archive promises, which models it needs, and the number of items in each other section.

    flags       1 byte: names (2 bits), promise (the rest)
    exactness   4 bytes
    models      count (varint), then for each: name (text), sha256 (32 bytes)
    duplicates, folders, empty    varints
    blocks      count (varint), then pictures in each BLCK section (varints)
    stores      count (varint), then items in each FILE section (varints)

The encoding is canonical and `decode` accepts nothing else, so that equal archives are equal files.
"""

from dataclasses import dataclass

from acncodec.archive.fields import FieldReader, FieldWriter
from acncodec.archive.limits import (
    MAX_EMPTY,
    MAX_ENTRIES,
    MAX_FOLDERS,
    MAX_MODEL_NAME_BYTES,
    MAX_MODELS,
    MAX_SECTIONS,
)
from acncodec.errors import DamagedError

NAMES_DROP, NAMES_KEEP, NAMES_FOLDERS = 0, 1, 2
PROMISE_PIXELS, PROMISE_BYTES = 0, 1

NAMES_BITS = 2
SHA256_BYTES = 32
EXACTNESS_BYTES = 4


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A model that the archive was made with: a printable name for display, its file's sha256 (32 bytes)."""

    name: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """Everything that the decoder must know before the first block.

    `names` is NAMES_*, `promise` PROMISE_*. `exactness` (4 bytes) is the fingerprint of the arithmetic self-test. `entries`
    counts the files to restore: those in `blocks` (pictures in each BLCK section, in order, all >= 1), those in `stores`
    (items in each FILE section, likewise) and `duplicates` of these. `folders` counts the names of folders (0 unless
    `names` is NAMES_FOLDERS), `empty` the empty directories.
    """

    names: int
    promise: int
    exactness: bytes
    models: list[ModelReference]
    entries: int
    duplicates: int
    folders: int
    empty: int
    blocks: list[int]
    stores: list[int]


def encode(header: Header) -> bytes:
    """The bytes of the HEAD section; ValueError for a header that `decode` would refuse."""
    problem = _problem(header)
    if problem:
        raise ValueError(problem)
    out = FieldWriter()
    out.u8(header.names | header.promise << NAMES_BITS)
    out.fixed(header.exactness)
    out.varint(len(header.models))
    for model in header.models:
        out.text(model.name)
        out.fixed(model.sha256)
    for value in (header.duplicates, header.folders, header.empty):
        out.varint(value)
    for counts in (header.blocks, header.stores):
        out.varint(len(counts))
        for value in counts:
            out.varint(value)
    return out.to_bytes()


def decode(data: bytes) -> Header:
    """Read the HEAD section; DamagedError for anything that `encode` does not write."""
    reader = FieldReader(data, "The archive's section HEAD")
    flags = reader.u8()
    exactness = reader.fixed(EXACTNESS_BYTES)
    models = [
        ModelReference(reader.text(MAX_MODEL_NAME_BYTES), reader.fixed(SHA256_BYTES))
        for _ in range(reader.varint(MAX_MODELS))
    ]
    duplicates, folders, empty = (reader.varint() for _ in range(3))
    blocks, stores = ([reader.varint() for _ in range(reader.varint(MAX_SECTIONS))] for _ in range(2))
    reader.end()
    header = Header(
        names=flags & (1 << NAMES_BITS) - 1,
        promise=flags >> NAMES_BITS,  # out of range if an undefined bit is set
        exactness=exactness,
        models=models,
        entries=sum(blocks) + sum(stores) + duplicates,
        duplicates=duplicates,
        folders=folders,
        empty=empty,
        blocks=blocks,
        stores=stores,
    )
    problem = _problem(header)
    if problem:
        raise DamagedError(f"The archive's section HEAD is damaged: {problem}.")
    return header


def read_models(reader: FieldReader, most: int) -> list[ModelReference]:
    """A count of at most `most`, then name and sha256 of each model."""
    return [
        ModelReference(reader.text(MAX_MODEL_NAME_BYTES), reader.fixed(SHA256_BYTES)) for _ in range(reader.varint(most))
    ]


def _problem(header: Header) -> str | None:
    """What is wrong with a header, or None; shared by `encode` and `decode`."""
    if header.names not in (NAMES_DROP, NAMES_KEEP, NAMES_FOLDERS):
        return f"names is {header.names}"
    if header.promise not in (PROMISE_PIXELS, PROMISE_BYTES):
        return f"promise is {header.promise}"
    if len(header.exactness) != EXACTNESS_BYTES:
        return "the self-test's fingerprint has a wrong length"
    if len(header.models) > MAX_MODELS:
        return f"{len(header.models)} models"
    if len(header.blocks) + len(header.stores) > MAX_SECTIONS:
        return f"{len(header.blocks)} blocks and {len(header.stores)} sections of stored files"
    if min(header.blocks, default=1) < 1 or min(header.stores, default=1) < 1:
        return "a section is empty"
    kept = sum(header.blocks) + sum(header.stores)
    if header.entries != kept + header.duplicates:
        return f"{header.entries} files, but {kept} stored ones and {header.duplicates} duplicates"
    if header.entries > MAX_ENTRIES:
        return f"{header.entries} files, more than an archive may hold"
    if header.duplicates < 0 or (header.duplicates and not kept):
        return f"{header.duplicates} duplicates of {kept} files"
    if not 0 <= header.folders <= (MAX_FOLDERS if header.names == NAMES_FOLDERS else 0):
        return f"{header.folders} names of folders"
    if not 0 <= header.empty <= MAX_EMPTY:
        return f"{header.empty} empty directories"
    return next(filter(None, map(_model_problem, header.models)), None)


def _model_problem(model: ModelReference) -> str | None:
    # Control characters in a name could affect the terminal on which it is printed.
    if not model.name.isprintable() or not 1 <= len(model.name.encode()) <= MAX_MODEL_NAME_BYTES:
        return "a model's name is not valid"
    if len(model.sha256) != SHA256_BYTES:
        return "a model's hash has a wrong length"
    return None
