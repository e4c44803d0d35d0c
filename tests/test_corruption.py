"""Golden archives stay readable; a damaged archive gives an AcnError, or on request all that is undamaged."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import check_ledger, files_of, make_pngs, no_progress, packed, snapshot, unpacked
from golden.make import DIRECTORIES, EARLIER, HERE, STACKS, described, make, model_files
from PIL import features

from acncodec.archive import block as blocks
from acncodec.archive.classes import METHOD_CODED, METHOD_FILE, METHOD_RAW, METHOD_WEBP
from acncodec.archive.container import FEATURE_MODELS, FEATURE_STACKS, read_container, write_container
from acncodec.errors import AcnError, DamagedError, ModelMissingError, UnsupportedError
from acncodec.nets.model import Model
from acncodec.reading.decompress import check, decompress
from acncodec.reading.parts import Parts
from acncodec.reading.reader import Archive

LIBWEBP = "1.6.0"  # whose bytes the golden archive holds; another may pack a picture otherwise
Files = dict[bytes, bytes]


def golden(name: str) -> Path:
    return HERE / f"v2-{name}.acn"


def read(path: Path) -> Files:
    """All files of an archive."""
    with Archive(path, model_files()) as opened:
        return files_of(opened)


def sections(data: bytes) -> list[tuple[str, bytes]]:
    container = read_container(io.BytesIO(data))
    return [(tag, container.read(i)) for i, tag in enumerate(container.tags)]


def written(payloads: list[tuple[str, bytes]]) -> bytes:
    """The archive of these sections."""
    carries = any(tag == "MODL" for tag, _ in payloads)
    return b"".join(write_container(payloads, FEATURE_STACKS | FEATURE_MODELS * carries))


@pytest.mark.parametrize("name", [*DIRECTORIES, *EARLIER])
def test_golden_archives_decode_for_good(name: str, tmp_path: Path) -> None:
    """Made once by golden/make.py: if this fails, users' archives are unreadable, too."""
    with Parts(golden(name), model_files()) as opened:
        decompress(opened, tmp_path / "out", progress=no_progress)
    found, recorded = described(tmp_path / "out"), json.loads(golden(name.split("-")[0]).with_suffix(".json").read_text())
    if name == "mixed":  # whose pictures have lost their names
        assert sorted(map(str, found.values())) == sorted(map(str, recorded.values()))
    else:
        assert found == recorded
    check_ledger(golden(name))


def test_golden_archives_hold_every_method() -> None:
    with Archive(golden("mixed")) as opened:
        assert {each.method for each in opened.classes} == {METHOD_FILE, METHOD_WEBP, METHOD_RAW, METHOD_CODED}
        assert opened.header.duplicates == 1
        assert opened.directory.empty == [b"empty"]
    with Archive(golden("colours")) as opened:
        assert len(opened.header.blocks) == 2
        assert {plane.tile for each in opened.classes for plane in each.planes} == {0, 4}
    with Archive(golden("strips")) as opened:
        assert {(each.method, each.width) for each in opened.classes} == {(METHOD_RAW, 19), (METHOD_RAW, 1)}
    with Archive(golden("greys")) as opened:
        assert opened.block(0).tour
        assert max(opened.block(0).lanes) == 2


def test_the_golden_archive_with_its_model_needs_no_other() -> None:
    with Archive(golden("carried")) as opened:
        assert [tag for tag in opened.container.tags if tag == "MODL"] == ["MODL"]
        assert len(files_of(opened)) == 6


def test_the_golden_archive_of_fine_models_holds_them() -> None:
    with Archive(golden("fine")) as opened:
        assert [model.format for model in opened.models] == [2, 2]


@pytest.mark.parametrize("name", DIRECTORIES)
def test_golden_archives_are_made_again(name: str, tmp_path: Path) -> None:
    """Fails also when only planning or pricing changed; then archives differ between versions, but stay readable."""
    if name == "mixed" and features.version("webp") != LIBWEBP:
        pytest.skip(f"made with libwebp {LIBWEBP}")
    make(name, tmp_path / "in", tmp_path / "again.acn")
    assert (tmp_path / "again.acn").read_bytes() == golden(name).read_bytes()


