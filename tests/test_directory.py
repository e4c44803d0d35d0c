"""Mapping of names to contents: names kept, dropped or reduced to folders; duplicates; extraction of some files."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import files_of, folders, make_pngs, no_progress, packed, random_pixels, save_colours, snapshot, unpacked

from acncodec.archive import header as head
from acncodec.archive.classes import METHOD_CODED, METHOD_FILE, METHOD_RAW, METHOD_WEBP
from acncodec.block.codec import decode_block
from acncodec.block.directory import (
    DUPLICATE,
    Directory,
    Entry,
    entries,
    folder_of,
    list_directory,
    pack_directory,
    unpack_directory,
)
from acncodec.block.plan import Way
from acncodec.errors import DamagedError, InputError
from acncodec.nets.model import Model
from acncodec.reading import reader as reader_module
from acncodec.reading.decompress import check, decompress
from acncodec.reading.parts import Parts
from acncodec.reading.reader import Archive

KEEP, DROP, FOLDERS = head.NAMES_KEEP, head.NAMES_DROP, head.NAMES_FOLDERS
FILES = {b"notes": b"text", b"a/notes": b"more text", b"0.png": b"no image"}


def by_folder(found: dict[bytes, object]) -> dict[bytes, Counter[object]]:
    """The pictures of every folder, whatever their names."""
    counted: dict[bytes, Counter[object]] = {}
    for name, what in found.items():
        counted.setdefault(folder_of(name), Counter())[what] += 1
    return counted


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures and files in three folders, some of them twice or thrice."""
    root = tmp_path_factory.mktemp("directory") / "in"
    pixels = random_pixels(0, 9, 4, 3, 256)
    for number, where in enumerate(["", "a", "a", "a", "a/b", "a/b", "", "c.d", "c.d"]):
        save_colours(root / where / f"picture {number}.png", pixels[number])
    for name, number in (("twin.png", 1), ("a/b/twin.png", 1), ("a/b/other.png", 8)):
        save_colours(root / name, pixels[number])
    make_pngs(root, 3, 2, 2, "RGB")
    for file, data in FILES.items():
        (root / file.decode()).write_bytes(data)
    (root / "a" / "b" / "notes").write_bytes(b"text")
    (root / "empty").mkdir()
    return root


@pytest.mark.parametrize("coded", [True, False])
@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("names", [DROP, FOLDERS])
def test_dropped_names_leave_the_same_pictures(
    names: int,
    way: Way,
    coded: bool,
    source: Path,
    tmp_path: Path,
    models: list[Model],
    model_files: list[Path],
    request: pytest.FixtureRequest,
) -> None:
    if coded:
        request.getfixturevalue("free_networks")
    (tmp_path / "in").symlink_to(source)
    archive = packed(tmp_path / "in", models, way=way, names=names, block=5)
    out = unpacked(archive, model_files)
    found, expected = snapshot(out), snapshot(source)
    for name in (*FILES, b"a/b/notes"):
        assert found.pop(name) == expected.pop(name)
    if names == FOLDERS:
        assert by_folder(found) == by_folder(expected)
        assert folders(out) == folders(source)
    else:
        assert Counter(found.values()) == Counter(expected.values())
    assert all(name.rpartition(b"/")[2].removesuffix(b".png").isdigit() for name in found)
    assert b"picture" not in archive.read_bytes()


def test_numbers_avoid_names_of_files_and_directories(tmp_path: Path, models: list[Model], model_files: list[Path]) -> None:
    root = tmp_path / "in"
    make_pngs(root, 3, 1, 1, "L")
    (root / "1.png").write_bytes(b"text")
    (root / "2.png").mkdir()
    (root / "2.png" / "notes").write_bytes(b"text")
    found = snapshot(unpacked(packed(root, models, names=DROP), model_files))
    assert sorted(found) == [b"0.png", b"1.png", b"2.png/notes", b"3.png", b"4.png"]
    assert found[b"1.png"] == b"text"


