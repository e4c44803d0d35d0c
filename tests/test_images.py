"""Scanning finds each regular file by its raw name; an element is exactly what can be given back."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from acncodec.errors import DamagedError, InputError
from acncodec.images import element as element_module
from acncodec.images.element import Element, read_element, write_element
from acncodec.images.scan import MAX_PATH, read_file, safe_path, scan

RANDOM = np.random.default_rng(0)


def test_scan_lists_files_and_what_it_skips(tmp_path: Path) -> None:
    (tmp_path / "b" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name in (b"b/deep/er/x.png", b"b.png", b".hidden", b"b/\xff\xfe\n.png"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(name)
    (tmp_path / "link").symlink_to("b.png")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    listing = scan(tmp_path)
    assert listing.files == [b".hidden", b"b.png", b"b/deep/er/x.png", b"b/\xff\xfe\n.png"]
    assert listing.skipped == [(b"b/loop", "symbolic link"), (b"fifo", "special file"), (b"link", "symbolic link")]
    assert [read_file(tmp_path, name) for name in listing.files] == listing.files


def test_scan_and_read_name_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"no directory .*missing"):
        scan(tmp_path / "missing")
    with pytest.raises(InputError, match="file' is not a directory"):
        scan(tmp_path / "file")
    with pytest.raises(InputError, match="gone"):
        read_file(tmp_path, b"gone\xff")


def test_scan_names_the_unreadable_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refuse(path: bytes) -> object:  # a mode of 0 would not stop root
        if path.endswith(b"locked/"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"locked.*Permission denied"):
        scan(tmp_path)


@pytest.mark.parametrize("name", [b"a", b"a/b", b".hidden", b"...", b"a\\b", b"C:x", b"\xff\n", b"x" * MAX_PATH])
def test_safe_paths(name: bytes) -> None:
    safe_path(name)


@pytest.mark.parametrize(
    "name", [b"", b"/", b"/a", b"a/", b"a//b", b".", b"..", b"a/../b", b"./a", b"a\0b", b"x" * (MAX_PATH + 1)]
)
def test_unsafe_paths(name: bytes) -> None:
    with pytest.raises(DamagedError):
        safe_path(name)


def test_unsafe_paths_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "name", "nt")
    for name in (b"a\\..\\b", b"C:x"):
        with pytest.raises(DamagedError):
            safe_path(name)


def pixels_of(mode: str, height: int, width: int) -> np.ndarray:
    return RANDOM.integers(0, 2 if mode == "1" else 256, (height, width), np.uint8)


def saved(image: Image.Image, container: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, container, **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["1", "L"])
@pytest.mark.parametrize("container", ["PNG", "PPM"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (5, 8), (28, 28), (3, 70), (600, 500)])
def test_elements_come_back(mode: str, container: str, shape: tuple[int, int]) -> None:
    pixels = pixels_of(mode, *shape)
    data = write_element(Element(mode, container, pixels))
    found = read_element(data)
    assert found is not None
    assert (found.mode, found.container, found.pixels.dtype) == (mode, container, np.uint8)
    assert np.array_equal(found.pixels, pixels)
    assert write_element(found) == data
    with Image.open(io.BytesIO(data)) as image:
        assert (image.mode, image.format, image.size, image.info) == (mode, container, shape[::-1], {})
        values = [255 * int(v) for v in pixels.flat] if mode == "1" else [int(v) for v in pixels.flat]
        assert list(image.convert("L").tobytes()) == values


def test_white_is_one() -> None:
    found = read_element(b"P4 3 1 \xa0")  # in a PBM the bit 1 is black
    assert found is not None
    assert found.pixels.tolist() == [[0, 1, 0]]


@pytest.mark.parametrize(
    "wrong",
    [
        Element("L", "GIF", np.zeros((2, 2), np.uint8)),
        Element("RGB", "PNG", np.zeros((2, 2), np.uint8)),
        Element("1", "PNG", np.full((2, 2), 2, np.uint8)),
        Element("L", "PNG", np.zeros((2, 2), np.int64)),
        Element("L", "PNG", np.zeros((2, 2, 1), np.uint8)),
        Element("L", "PNG", np.zeros((0, 2), np.uint8)),
    ],
)
def test_what_is_no_element_is_not_written(wrong: Element) -> None:
    with pytest.raises(ValueError, match="not an element"):
        write_element(wrong)


GREY = Image.fromarray(RANDOM.integers(0, 256, (6, 7), np.uint8))
PNG, PGM = saved(GREY), saved(GREY, "PPM")


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(raw: bytes, depth: int = 8, interlace: int = 0, before: bytes = b"", after: bytes = b"") -> bytes:
    """A PNG of 2 x 2 pixels with the given filtered bytes; `before` and `after` stand around its IDAT."""
    header = struct.pack(">IIBBBBB", 2, 2, depth, 0, 0, 0, interlace)
    idat = chunk(b"IDAT", zlib.compress(raw))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + idat + after + chunk(b"IEND", b"")


def text() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "seven")
    return info


RAW = b"\0\1\2\0\3\4"
REFUSED = {
    "empty": b"",
    "text file": b"hello",
    "jpeg": saved(GREY, "JPEG"),
    "gif": saved(GREY, "GIF"),
    "rgb png": saved(GREY.convert("RGB")),
    "palette png": saved(GREY.convert("P")),
    "grey and alpha png": saved(GREY.convert("LA")),
    "16 bit png": saved(GREY.convert("I;16")),
    "2 bit png": png(b"\0\x60\0\x90", depth=2),
    "interlaced png": png(b"\0\1\0\2\0\3\4", interlace=1),
    "png with text": saved(GREY, pnginfo=text()),
    "png with dpi": saved(GREY, dpi=(72, 72)),
    "png with profile": saved(GREY, icc_profile=b"profile"),
    "png with exif": saved(GREY, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
    "png with transparency": saved(GREY, transparency=3),
    "png with gamma": png(RAW, before=chunk(b"gAMA", struct.pack(">I", 45455))),
    "png with time": png(RAW, after=chunk(b"tIME", b"\x07\xe8\1\1\0\0\0")),
    "png with unknown chunk": png(RAW, before=chunk(b"abCd", b"secret")),
    "animated png": saved(GREY, save_all=True, append_images=[GREY.rotate(90)]),
    "png cut": PNG[:-20],
    "png without IEND": PNG[:-12],
    "png with trailing bytes": PNG + b"\n",
    "png with a wrong CRC": PNG[:-1] + b"?",
    "png with too many rows": png(RAW + b"\0\5\6"),
    "png with too few rows": png(RAW[:3]),
    "png with a wrong row filter": png(b"\7\1\2\0\3\4"),
    "png with bytes after its rows": png(RAW, after=chunk(b"IDAT", b"more")),
    "png of no rows": PNG[:16] + struct.pack(">II", 7, 0) + PNG[24:],
    "plain pbm": b"P1\n2 1\n0 1\n",
    "plain pgm": b"P2\n2 1\n255\n0 1\n",
    "colour ppm": saved(GREY.convert("RGB"), "PPM"),
    "pgm of 15 levels": b"P5\n2 1\n15\n\1\2",
    "pgm of 16 bits": b"P5\n2 1\n65535\n\1\2\3\4",
    "pgm with a comment": b"P5\n# mine\n2 1\n255\n\1\2",
    "pgm cut": PGM[:-1],
    "pgm with trailing bytes": PGM + b"\0",
    "pbm with trailing bytes": b"P4 3 1 \xa0\n",
    "pgm of no columns": b"P5 0 1 255\n",
    "pgm of 10^20 pixels": b"P5 9999999999 9999999999 255\n",
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    assert read_element(REFUSED[case]) is None


def test_the_hand_made_png_is_an_element_but_for_its_fault() -> None:
    found = read_element(png(RAW))
    assert found is not None
    assert found.pixels.tolist() == [[1, 2], [3, 4]]


def test_more_pixels_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(element_module, "MAX_PIXELS", 42)
    assert read_element(PNG) is not None
    assert read_element(PGM) is not None
    monkeypatch.setattr(element_module, "MAX_PIXELS", 41)
    assert read_element(PNG) is None
    assert read_element(PGM) is None


def test_pillows_errors_are_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # a DecompressionBombError for more than twice as many
    assert read_element(PNG) is None


MUTATIONS: list[Callable[[bytes, int, bytes], bytes]] = [
    lambda data, at, piece: data[:at] + piece + data[at:],
    lambda data, at, piece: data[:at] + piece + data[at + len(piece) :],
    lambda data, at, piece: data[:at] + data[at + len(piece) :],
]


def check_never_raises(data: bytes) -> None:
    found = read_element(data)
    if found is not None:
        again = read_element(write_element(found))
        assert again is not None
        assert (again.mode, again.container) == (found.mode, found.container)
        assert np.array_equal(again.pixels, found.pixels)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([b"", b"P4 ", b"P5 ", b"P5 1 1 255 ", PNG[:8]]), st.binary(max_size=80))
def test_random_bytes(start: bytes, rest: bytes) -> None:
    check_never_raises(start + rest)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([PNG, PGM]), st.sampled_from(MUTATIONS), st.integers(0, len(PNG)), st.binary(max_size=5))
def test_mutated_images(data: bytes, mutate: Callable[[bytes, int, bytes], bytes], at: int, piece: bytes) -> None:
    check_never_raises(mutate(data, at, piece))


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=13, max_size=13), st.binary(max_size=30))
def test_wild_png_headers_with_right_checksums(header: bytes, raw: bytes) -> None:
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    check_never_raises(PNG[:8] + chunks)