# Damage detected by checksums


def read_sections(path: Path) -> None:
    """Open an archive and read every section, decoding none."""
    with Archive(path) as opened:
        for index in range(len(opened.container.tags)):
            opened.container.read(index)


@pytest.mark.parametrize("name", ["greys", "colours", pytest.param("carried", marks=pytest.mark.slow)])
def test_every_wrong_byte_is_detected(name: str, tmp_path: Path) -> None:
    data, path = golden(name).read_bytes(), tmp_path / "bad.acn"
    for position in range(len(data)):
        for mask in (0xFF, 1 << position % 8):
            damaged = bytearray(data)
            damaged[position] ^= mask
            path.write_bytes(damaged)
            with pytest.raises((DamagedError, UnsupportedError)):
                read_sections(path)


@pytest.mark.parametrize("name", ["greys", "mixed"])
def test_every_truncation_is_detected(name: str, tmp_path: Path) -> None:
    data, path = golden(name).read_bytes(), tmp_path / "bad.acn"
    for length in range(0, len(data), 1 if name == "greys" else 17):
        path.write_bytes(data[:length])
        with pytest.raises(DamagedError):
            Archive(path)


def test_deleted_inserted_and_appended_bytes_are_detected(tmp_path: Path) -> None:
    data, path = golden("greys").read_bytes(), tmp_path / "bad.acn"
    for position in range(len(data)):
        path.write_bytes(data[:position] + data[position + 1 :])
        with pytest.raises((DamagedError, UnsupportedError)):
            Archive(path)
    for tail in (b"\0", b"\n", data):
        path.write_bytes(data + tail)
        with pytest.raises(DamagedError):
            Archive(path)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with (
        Parts(golden("greys"), model_files()[2:]) as opened,
        pytest.raises(ModelMissingError, match=r"tiny-2.*[0-9a-f]{64}"),
    ):
        check(opened, progress=no_progress)


# Damage behind valid checksums


def attempt(path: Path, payloads: list[tuple[str, bytes]]) -> Files | None:
    """The result of reading an archive with these sections; None for an AcnError. Other errors propagate."""
    path.write_bytes(written(payloads))
    try:
        return read(path)
    except AcnError:
        return None


@pytest.mark.parametrize(("name", "each"), [("greys", 6), ("stacks", 2)])
def test_wrong_coded_bits_are_always_detected(name: str, each: int, tmp_path: Path) -> None:
    """In every stack."""
    payloads = sections(golden(name).read_bytes())
    place = [tag for tag, _ in payloads].index("BLCK")
    block = blocks.decode(payloads[place][1])
    random = np.random.default_rng(0)
    for number, bits in enumerate(block.bits):
        for position in random.choice(len(bits), each, replace=False):
            wrong = bytearray(bits)
            wrong[position] ^= int(random.integers(1, 256))
            changed = payloads.copy()
            damaged = replace(block, bits=[*block.bits[:number], bytes(wrong), *block.bits[number + 1 :]])
            changed[place] = ("BLCK", blocks.encode(damaged))
            assert attempt(tmp_path / "bad.acn", changed) is None


def test_several_stacks_need_their_feature_bit(tmp_path: Path) -> None:
    container = read_container(io.BytesIO(golden("stacks").read_bytes()))
    assert container.features & FEATURE_STACKS
    with Archive(golden("stacks")) as opened:
        assert len(opened.block(0).bits) == STACKS
    payloads = sections(golden("stacks").read_bytes())
    (tmp_path / "bad.acn").write_bytes(b"".join(write_container(payloads, container.features & ~FEATURE_STACKS)))
    with pytest.raises(DamagedError), Archive(tmp_path / "bad.acn", model_files()) as opened:
        opened.block(0)


