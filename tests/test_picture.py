"""Raster files: byte-exact round trips, palettes expanded to colours, and validation of untrusted forms."""

import io
import struct
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_png import GREY, RANDOM, SIGNATURE, SMALL, chunk, png, png_of, saved, smooth, taken

from acncodec.errors import DamagedError
from acncodec.images import picture as picture_module
from acncodec.images import png as png_module
from acncodec.images import raster as raster_module
from acncodec.images.picture import Picture, derived, exact, expand, layout, read_picture, suffix, write_picture
from acncodec.images.raster import Layout


def bmp(samples: np.ndarray, palette: bytes = b"", header: int = 40, top_down: bool = False, tail: bytes = b"") -> bytes:
    height, width, channels = samples.shape
    rows = [row[:, ::-1].tobytes() for row in (samples if top_down else samples[::-1])]
    body = b"".join(row + bytes(-len(row) % 4) for row in rows)
    offset = 14 + header + len(palette) + 3
    fields = (header, width, -height if top_down else height, 1, 8 * channels, 0, len(body), 0, 0, len(palette) // 4, 0)
    start = struct.pack("<2sIII", b"BM", offset + len(body), 0, offset) + struct.pack("<IiiHHIIiiII", *fields)
    return start + bytes(header - 40) + palette + b"gap" + body + tail


def tiff(samples: np.ndarray, order: str = "<", strip: int = 2, late: bool = False, **changes: object) -> bytes:
    """A TIFF of samples [H, W, C] in strips, its directory before or after them; `changes` replace tag values by tNNN."""
    height, width, channels = samples.shape
    body = samples.tobytes()
    size = strip * width * channels
    sizes = [len(body[at : at + size]) for at in range(0, len(body), size)]
    tags: dict[int, list[int]] = {
        256: [width],
        257: [height],
        258: [8] * channels,
        259: [1],
        262: [2 if channels > 2 else 1],
        273: [0] * len(sizes),
        277: [channels],
        278: [strip],
        279: sizes,
        **({338: [2]} if channels in (2, 4) else {}),
    }
    tags |= {int(name[1:]): value for name, value in changes.items() if name[0] == "t"}  # type: ignore[misc]
    tags = {tag: value for tag, value in sorted(tags.items()) if value is not None}
    start = 8 + len(body) if late else 8
    extra_at = start + 2 + 12 * len(tags) + 4
    extra_size = sum(4 * len(value) for value in tags.values() if len(value) > 1)
    rows_at = 8 if late else extra_at + extra_size
    tags[273] = [rows_at + sum(sizes[:i]) for i in range(len(sizes))] if "t273" not in changes else tags[273]
    entries, extra = b"", b""
    for tag, value in tags.items():
        packed = struct.pack(f"{order}{len(value)}I", *value)
        if len(value) == 1:
            entries += struct.pack(order + "HHI", tag, 4, 1) + packed
        else:
            entries += struct.pack(order + "HHII", tag, 4, len(value), extra_at + len(extra))
            extra += packed
    directory = struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", changes.get("next", 0)) + extra
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    return head + body + directory if late else head + directory + body


COLOUR = smooth(3, 5, 3, 256)
COVER = smooth(3, 5, 4, 256)
COLOURS = bytes(range(40))
RASTERS = {
    "odd pbm": b"P4 5 3 \xa0\x08\xf8",
    "odd pgm": b"P5\n5 3\n255\n" + GREY.tobytes(),
    "odd ppm": b"P6 5\t3\r\n255\n" + COLOUR.tobytes(),
    "pgm with comments": b"P5 # a\n  # b 7 7\r5 #\n3 255 " + GREY.tobytes(),
    "pgm and more": b"P5 5 3 255\n" + GREY.tobytes() + b"P5 5 3 255\n",
    "odd bmp": bmp(COLOUR),
    "bmp of size 4": bmp(smooth(2, 4, 3, 256)),
    "odd bmp from the top": bmp(COLOUR, top_down=True, header=124, tail=b"profile"),
    "odd bmp of indices": bmp(GREY % 10, COLOURS),
    "bmp of grey": bmp(GREY, bytes(v for i in range(256) for v in (i, i, i, 0))),
    "odd tiff": tiff(GREY),
    "tiff of colour": tiff(COLOUR, ">"),
    "odd tiff of cover": tiff(COVER, strip=1),
    "tiff of grey and cover": tiff(smooth(3, 5, 2, 256), strip=3),
    "odd tiff read from its end": tiff(COLOUR, late=True),
    "tiff with unknown tag": tiff(GREY, late=True, t65000=[1, 2, 3]),
}


@pytest.mark.parametrize("case", RASTERS)
def test_rasters_come_back_byte_for_byte(case: str) -> None:
    data = RASTERS[case]
    picture = taken(data)
    assert exact(picture.form)
    kind = {b"P4": ".pbm", b"P5": ".pgm", b"P6": ".ppm", b"BM": ".bmp", b"II": ".tif", b"MM": ".tif"}[data[:2]]
    assert suffix(picture.form) == kind
    height, width, _ = picture.samples.shape
    for shape in ((height + 1, width), (height, width + 1), (width, height)):
        if shape != (height, width):
            with pytest.raises(DamagedError):
                write_picture(picture.form, np.zeros((*shape, picture.samples.shape[2]), np.uint8))
    # Pillow as an independent reader.
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (width, height)
        values = image.convert("L").point(lambda v: v // 255) if image.mode == "1" else image
        assert picture.samples.tobytes() == values.tobytes()
        modes = {"1": Layout.BILEVEL, "L": Layout.GREY, "LA": Layout.GREY_ALPHA, "P": Layout.INDEX}
        assert layout(picture.form) == (modes.get(image.mode) or Layout[image.mode] if image.mode != "1" else 0)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("container", ["PPM", "BMP", "TIFF"])
def test_pillows_rasters(mode: str, container: str) -> None:
    image = Image.fromarray(smooth(30, 45, 4, 256)).convert(mode)
    taken_kinds = {
        "PPM": ("1", "L", "RGB"),
        "BMP": ("L", "P", "RGB"),
        "TIFF": ("L", "LA", "RGB", "RGBA"),
    }
    if mode in taken_kinds[container]:
        assert taken(saved(image, container)).samples.tobytes()[-1:] != b""
    elif (mode, container) not in (("P", "PPM"), ("LA", "PPM"), ("RGBA", "PPM"), ("LA", "BMP")):  # Pillow writes none
        assert read_picture(saved(image, container)) is None


REFUSED_RASTERS = {
    "empty": b"",
    "text": b"BM and more words than fit a header of a bitmap, and then some more of the same",
    "plain pgm": b"P2\n2 1\n255\n0 1\n",
    "15 levels": b"P5\n2 1\n15\n\1\2",
    "16 bits": b"P5\n2 1\n65535\n\1\2\3\4",
    "no rows": b"P5 2 0 255\n",
    "pbm with padding": b"P4 5 1 \xa1",
    "bmp with padding": RASTERS["odd bmp"][:-1] + b"\1",
    "bmp of 4 bits": saved(Image.new("P", (3, 3)), "BMP").replace(b"\x01\0\x08\0", b"\x01\0\x04\0", 1),
    "bmp with compression": RASTERS["odd bmp"][:30] + b"\1" + RASTERS["odd bmp"][31:],
    "bmp with index beyond its palette": bmp(GREY % 11, COLOURS),
    "bmp of 257 colours": bmp(GREY, bytes(4 * 257)),
    "bmp with a palette over its rows": bmp(GREY, COLOURS)[:46] + b"\x0b" + bmp(GREY, COLOURS)[47:],
    "tiff with compression": tiff(GREY, t259=[5]),
    "tiff of 16 bits": tiff(GREY, t258=[16]),
    "tiff with planes": tiff(COLOUR, t284=[2]),
    "tiff with reversed bits": tiff(COLOUR, t266=[2]),
    "tiff of inverted grey": tiff(GREY, t262=[0]),
    "tiff without width": tiff(GREY, t256=None),
    "tiff with two widths": tiff(GREY, t256=[5, 5]),
    "tiff with no channels": tiff(GREY, t277=[]),
    "tiff of signed numbers": tiff(GREY, t339=[2]),
    "tiff with strips out of order": tiff(GREY, late=True, t273=[18, 8]),
    "tiff with wrong strip sizes": tiff(GREY, late=True, t279=[10, 4]),
    "tiff with too few strips": tiff(GREY, late=True, t278=[1]),
    "tiff of two images": tiff(GREY, next=8),
    "tiff whose rows are its header": tiff(GREY[:1], strip=1, late=True, t273=[0]),
    "tiff that lies beyond its end": b"II*\0\xff\xff\xff\xff",
}


@pytest.mark.parametrize("case", REFUSED_RASTERS)
def test_refused_rasters(case: str) -> None:
    assert read_picture(REFUSED_RASTERS[case]) is None


@pytest.mark.parametrize("case", [name for name in RASTERS if " " in name])
def test_damaged_rasters_are_refused_or_come_back(case: str) -> None:
    data = RASTERS[case]
    for at in range(min(len(data), 250)):
        for changed in (data[:at], *(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :] for bit in range(8))):
            picture = read_picture(changed)
            if picture is not None:
                assert write_picture(picture.form, picture.samples) == changed


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    rasters = [raster for name, raster in RASTERS.items() if name.startswith("odd")]
    text = png(GREY, before=chunk(b"teXt", bytes(100)))
    monkeypatch.setattr(picture_module, "MAX_FORM_BYTES", 110)  # kind, 1 + 2, 1 + 104, 1
    assert taken(text)
    monkeypatch.setattr(picture_module, "MAX_FORM_BYTES", 109)
    assert read_picture(text) is None
    monkeypatch.setattr(picture_module, "MAX_FORM_BYTES", 2**24)
    form = taken(text).form
    monkeypatch.setattr(picture_module, "_MAX_FIELDS", 2)
    assert read_picture(text) is None
    with pytest.raises(DamagedError, match="too many"):
        layout(form)
    monkeypatch.setattr(picture_module, "_MAX_FIELDS", 3)
    assert taken(text)
    for limit in (15, 14):
        monkeypatch.setattr(png_module, "MAX_PIXELS", limit)
        monkeypatch.setattr(raster_module, "MAX_PIXELS", limit)
        for data in (text, *rasters):
            assert (read_picture(data) is None) == (limit == 14)


def indexed(samples: np.ndarray, palette: bytes, transparency: bytes | None = None, depth: int = 8) -> bytes:
    trns = b"" if transparency is None else chunk(b"tRNS", transparency)
    return png(samples, depth, 3, chunk(b"PLTE", palette) + trns)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("transparency", [None, b"", b"\x80", bytes(range(256))])
def test_expansion_gives_pillows_colours_and_the_same_file(depth: int, transparency: bytes | None) -> None:
    palette = RANDOM.permutation(np.arange(256, dtype=np.uint8))[: 2**depth].repeat(3).tobytes()
    cut = transparency if transparency is None else transparency[: 2**depth]
    data = indexed(smooth(6, 9, 1, 2**depth), palette, cut, depth)
    picture = taken(data)
    found = expand(picture)
    assert found is not None
    mode = "RGB" if transparency is None else "RGBA"
    assert (layout(found.form), suffix(found.form), exact(found.form)) == (Layout[mode], ".png", False)
    with Image.open(io.BytesIO(data)) as image:
        assert found.samples.tobytes() == image.convert(mode).tobytes()
    assert found.samples.flags.c_contiguous
    assert write_picture(found.form, found.samples) == write_picture(picture.form, picture.samples)
    assert expand(found) is None
    if not derived(found.form):
        with pytest.raises(DamagedError, match="colour"):
            write_picture(found.form, found.samples ^ np.array([1] + [0] * (len(mode) - 1), np.uint8))
    with pytest.raises(DamagedError):
        write_picture(found.form, picture.samples)


COLOURS = b"\1\1\1" + b"\3\2\1" + b"\3\3\0" + b"\7\1\2"


@pytest.mark.parametrize(
    ("palette", "transparency", "used", "stated"),
    [
        (COLOURS, None, [0, 1, 2, 3], b""),
        (COLOURS, None, [1, 2], b"\1\1\1\7\1\2"),
        (COLOURS, b"\0\x80", [0, 1, 2, 3], b""),
        (COLOURS, b"\0\x80", [1, 3], b"\1\1\1\0\3\3\0\xff"),
        (COLOURS[::-1], None, [0, 1, 2, 3], None),  # not sorted
        (COLOURS, b"\x80\0", [0, 1, 2, 3], None),  # not sorted by alpha
        (COLOURS, b"\0\xff", [0, 1, 2, 3], None),  # full alpha is told that need not be
        (COLOURS[:3] + COLOURS, None, [0, 2], None),  # one twice
    ],
)
def test_sorted_palettes_are_left_out(
    palette: bytes, transparency: bytes | None, used: list[int], stated: bytes | None
) -> None:
    picture = taken(indexed(np.array(used, np.uint8)[None, :, None], palette, transparency))
    found = expand(picture)
    assert found is not None
    assert derived(found.form) == (stated is not None)
    assert write_picture(found.form, found.samples) == write_picture(picture.form, picture.samples)
    if stated is not None:
        assert b"PLTE" + stated in found.form
        assert stated or b"PLTE\1" not in found.form
        unused = np.frombuffer(stated, np.uint8).reshape(-1, found.samples.shape[2])
        for colour in unused:  # said to be out of use
            with pytest.raises(DamagedError, match="use"):
                write_picture(found.form, np.concatenate([found.samples, colour[None, None]], axis=1))
        everything = np.random.default_rng(0).integers(0, 256, (20, 20, found.samples.shape[2]), np.uint8)
        with pytest.raises(DamagedError, match="more colours"):
            write_picture(found.form, everything)


def test_expansion_of_a_bmp_is_exact() -> None:
    data = RASTERS["odd bmp of indices"]
    found = expand(taken(data))
    assert found is not None
    assert exact(found.form)
    assert (layout(found.form), suffix(found.form)) == (Layout.RGB, ".bmp")
    assert write_picture(found.form, found.samples) == data
    with Image.open(io.BytesIO(data)) as image:
        assert found.samples.tobytes() == image.convert("RGB").tobytes()


def test_only_the_first_of_equal_colours_can_be_expanded() -> None:
    palette = b"aaa" + b"bbb" + b"aaa" + b"ccc"
    for used, transparency, possible in [
        ([0, 1, 3], None, True),
        ([0, 2], None, False),
        ([2], None, False),
        ([0, 2], b"\x01", True),
        ([0, 2], b"\x01\x02\x01", False),
    ]:
        found = expand(taken(indexed(np.array(used, np.uint8)[None, :, None], palette, transparency)))
        assert (found is not None) == possible
    assert expand(taken(png(GREY))) is None
    assert expand(taken(RASTERS["odd pgm"])) is None


def wrong_samples(picture: Picture) -> Iterator[np.ndarray]:
    samples = picture.samples
    yield samples[:, :, 0]
    yield samples.astype(np.int64)
    yield samples[:0]
    yield samples[:, :0]
    yield np.concatenate([samples, samples], axis=2)


@pytest.mark.parametrize("data", [*SMALL, png_of((1, 0), (2, 3)), *RASTERS.values()])
def test_samples_that_do_not_fit_the_form_are_damage(data: bytes) -> None:
    picture = taken(data)
    for samples in wrong_samples(picture):
        with pytest.raises(DamagedError):
            write_picture(picture.form, samples)
    if layout(picture.form) in (Layout.BILEVEL, Layout.INDEX):
        with pytest.raises(DamagedError):
            write_picture(picture.form, picture.samples | 128)


def check_form(form: bytes, samples: np.ndarray) -> bool:
    """Whether a form from outside is valid. If so, it is the form of a file; else every function says so."""
    try:
        channels = layout(form).channels
    except DamagedError:
        calls: list[Callable[[bytes], object]] = [suffix, exact, lambda f: write_picture(f, samples)]
        for call in calls:
            with pytest.raises(DamagedError):
                call(form)
        return False
    samples = np.repeat(samples[:, :, :1], channels, axis=2)
    try:
        data = write_picture(form, samples)
    except DamagedError:
        return True
    picture = read_picture(data)
    assert picture is not None
    if form[:1] in (b"\3", b"\4"):
        picture = expand(picture)
        assert picture is not None
    if form[:1] == b"\3" and derived(picture.form):
        assert write_picture(picture.form, samples) == data
    else:
        assert picture.form == form
    assert np.array_equal(picture.samples, samples)
    return True


FORMS = [taken(data) for data in (*SMALL, *RASTERS.values())]
FORMS += [found for picture in FORMS if layout(picture.form) == Layout.INDEX and (found := expand(picture)) is not None]


@pytest.mark.parametrize("picture", FORMS, ids=lambda picture: repr(picture.form[:12]))
def test_damaged_forms(picture: Picture) -> None:
    form = picture.form
    for at in range(min(len(form), 250)):
        check_form(form[:at], picture.samples)
        for value in (0, 1, 3, 128, 255, form[at] ^ 32, form[at] ^ 1):
            check_form(form[:at] + bytes([value]) + form[at + 1 :], picture.samples)
            check_form(form[:at] + bytes([value]) + form[at:], picture.samples)
    assert not check_form(form + b"\x80", picture.samples)
    assert check_form(form, picture.samples)


@pytest.mark.parametrize(
    "form",
    [
        b"",
        b"\1",
        b"\2",
        b"\3",
        b"\3\3" * 5000,
        b"\1" + bytes(2**17),
        b"\1\x82\0\x08\0\0",  # a padded length
        b"\1\2\x08\0\xff\xff\xff\xff\xff\0",
        b"\2\x01P\x04\xff\xff\xff\xff\0",
        b"\3\1\2\x08\0\0",  # nothing to expand
        b"\1\2\x08\0\0" + bytes(2**24),
    ],
)
def test_hostile_forms(form: bytes) -> None:
    assert not check_form(form, GREY)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([b"", b"\1", b"\2", b"\3\1", b"\1\2\x08\3"]), st.binary(max_size=60))
def test_random_forms(start: bytes, rest: bytes) -> None:
    check_form(start + rest, GREY)


STARTS = [b"", b"P4 ", b"P5 1 1 255 ", b"BM", b"II*\0\x08\0\0\0", SIGNATURE, SIGNATURE + png(GREY)[8:33]]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(STARTS), st.binary(max_size=120))
def test_random_files(start: bytes, rest: bytes) -> None:
    picture = read_picture(start + rest)
    if picture is not None and exact(picture.form):
        assert write_picture(picture.form, picture.samples) == start + rest