@pytest.mark.parametrize("names", [KEEP, DROP, FOLDERS])
@pytest.mark.parametrize("coded", [True, False])
def test_a_duplicate_costs_next_to_nothing(
    coded: bool,
    names: int,
    tmp_path: Path,
    models: list[Model],
    model_files: list[Path],
    request: pytest.FixtureRequest,
) -> None:
    if coded:
        request.getfixturevalue("free_networks")
    sizes = []
    for copies in (1, 2, 3):
        root = tmp_path / f"{copies}"
        for number in range(copies):
            save_colours(root / f"{number}.png", random_pixels(0, 1, 5, 40, 256, 3)[0], compress_level=number)
            (root / f"{number}.bin").write_bytes(random_pixels(1, 1, 50, 50, 256).tobytes())
        archive = packed(root, models, names=names)
        sizes.append(archive.stat().st_size)
        assert Counter(snapshot(unpacked(archive, model_files)).values()) == Counter(snapshot(root).values())
    assert sizes[0] > 2800
    assert sizes[1] - sizes[0] < 64
    assert sizes[2] - sizes[1] < 64


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures there are in each block that is decoded from now on."""
    seen = []

    def counted(block, *rest):  # type: ignore[no-untyped-def]
        seen.append(sum(n for _, n in block.classes))
        return decode_block(block, *rest)

    monkeypatch.setattr(reader_module, "decode_block", counted)
    return seen


@pytest.mark.parametrize("names", [KEEP, DROP, FOLDERS])
@pytest.mark.usefixtures("free_networks")
def test_only_the_requested_block_is_decoded(
    names: int, tmp_path: Path, models: list[Model], model_files: list[Path], decoded: list[int]
) -> None:
    make_pngs(tmp_path / "in", 8, 3, 3, "L")
    archive = packed(tmp_path / "in", models, block=3, names=names)
    with Archive(archive, model_files) as opened:
        assert opened.header.blocks == [3, 3, 2]
        assert len(opened.entries) == 8
        assert decoded == []
        found = opened.class_of(7)
        assert (found.method, found.height, found.width) == (METHOD_CODED, 3, 3)
        assert decoded == []
        data = opened.read(7)
        assert decoded == [2]
        assert opened.read(7) == data
        assert decoded == [2]
        opened.read(0)
        assert decoded == [2, 3]
        decoded.clear()
        assert len(files_of(opened)) == 8
        assert len(decoded) <= 3
    assert len(snapshot(unpacked(archive, model_files))) == 8


@pytest.mark.usefixtures("free_networks")
def test_parts_of_an_archive(tmp_path: Path, models: list[Model], model_files: list[Path], decoded: list[int]) -> None:
    make_pngs(tmp_path / "in", 7, 3, 3, "L")
    (tmp_path / "in" / "empty").mkdir()
    source = snapshot(tmp_path / "in")
    archive = packed(tmp_path / "in", models, block=3)
    for number, (patterns, expected, blocks) in enumerate(
        [
            (("L-3x3/4.png",), [b"L-3x3/4.png"], [3]),
            (("*/6.png",), [b"L-3x3/6.png"], [1]),
            (("L-3x3/[01].png", "L-3x3/1.png"), [b"L-3x3/0.png", b"L-3x3/1.png"], [3]),
            (("L-3x3/",), sorted(source), [3, 3, 1]),
        ]
    ):
        decoded.clear()
        target = tmp_path / str(number)
        with Parts(archive, model_files) as opened:
            outcome = decompress(opened, target, patterns=patterns, progress=no_progress)
        assert snapshot(target) == {name: source[name] for name in expected}
        assert outcome.files == len(expected)
        assert decoded == blocks
        assert not (target / "empty").exists()


def test_patterns_that_match_nothing_are_input_errors(source: Path, tmp_path: Path, models: list[Model]) -> None:
    (tmp_path / "in").symlink_to(source)
    archive = packed(tmp_path / "in", models)
    with Parts(archive) as opened:
        for pattern in ("b", "*.jpg", "A"):
            with pytest.raises(InputError, match=f"matches '{re.escape(pattern)}'"):
                decompress(opened, tmp_path / "out", patterns=("*.png", pattern), progress=no_progress)
    assert not (tmp_path / "out").exists()


def test_check_counts_and_writes_nothing(
    source: Path, tmp_path: Path, models: list[Model], model_files: list[Path]
) -> None:
    (tmp_path / "in").symlink_to(source)
    archive = packed(tmp_path / "in", models)
    with Parts(archive, model_files) as opened:
        outcome = check(opened, progress=no_progress)
    assert (outcome.files, outcome.lost) == (len(snapshot(source)), [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "in.acn"]


# The sections by themselves


def header(names: int, blocks: list[int], stores: list[int], duplicates: int, folders: int) -> head.Header:
    total = sum(blocks) + sum(stores) + duplicates
    return head.Header(names, 0, bytes(4), [], total, duplicates, folders, 1, blocks, stores)


METHOD_OF = [METHOD_CODED, METHOD_FILE, METHOD_CODED, METHOD_WEBP, METHOD_RAW]  # of contents, by first appearance
NUMBERS = [0, 2, 1, 3, 4]  # of contents in the archive
NAMES = [b"a", b"b/c", b"b/d", b"d", b"e", b"f/g", b"h", b"i"]
CONTENT_OF = [0, 1, 0, 2, 3, 1, 4, 3]


@pytest.mark.parametrize("names", [KEEP, DROP, FOLDERS])
def test_sections_come_back_and_tell_every_file(names: int) -> None:
    paths = sorted({folder_of(name) for name in NAMES}) if names == FOLDERS else []
    lists = list_directory(NAMES, CONTENT_OF, METHOD_OF, NUMBERS, paths, names)
    stored = [0, 0] if names == FOLDERS else []
    directory = Directory(*lists, stored, paths, [b"empty"])
    told = header(names, [1, 1], [2, 1], 3, len(paths))
    found = unpack_directory(told, dict(pack_directory(directory)))
    assert found.named_methods.tolist() == directory.named_methods.tolist()
    for field in ("named", "duplicates", "numbered", "stored_folders", "folders", "empty"):
        assert getattr(found, field) == getattr(directory, field)
    methods = [METHOD_CODED, METHOD_CODED, METHOD_FILE, METHOD_WEBP, METHOD_RAW]
    suffixes = [".png", ".png", "", ".tif", ".bmp"]
    listed = entries(told, found, methods, suffixes, [0, 0, 0, 0] if names == FOLDERS else [])
    assert len(listed) == len(NAMES)
    assert [entry.name for entry in listed] == sorted({entry.name for entry in listed})
    assert Counter(entry.content for entry in listed) == Counter(NUMBERS[content] for content in CONTENT_OF)
    if names == KEEP:
        assert listed == [Entry(name, NUMBERS[content]) for name, content in zip(NAMES, CONTENT_OF, strict=True)]
    else:
        assert {entry.name for entry in listed if entry.content == 2} == {b"b/c", b"f/g"}
        suffix = {0: b".png", 1: b".png", 3: b".tif", 4: b".bmp"}
        assert all(entry.name.endswith(suffix[entry.content]) for entry in listed if entry.content != 2)


def test_duplicates_have_their_own_kinds() -> None:
    named, named_methods, duplicates, numbered = list_directory(NAMES, CONTENT_OF, METHOD_OF, NUMBERS, [], KEEP)
    assert named == NAMES
    assert named_methods.tolist() == [
        METHOD_CODED,
        METHOD_FILE,
        DUPLICATE,
        METHOD_CODED,
        METHOD_WEBP,
        DUPLICATE,
        METHOD_RAW,
        DUPLICATE,
    ]
    assert duplicates == [0, 2, 3]
    assert numbered == []


def test_an_empty_directory_has_no_section() -> None:
    empty = Directory([], np.zeros(0, np.int64), [], [], [], [], [])
    assert pack_directory(empty) == []


@pytest.mark.parametrize("name", [b"../up", b"/root", b"a//b", b"a/./b", b"nul\0"])
def test_names_outside_the_directory_are_damage(name: bytes) -> None:
    told = header(KEEP, [], [1], 0, 0)
    directory = Directory([name], np.zeros(1, np.int64), [], [], [], [], [b"empty"])
    with pytest.raises(DamagedError):
        unpack_directory(told, dict(pack_directory(directory)))
