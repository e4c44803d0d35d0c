"""The FORM section: the classes of an archive's files, each stored once; blocks and stored files refer to them by index.

A class is a method and, for a picture, its size, its form (everything about the file except size and samples) and how its
planes are coded. The section is a blob (`archive/store.py`) of

    count       varint, then for each class:
    method      1 byte; nothing follows METHOD_FILE
    height, width    varints, in pixels
    form        varint: 0 if a new form follows (blob), or n for the n-th new form
    planes      METHOD_CODED only: count (1 byte), then for each: model, tile (varints)
"""

from collections.abc import Sequence
from dataclasses import dataclass

from acncodec.archive.fields import FieldReader, FieldWriter
from acncodec.archive.limits import (
    MAX_CLASSES,
    MAX_CLASSES_BYTES,
    MAX_ELEMENT_PIXELS,
    MAX_FORM_BYTES,
    MAX_MODELS,
    MAX_PIXELS,
    MAX_PLANES,
    MAX_TILE,
    MAX_TILES,
)
from acncodec.archive.store import pack_blob, unpack_blob
from acncodec.errors import DamagedError

WHAT = "The archive's section FORM"
METHOD_FILE, METHOD_WEBP, METHOD_RAW, METHOD_CODED = 0, 1, 2, 3
NEW_FORM = 0


@dataclass(frozen=True, slots=True)
class PlaneCoding:
    """How one plane is coded: with `models[model]` of the header, in tiles of side `tile` pixels (0: one tile)."""

    model: int
    tile: int


@dataclass(frozen=True, slots=True)
class Class:
    """Properties that files share: METHOD_*, height and width in pixels, form, and one PlaneCoding for each plane.

    METHOD_FILE has no size, no form (b"") and no planes; METHOD_WEBP and METHOD_RAW have no planes; METHOD_CODED has 1 to
    4.
    """

    method: int
    height: int
    width: int
    form: bytes
    planes: tuple[PlaneCoding, ...]


def encode(classes: Sequence[Class]) -> bytes:
    """The bytes of the FORM section; ValueError for classes that `decode` would refuse with any number of models."""
    problem = _problem(classes, MAX_MODELS)
    if problem:
        raise ValueError(problem)
    out = FieldWriter()
    out.varint(len(classes))
    forms: dict[bytes, int] = {}
    for each in classes:
        out.u8(each.method)
        if each.method == METHOD_FILE:
            continue
        out.varint(each.height)
        out.varint(each.width)
        _write_form(out, each.form, forms)
        if each.method == METHOD_CODED:
            out.u8(len(each.planes))
            for plane in each.planes:
                out.varint(plane.model)
                out.varint(plane.tile)
    body = out.to_bytes()
    if len(body) > MAX_CLASSES_BYTES:
        raise ValueError(f"the classes take {len(body)} bytes, more than {MAX_CLASSES_BYTES}")
    return pack_blob(body)


def decode(data: bytes, models: int) -> list[Class]:
    """Read the FORM section of an archive of `models` models.

    Equal forms are one object.  Raises DamagedError for anything that `encode` does not write.
    """
    reader = FieldReader(unpack_blob(data, MAX_CLASSES_BYTES, WHAT), WHAT)
    forms: list[bytes] = []
    classes = []
    for _ in range(reader.varint(MAX_CLASSES)):
        method = reader.u8()
        if method == METHOD_FILE:
            classes.append(Class(METHOD_FILE, 0, 0, b"", ()))
            continue
        height, width = reader.varint(MAX_PIXELS), reader.varint(MAX_PIXELS)
        form = _read_form(reader, forms)
        count = reader.u8() if method == METHOD_CODED else 0
        planes = tuple(PlaneCoding(reader.varint(), reader.varint()) for _ in range(count))
        classes.append(Class(method, height, width, form, planes))
    reader.end()
    problem = _problem(classes, models) or ("a form is stored twice" if len(set(forms)) < len(forms) else None)
    if problem:
        raise DamagedError(f"{WHAT} is damaged: {problem}.")
    return classes


def _write_form(out: FieldWriter, form: bytes, forms: dict[bytes, int]) -> None:
    """`forms` numbers the forms written so far, from 1."""
    number = forms.get(form, NEW_FORM)
    out.varint(number)
    if number == NEW_FORM:
        forms[form] = len(forms) + 1
        out.blob(form)


def _read_form(reader: FieldReader, forms: list[bytes]) -> bytes:
    """`forms` are the forms read so far, in order."""
    number = reader.varint(len(forms))
    if number == NEW_FORM:
        forms.append(reader.blob(MAX_FORM_BYTES))
        return forms[-1]
    return forms[number - 1]


def _problem(classes: Sequence[Class], models: int) -> str | None:
    """What is wrong with the classes, or None; shared by `encode` and `decode`."""
    if len(classes) > MAX_CLASSES:
        return f"{len(classes)} classes"
    if len(set(classes)) < len(classes):
        return "two classes are equal"
    return next(filter(None, (_class_problem(each, models) for each in classes)), None)


def _class_problem(each: Class, models: int) -> str | None:
    if each.method not in (METHOD_FILE, METHOD_WEBP, METHOD_RAW, METHOD_CODED):
        return f"a class's method is {each.method}"
    if each.method == METHOD_FILE:
        return None if each == Class(METHOD_FILE, 0, 0, b"", ()) else "a class of plain files has properties of pictures"
    if each.height < 1 or each.width < 1 or each.height * each.width > MAX_PIXELS:
        return f"a class's pictures are {each.width} x {each.height}"
    if len(each.form) > MAX_FORM_BYTES:
        return f"a form has {len(each.form)} bytes"
    if each.method != METHOD_CODED:
        return "a class that is not coded has plane codings" if each.planes else None
    if not 1 <= len(each.planes) <= MAX_PLANES:
        return f"a class's pictures have {len(each.planes)} planes"
    for plane in each.planes:
        if not 0 <= plane.model < models:
            return f"a plane's model is number {plane.model} of {models}"
        if not 0 <= plane.tile <= MAX_TILE:
            return f"a plane's tiles are {plane.tile} wide"
        if plane.tile and -(-each.height // plane.tile) * -(-each.width // plane.tile) > MAX_TILES:
            return f"a plane of {each.width} x {each.height} pixels has too many tiles of side {plane.tile}"
        if not plane.tile and each.height * each.width > MAX_ELEMENT_PIXELS:
            return f"a plane of {each.width} x {each.height} pixels is too large for one tile"
    return None