@pytest.mark.parametrize("name", ["greys", "mixed"])
def test_wrong_sections_raise_nothing_unexpected(name: str, tmp_path: Path) -> None:
    """Names and stored files have no hash beside the checksum; wrong ones must still not crash the reader."""
    payloads = sections(golden(name).read_bytes())
    random = np.random.default_rng(1)
    told = 0
    for place, (tag, payload) in enumerate(payloads):
        for position in range(len(payload)) if len(payload) < 120 else random.choice(len(payload), 60, replace=False):
            damaged = bytearray(payload)
            damaged[position] ^= 1 << int(random.integers(0, 8))
            changed = payloads.copy()
            changed[place] = (tag, bytes(damaged))
            (tmp_path / "bad.acn").write_bytes(written(changed))
            try:
                with Archive(tmp_path / "bad.acn", model_files()) as opened:
                    first = sum(opened.header.blocks)  # whose decoding other tests see to
                    for _, pieces in opened.files(entry for entry in opened.entries if entry.content >= first):
                        list(pieces)
            except AcnError:
                told += 1
    assert told > 60


@pytest.mark.parametrize("name", DIRECTORIES)
def test_missing_and_unknown_sections_are_refused(name: str, tmp_path: Path) -> None:
    payloads = sections(golden(name).read_bytes())
    for missing, (tag, _) in enumerate(payloads):
        if tag == "MODL":  # the model is at hand here, in a file
            continue
        assert attempt(tmp_path / "bad.acn", payloads[:missing] + payloads[missing + 1 :]) is None
    (tmp_path / "bad.acn").write_bytes(written([*payloads, ("XTRA", b"?")]))
    with pytest.raises(UnsupportedError, match="XTRA"):
        Archive(tmp_path / "bad.acn")


# Recovery from a damaged archive


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    make_pngs(root, 7, 2, 3, "L")
    (root / "notes").write_bytes(b"text")
    return root


def damage(archive: Path, number: int, checksum: bool) -> None:
    """Damage a block such that its checksum, or only the digest of its pixels, is wrong."""
    payloads = sections(archive.read_bytes())
    places = [i for i, (tag, _) in enumerate(payloads) if tag == "BLCK"]
    tag, payload = payloads[places[number]]
    wrong = payload[:-2] + bytes([payload[-2] ^ 1]) + payload[-1:]
    if checksum:
        archive.write_bytes(archive.read_bytes().replace(payload, wrong))
    else:
        payloads[places[number]] = (tag, wrong)
        archive.write_bytes(written(payloads))


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.usefixtures("free_networks")
def test_a_damaged_block_costs_its_pictures_only(
    checksum: bool, source: Path, tmp_path: Path, models: list[Model], model_files: list[Path]
) -> None:
    archive = packed(source, models, block=3)
    damage(archive, 1, checksum)
    with Parts(archive, model_files) as opened, pytest.raises(DamagedError):
        decompress(opened, tmp_path / "out", progress=no_progress)
    assert not (tmp_path / "out").exists()
    with Parts(archive, model_files, tolerant=True) as opened:
        outcome = decompress(opened, tmp_path / "out", keep_going=True, progress=no_progress)
    assert [name for name, _ in outcome.lost] == [b"L-2x3/3.png", b"L-2x3/4.png", b"L-2x3/5.png"]
    assert outcome.files == 5
    expected = snapshot(source)
    for name, reason in outcome.lost:
        assert "damaged" in reason or "decoded" in reason or "coded bits" in reason
        del expected[name]
    assert snapshot(tmp_path / "out") == expected


@pytest.mark.usefixtures("free_networks")
def test_a_truncated_archive_is_restored_up_to_its_end(
    source: Path, tmp_path: Path, models: list[Model], model_files: list[Path]
) -> None:
    archive = packed(source, models, block=3)
    data, whole = archive.read_bytes(), snapshot(source)
    last = sections(data)[-2][1]  # the last block; the file behind it is lost too
    archive.write_bytes(data[: data.index(last) + 5])
    with Parts(archive, model_files, tolerant=True) as opened:
        outcome = decompress(opened, tmp_path / "out", keep_going=True, progress=no_progress)
    assert sorted(name for name, _ in outcome.lost) == [b"L-2x3/6.png", b"notes"]
    assert snapshot(tmp_path / "out") == {
        name: what for name, what in whole.items() if b"6" not in name and name != b"notes"
    }
    with pytest.raises(DamagedError, match="truncated"):
        unpacked(archive, model_files)
