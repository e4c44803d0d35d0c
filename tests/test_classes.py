"""The FORM section: round trips, cheap repeated forms, and refusal of malformed or hostile lists of classes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acncodec.archive import classes as module
from acncodec.archive import limits
from acncodec.archive.classes import METHOD_CODED, METHOD_FILE, METHOD_RAW, METHOD_WEBP, Class, PlaneCoding, decode, encode
from acncodec.archive.store import pack_blob, unpack_blob
from acncodec.errors import DamagedError

FILE = Class(METHOD_FILE, 0, 0, b"", ())
GREY = Class(METHOD_CODED, 28, 28, b"form", (PlaneCoding(0, 0),))
RGB = Class(METHOD_CODED, 480, 640, b"other", (PlaneCoding(1, 32), PlaneCoding(2, 32), PlaneCoding(2, 64)))
WEBP = Class(METHOD_WEBP, 480, 640, b"other", ())
RAW = Class(METHOD_RAW, 480, 640, b"form", ())
ALL = [GREY, FILE, RGB, WEBP, RAW]
MODELS = 3

sides = st.integers(1, 2**13)
forms = st.binary(max_size=12)
planes = st.builds(PlaneCoding, st.integers(0, MODELS - 1), st.integers(0, limits.MAX_TILE))
plain_pictures = st.builds(Class, st.sampled_from([METHOD_WEBP, METHOD_RAW]), sides, sides, forms, st.just(()))
small = st.integers(1, 2**8)  # so that a plane may be coded whole, or in tiles of any size
coded_pictures = st.builds(
    Class, st.just(METHOD_CODED), small, small, forms, st.lists(planes, min_size=1, max_size=4).map(tuple)
)
class_lists = st.lists(st.one_of(st.just(FILE), plain_pictures, coded_pictures), max_size=12, unique=True)


@settings(max_examples=60, deadline=None)
@given(class_lists)
def test_round_trip(classes: list[Class]) -> None:
    assert decode(encode(classes), MODELS) == classes


def test_a_set_of_one_class_takes_few_bytes() -> None:
    assert len(encode([GREY])) == 1 + 1 + 1 + 2 + (2 + len(GREY.form)) + 3


def test_a_form_that_repeats_costs_little_and_is_one_object() -> None:
    profile = random.Random(1).randbytes(50_000)
    sizes = [(100 + i, 200 + 3 * i) for i in range(1000)]
    classes = [Class(METHOD_CODED, height, width, profile, (PlaneCoding(0, 32),)) for height, width in sizes]
    data = encode(classes)
    assert len(data) < len(profile) + 10 * len(sizes)
    assert len({id(each.form) for each in decode(data, 1)}) == 1


@settings(deadline=None)
@given(st.data())
def test_what_decodes_has_the_same_body(data: st.DataObject) -> None:
    body = bytearray(unpack_blob(encode(ALL), 1000, "The test"))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        classes = decode(b"\0" + body, MODELS)
    except DamagedError:
        return
    assert unpack_blob(encode(classes), 1000, "The test") == bytes(body)


def test_truncated_or_longer_is_damage() -> None:
    body = unpack_blob(encode(ALL), 1000, "The test")
    for length in range(len(body)):
        with pytest.raises(DamagedError):
            decode(b"\0" + body[:length], MODELS)
    for data in (b"", b"\0" + body + b"\0", encode(ALL) + b"\0"):
        with pytest.raises(DamagedError):
            decode(data, MODELS)


def test_a_model_must_be_there() -> None:
    with pytest.raises(DamagedError, match="number 2 of 2"):
        decode(encode(ALL), 2)


BAD_CLASSES = [
    [FILE, GREY, FILE],
    [GREY, GREY],
    [Class(4, 1, 1, b"", ())],
    [Class(METHOD_RAW, 0, 1, b"", ())],
    [Class(METHOD_RAW, 1, 0, b"", ())],
    [Class(METHOD_RAW, 2**13, 2**13 + 1, b"", ())],
    [Class(METHOD_RAW, 1, 1, bytes(limits.MAX_FORM_BYTES + 1), ())],
    [Class(METHOD_CODED, 1, 1, b"", ())],
    [Class(METHOD_CODED, 1, 1, b"", (PlaneCoding(0, 0),) * 5)],
    [Class(METHOD_CODED, 1, 1, b"", (PlaneCoding(0, 0), PlaneCoding(limits.MAX_MODELS, 0)))],
    [Class(METHOD_CODED, 1, 1, b"", (PlaneCoding(0, limits.MAX_TILE + 1),))],
    [Class(METHOD_CODED, 1, limits.MAX_ELEMENT_PIXELS + 1, b"", (PlaneCoding(0, 0),))],
    [Class(METHOD_CODED, limits.MAX_TILES + 1, 1, b"", (PlaneCoding(0, 1),))],
]


@pytest.mark.parametrize("bad", BAD_CLASSES, ids=range(len(BAD_CLASSES)))
def test_limits_hold_in_both_directions(bad: list[Class], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError):
        encode(bad)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_problem", lambda classes, models: None)
        data = encode(bad)
    with pytest.raises(DamagedError):
        decode(data, limits.MAX_MODELS)


@pytest.mark.parametrize(
    "bad",
    [
        Class(METHOD_FILE, 1, 1, b"", ()),
        Class(METHOD_FILE, 0, 0, b"form", ()),
        Class(METHOD_FILE, 0, 0, b"", (PlaneCoding(0, 0),)),
        Class(METHOD_WEBP, 1, 1, b"", (PlaneCoding(0, 0),)),
        Class(METHOD_CODED, 1, 1, b"", (PlaneCoding(-1, 0),)),
        Class(METHOD_CODED, 1, 1, b"", (PlaneCoding(0, -1),)),
        Class(METHOD_RAW, -1, -1, b"", ()),
    ],
)
def test_what_the_fields_cannot_hold_is_not_written(bad: Class) -> None:
    with pytest.raises(ValueError):
        encode([bad])


@pytest.mark.parametrize(
    "body",
    [
        b"\x01\x02\x01\x01\x01",  # a form that was not said yet
        b"\x02\x02\x01\x01\x00\x01a\x03\x01\x01\x00\x01a\x01\x00\x00",  # the same form said twice
    ],
)
def test_a_form_has_one_encoding(body: bytes) -> None:
    with pytest.raises(DamagedError):
        decode(b"\0" + body, MODELS)


def test_the_number_of_classes_and_their_bytes_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(ALL)
    size = len(unpack_blob(data, 1000, "The test"))
    for limit, least in (("MAX_CLASSES", len(ALL)), ("MAX_CLASSES_BYTES", size)):
        with monkeypatch.context() as patch:
            patch.setattr(module, limit, least)
            assert decode(encode(ALL), MODELS) == ALL
            patch.setattr(module, limit, least - 1)
            with pytest.raises(ValueError):
                encode(ALL)
            with pytest.raises(DamagedError):
                decode(data, MODELS)


def test_a_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CLASSES_BYTES", 1000)
    with pytest.raises(DamagedError, match="longer"):
        decode(pack_blob(bytes(10_000_000)), MODELS)
