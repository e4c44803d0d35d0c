"""PNG files taken apart and written anew: the same pixels, mode, palette and chunks but IDAT, as Pillow reads them."""

import io
import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, PngImagePlugin

from acncodec.images import png as png_module
from acncodec.images.picture import Picture, exact, layout, read_picture, suffix, write_picture
from acncodec.images.raster import Layout

RANDOM = np.random.default_rng(0)
SIGNATURE = b"\x89PNG\r\n\x1a\n"
SHAPES = [(1, 1), (1, 9), (9, 1), (3, 7), (8, 8), (33, 70)]
PNG_KINDS = {
    (1, 0): Layout.BILEVEL,
    (2, 0): Layout.GREY,
    (4, 0): Layout.GREY,
    (8, 0): Layout.GREY,
    (8, 2): Layout.RGB,
    (1, 3): Layout.INDEX,
    (2, 3): Layout.INDEX,
    (4, 3): Layout.INDEX,
    (8, 3): Layout.INDEX,
    (8, 4): Layout.GREY_ALPHA,
    (8, 6): Layout.RGBA,
}
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : end]))
        at = end + 4
    return found


def png(
    samples: np.ndarray,
    depth: int = 8,
    colour: int = 0,
    before: bytes = b"",
    after: bytes = b"",
    *,
    filters: int = 0,
    cuts: tuple[int, ...] = (),
    padding: int = 0,
    methods: bytes = bytes(3),
) -> bytes:
    """A PNG of samples [H, W, C], packed in a way of its own, with filters 0 or 1, IDAT cut at the given places."""
    height, width, channels = samples.shape
    rows = b""
    for row in samples:
        bits = "".join(f"{value:0{depth}b}" for value in row.flat)
        packed = int(bits + str(padding) * (-len(bits) % 8), 2).to_bytes(-(-len(bits) // 8), "big")
        left = bytes(channels) + packed if filters else bytes(channels + len(packed))
        rows += bytes([filters]) + bytes((a - b) % 256 for a, b in zip(packed, left, strict=False))
    stream = zlib.compress(rows)
    edges = [0, *cuts, len(stream)]
    idats = b"".join(chunk(b"IDAT", stream[a:b]) for a, b in pairwise(edges))
    header = struct.pack(">IIBB", width, height, depth, colour) + methods
    return SIGNATURE + chunk(b"IHDR", header) + before + idats + after + chunk(b"IEND")


def smooth(height: int, width: int, channels: int, levels: int) -> np.ndarray:
    """Samples with slopes and noise, uint8 [H, W, C]."""
    slope = np.add.outer(np.arange(height) * 3, np.arange(width) * 2)[:, :, None] + 40 * np.arange(channels)
    return ((slope + RANDOM.integers(0, 3, (height, width, channels))) % levels).astype(np.uint8)


def png_of(kind: tuple[int, int], shape: tuple[int, int], before: bytes = b"", after: bytes = b"") -> bytes:
    depth, colour = kind
    palette = chunk(b"PLTE", RANDOM.bytes(3 * 2**depth)) if colour == 3 else b""
    return png(smooth(*shape, CHANNELS[colour], 2**depth), depth, colour, palette + before, after)


def saved(image: Image.Image, container: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, container, **options)
    return file.getvalue()


def seen(data: bytes) -> object:
    """All that Pillow reads of an image, or what it raises."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return image.format, image.mode, image.size, image.tobytes(), image.info, image.getpalette("RGB")
    except Exception as error:
        return type(error)


def taken(data: bytes) -> Picture:
    """The picture of `data`, after it has been written and both have been compared."""
    picture = read_picture(data)
    assert picture is not None
    assert picture.samples.dtype == np.uint8
    assert picture.samples.flags.c_contiguous
    assert picture.samples.shape[2] == layout(picture.form).channels
    again = write_picture(picture.form, picture.samples)
    if exact(picture.form):
        assert again == data
    else:
        assert seen(again) == seen(data)
        assert [c for c in chunks(again) if c[0] != b"IDAT"] == [c for c in chunks(data) if c[0] != b"IDAT"]
        assert [c[0] for c in chunks(again)].count(b"IDAT") == 1
    reread = read_picture(again)
    assert reread is not None
    assert reread.form == picture.form
    assert np.array_equal(reread.samples, picture.samples)
    return picture


@pytest.mark.parametrize("kind", PNG_KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_png_kinds(kind: tuple[int, int], shape: tuple[int, int]) -> None:
    depth, colour = kind
    samples = smooth(*shape, CHANNELS[colour], 2**depth)
    palette = chunk(b"PLTE", RANDOM.bytes(3 * 2**depth)) if colour == 3 else b""
    picture = taken(png(samples, depth, colour, palette))
    assert np.array_equal(picture.samples, samples)
    assert (layout(picture.form), suffix(picture.form), exact(picture.form)) == (PNG_KINDS[kind], ".png", False)
    # Neither the size nor the way of compressing is in the form.
    other = png(np.zeros((2, 5, CHANNELS[colour]), np.uint8), depth, colour, palette, filters=1, padding=1, cuts=(0, 3, 3))
    assert taken(other).form == picture.form


def metadata() -> Iterator[tuple[str, bytes, bytes]]:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "seven")
    info.add_text("Long", "seven " * 50, zip=True)
    info.add_itxt("Titel", "sieben", "de", "Title")
    info.add(b"prVt", b"before")
    info.add(b"prVt", b"after", after_idat=True)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010E] = "seven"
    image = Image.new("L", (1, 1))
    data = saved(image, pnginfo=info, icc_profile=profile, exif=exif, dpi=(72, 300))
    found = [chunk(*c) for c in chunks(data) if c[0] != b"IHDR"]
    at = next(i for i, c in enumerate(found) if c[4:8] == b"IDAT")
    yield "pillow's", b"".join(found[:at]), b"".join(found[at + 1 : -1])
    yield "gamma", chunk(b"gAMA", struct.pack(">I", 45455)), b""
    yield "time after", b"", chunk(b"tIME", b"\x07\xe8\1\1\0\0\0")
    yield "text twice", chunk(b"tEXt", b"a\0b"), chunk(b"tEXt", b"a\0c") + chunk(b"tEXt", b"a\0d")
    yield "what pillow refuses", chunk(b"zTXt", b"a\0\7"), b""
    yield "empty chunk", chunk(b"abCd"), chunk(b"abCd")
    yield "space", chunk(b"sRGB", b"\0") + chunk(b"cHRM", bytes(range(32))) + chunk(b"bKGD", b"\0\1"), b""


METADATA = {name: (before, after) for name, before, after in metadata()}


@pytest.mark.parametrize("name", METADATA)
@pytest.mark.parametrize("kind", [(1, 0), (4, 0), (8, 0), (8, 2), (2, 3), (8, 6)])
def test_metadata_comes_back(name: str, kind: tuple[int, int]) -> None:
    before, after = METADATA[name]
    assert taken(png_of(kind, (4, 5), before, after)).form != taken(png_of(kind, (4, 5))).form


@pytest.mark.parametrize(
    ("kind", "transparency"),
    [
        ((1, 0), b"\0\1"),
        ((4, 0), b"\0\7"),
        ((8, 0), b"\0\7"),
        ((8, 2), b"\0\1\0\2\0\3"),
        ((8, 3), b"\7\0\x80"),
        ((2, 3), b"\0"),
    ],
)
def test_transparency_comes_back(kind: tuple[int, int], transparency: bytes) -> None:
    taken(png_of(kind, (4, 5), chunk(b"tRNS", transparency)))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (28, 28), (300, 200)])
def test_pillows_pngs(mode: str, size: tuple[int, int]) -> None:
    image = Image.fromarray(smooth(size[1], size[0], 4, 256)).convert(mode)
    samples = taken(saved(image)).samples
    assert samples.tobytes() == (image.convert("L").point(lambda v: v // 255) if mode == "1" else image).tobytes()


def unfiltered(number: int, rest: np.ndarray, above: np.ndarray) -> np.ndarray:
    """One row of single bytes, as the PNG specification has it."""
    row: list[int] = []
    for x, value in enumerate(rest):
        a, b, c = (row[-1] if x else 0), int(above[x]), (int(above[x - 1]) if x else 0)
        nearest = min((a, b, c), key=lambda v: abs(a + b - c - v))
        row.append((int(value) + (0, a, b, (a + b) // 2, nearest)[number]) % 256)
    return np.array(row, np.uint8)


def test_the_best_filter_is_used_and_inverted(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, rows, random = [3, 4, 0, 1, 2, 4, 3, 0, 2, 1], [], np.random.default_rng(0)
    rest = np.array([90] + [1, 255] * 31 + [1], np.uint8)  # without the 90, Paeth would always choose what is above
    for number in numbers:
        rows.append(random.integers(0, 256, 64, np.uint8))
        rows.append(unfiltered(number, rest, rows[-1]))
    samples = np.array(rows)[:, :, None]
    form = taken(png(samples)).form
    whole = write_picture(form, samples)
    found = np.frombuffer(zlib.decompress(dict(chunks(whole))[b"IDAT"]), np.uint8).reshape(-1, 65)[1::2]
    assert found[:, 0].tolist() == numbers
    assert (found[:, 1:] == rest).all()
    assert taken(whole).samples.tobytes() == samples.tobytes()
    monkeypatch.setattr(png_module, "_FILTER_BYTES", 200)  # three rows at a time
    assert write_picture(form, samples) == whole


GREY = smooth(3, 5, 1, 256)
PALETTE = chunk(b"PLTE", bytes(range(12)))
REFUSED_PNGS = {
    "16 bit": saved(Image.fromarray(np.zeros((3, 3), np.uint16))),
    "unknown interlacing": png(GREY[:1, :1], methods=b"\0\0\2"),
    "interlaced rows missing": png(GREY, methods=b"\0\0\1"),
    "unknown filter method": png(GREY, methods=b"\0\1\0"),
    "unknown compression": png(GREY, methods=b"\1\0\0"),
    "depth 4 RGB": png(smooth(3, 4, 3, 16), 4, 2),
    "animated": saved(Image.new("L", (2, 2)), save_all=True, append_images=[Image.new("L", (2, 2), 9)]),
    "cut": png(GREY)[:-1],
    "no end": png(GREY)[:-12],
    "full end": png(GREY)[:-12] + chunk(b"IEND", b"x"),
    "late header": png(GREY)[:8] + chunk(b"teXt") + png(GREY)[8:],
    "two headers": png(GREY, before=png(GREY)[8:33]),
    "divided IDAT": png(GREY, after=chunk(b"teXt") + chunk(b"IDAT")),
    "no IDAT": png(GREY)[:33] + chunk(b"IEND"),
    "more after the stream": png(GREY, after=chunk(b"IDAT", b"x")),
    "wrong checksum": png(GREY)[:-1] + b"?",
    "unknown critical chunk": png(GREY, before=chunk(b"CgBI")),
    "name of no letters": png(GREY, before=chunk(b"a1Cd")),
    "places in the stream": png(GREY, before=chunk(b"iDOT", bytes(28))),
    "signature": png(GREY, after=chunk(b"dSIG", b"x")),
    "no palette": png(GREY % 4, 8, 3),
    "late palette": png(GREY % 4, 8, 3, after=PALETTE),
    "two palettes": png(GREY % 4, 8, 3, PALETTE + PALETTE),
    "palette of 4 1/3 colours": png(GREY % 4, 8, 3, chunk(b"PLTE", bytes(13))),
    "palette of 257 colours": png(GREY % 4, 8, 3, chunk(b"PLTE", bytes(771))),
    "empty palette": png(GREY * 0, 8, 3, chunk(b"PLTE")),
    "index beyond the palette": png(GREY % 5, 8, 3, PALETTE),
    "unknown filter": png(GREY, filters=5),
}


@pytest.mark.parametrize("tail", [b"\n", chunk(b"IEND"), b"\0" * 9])
def test_bytes_behind_the_end_come_back(tail: bytes) -> None:
    picture = taken(png(GREY, after=chunk(b"teXt", b"a\0b")) + tail)
    assert write_picture(picture.form, picture.samples).endswith(png(GREY)[-12:] + tail)
    assert picture.form != taken(png(GREY, after=chunk(b"teXt", b"a\0b"))).form


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", PNG_KINDS)
def test_interlaced_pngs(kind: tuple[int, int], shape: tuple[int, int]) -> None:
    """Pillow reads what was interlaced here, and that is read and written as any other."""
    data = png_of(kind, shape)
    plain, samples = png_module.read_png(data)
    fields = plain.fields()
    interlaced = png_module.Png.from_fields([fields[0] + b"\1", *fields[1:]]).write(samples)
    picture = taken(interlaced)
    assert (picture.samples == samples).all()
    assert picture.form != taken(data).form
    with Image.open(io.BytesIO(data)) as one, Image.open(io.BytesIO(interlaced)) as two:
        two.load()  # Pillow goes by its info
        assert two.info.pop("interlace") == 1
        assert (one.mode, one.size, one.tobytes(), one.info) == (two.mode, two.size, two.tobytes(), two.info)


@pytest.mark.parametrize("case", REFUSED_PNGS)
def test_refused_pngs(case: str) -> None:
    assert read_picture(REFUSED_PNGS[case]) is None


def test_paeth_takes_the_nearest_and_of_equally_near_the_first() -> None:
    left, above, corner = np.indices((9, 9, 9)).reshape(3, -1).astype(np.uint8) * 31
    nearest = []
    for a, b, c in zip(left.tolist(), above.tolist(), corner.tolist(), strict=True):
        distances = [abs(a + b - c - value) for value in (a, b, c)]
        nearest.append((a, b, c)[distances.index(min(distances))])
    assert png_module._paeth(left, above, corner).tolist() == nearest


def test_unknown_filters_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert read_picture(REFUSED_PNGS["unknown filter"]) is None


@pytest.mark.parametrize("rows", [b"\0\1\2\0\3", b"\0\1\2\0\3\4\0", b"\7\1\2\0\3\4"])
def test_streams_of_another_length_are_refused(rows: bytes) -> None:
    good, bad = (
        png(np.zeros((2, 2, 1), np.uint8))[:33] + chunk(b"IDAT", zlib.compress(r)) + chunk(b"IEND")
        for r in (b"\0\1\2\0\3\4", rows)
    )
    assert taken(good).samples.ravel().tolist() == [1, 2, 3, 4]
    assert read_picture(bad) is None


def test_huge_sizes_are_refused_before_anything_is_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zlib, "decompressobj", None)
    header = struct.pack(">IIBBBBB", 2**13, 2**13 + 1, 8, 0, 0, 0, 0)
    assert read_picture(SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND")) is None


SMALL = [
    png_of((8, 2), (2, 3), chunk(b"tEXt", b"a\0b") + chunk(b"pHYs", bytes(8) + b"\1"), chunk(b"tIME", bytes(7))),
    png_of((2, 3), (2, 5), chunk(b"tRNS", b"\1\2")),
]


@pytest.mark.parametrize("data", SMALL)
def test_cut_pngs_are_refused(data: bytes) -> None:
    assert all(read_picture(data[:end]) is None for end in range(len(data)))


@pytest.mark.parametrize("data", SMALL)
def test_every_flipped_byte_is_noticed_or_kept(data: bytes) -> None:
    for at in range(len(data)):
        for flip in (1, 32, 255):
            assert read_picture(data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]) is None
    kept = 0
    for number, (kind, body) in enumerate(chunks(data)):  # the same with right checksums
        for at in range(4 + len(body)):
            changed = bytearray(kind + body)
            changed[at] ^= 1 << (at % 8)
            pairs = [*chunks(data)[:number], (bytes(changed[:4]), bytes(changed[4:])), *chunks(data)[number + 1 :]]
            wrong = SIGNATURE + b"".join(chunk(*pair) for pair in pairs)
            if read_picture(wrong) is not None:
                taken(wrong)
                kept += 1
    assert kept > 10


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=13, max_size=13), st.binary(max_size=30))
def test_random_png_headers_with_right_checksums(header: bytes, raw: bytes) -> None:
    data = SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND")
    if read_picture(data) is not None:
        taken(data)


def test_pillows_errors_are_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)  # a DecompressionBombError for more than twice as many
    assert read_picture(png(GREY)) is None
