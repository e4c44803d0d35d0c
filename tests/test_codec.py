"""Directory in, one file, directory out: everything comes back, and nothing appears when it cannot."""

import dataclasses
import hashlib
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CPU, make_pngs, no_progress, random_pixels, save_image, snapshot, tiny_model_bytes
from PIL import Image, PngImagePlugin

from acncodec.archive import header as head
from acncodec.archive.container import read_container, write_container
from acncodec.codec import compress as compressing
from acncodec.codec import decompress as decompressing
from acncodec.codec.compress import compress
from acncodec.codec.decompress import decompress, files, open_archive, parse_archive
from acncodec.codec.ledger import ledger
from acncodec.codec.plan import Way
from acncodec.coding.stack import Stack
from acncodec.errors import DamagedError, InputError, ModelMissingError, OutputError, UnsupportedError
from acncodec.nets.model import parse_model

GOLDEN = Path(__file__).parent / "golden"


def check_ledger(data):
    archive = parse_archive(data)
    assert archive.size == len(data)
    assert sum(line.bits for line in ledger(archive.container, archive.header)) == 8 * len(data)


def round_trip(root, models, model_files, **options):
    """The archive's bytes and the snapshot of what comes out of them, the ledger checked on the way."""
    target, out = root.with_name(root.name + ".acn"), root.with_name(root.name + ".out")
    done = compress(root, target, models, progress=no_progress, **options)
    data = target.read_bytes()
    assert done.size == len(data)
    check_ledger(data)
    assert decompress(target, out, model_files, CPU, progress=no_progress) == len(
        list(filter(Path.is_file, out.rglob("*")))
    )
    return data, snapshot(out)


def refuse(data, tmp_path, model_files, error=(DamagedError, UnsupportedError)):
    """Decompressing `data` raises `error` and leaves nothing behind."""
    folder = tmp_path / "refused"
    folder.mkdir(exist_ok=True)
    (folder / "bad.acn").write_bytes(data)
    with pytest.raises(error):
        decompress(folder / "bad.acn", folder / "out", model_files, CPU, progress=no_progress)
    assert [p.name for p in folder.iterdir()] == ["bad.acn"]


def rebuilt(data, header=None, **sections):
    """The archive with another header or other payloads, all checksums right."""
    payloads = dict(read_container(data).sections)
    if header is not None:
        payloads["HEAD"] = head.encode(header)
    payloads.update(sections)
    return b"".join(write_container(list(payloads.items())))


def unpacked(data, model_files):
    return sorted(files(parse_archive(data), model_files, CPU, no_progress))


def mixed(root):
    """One of everything that a directory may hold."""
    make_pngs(root, 5, 3, 4, "1")
    make_pngs(root, 3, 4, 2, "L")
    make_pngs(root / "deep" / "er", 2, 1, 1, "L", seed=1)
    save_image(root / "one.png", np.ones((1, 1), np.uint8), "1")
    save_image(root / "deep" / "grey.pgm", random_pixels(2, 1, 4, 2, 256)[0], "L")
    save_image(root / "deep" / "black.pbm", random_pixels(3, 1, 3, 9, 2)[0], "1")
    Image.new("RGB", (3, 2), (1, 2, 3)).save(root / "colour.png")
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "kept byte for byte")
    Image.new("L", (3, 2)).save(root / "deep" / "annotated.png", pnginfo=text)
    (root / "notes.txt").write_bytes(b"not an image\n" * 3)
    (root / "broken.png").write_bytes((root / "one.png").read_bytes()[:-5])
    (root / "empty").touch()
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9 \xff.png")).write_bytes((root / "one.png").read_bytes())


STORED = (b"colour.png", b"deep/annotated.png", b"notes.txt", b"broken.png", b"empty")


@pytest.fixture(scope="session")
def mixed_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("codec") / "mixed"
    mixed(root)
    return root


@pytest.fixture(scope="session")
def small(tmp_path_factory, models):
    """A small archive whose every decoding takes milliseconds: two groups, two steps wide, a stored file."""
    root = tmp_path_factory.mktemp("codec") / "small"
    make_pngs(root, 6, 2, 2, "1")
    make_pngs(root, 2, 1, 2, "L")
    (root / "x").write_bytes(b"stored")
    target = root.with_suffix(".acn")
    compress(root, target, models, way=Way.TOUR, progress=no_progress)
    return target.read_bytes()


@pytest.mark.parametrize("way", [None, *Way])
def test_everything_comes_back(way, mixed_root, tmp_path, models, model_files):
    root = tmp_path / "in"
    root.symlink_to(mixed_root)
    data, found = round_trip(root, models, model_files, way=way)
    assert found == snapshot(mixed_root)
    for name in STORED:
        assert (tmp_path / "in.out" / os.fsdecode(name)).read_bytes() == (mixed_root / os.fsdecode(name)).read_bytes()
    header = parse_archive(data).header
    assert header.stored == len(STORED)
    assert header.files == len(found)
    if way:
        assert (header.order == head.ORDER_TOUR, header.prior == head.PRIOR_CONDITIONAL) == way.value


@pytest.mark.parametrize("way", Way)
def test_dropped_names_leave_the_same_images_numbered(way, mixed_root, tmp_path, models, model_files):
    root = tmp_path / "in"
    root.symlink_to(mixed_root)
    data, found = round_trip(root, models, model_files, way=way, names=False)
    source = snapshot(mixed_root)
    stored = {name: source.pop(name) for name in STORED}
    assert {name: found.pop(name) for name in STORED} == stored
    assert Counter(found.values()) == Counter(source.values())
    assert sorted(int(name.split(b".")[0]) for name in found) == list(range(len(source)))
    suffixes = {("1", "PNG"): b"png", ("L", "PNG"): b"png", ("1", "PPM"): b"pbm", ("L", "PPM"): b"pgm"}
    assert all(name.split(b".")[1] == suffixes[mode, form] for name, (mode, form, *_) in found.items())
    assert b"one.png" not in data


def test_numbers_step_aside_for_stored_names(tmp_path, models, model_files):
    root = tmp_path / "in"
    make_pngs(root, 3, 1, 1)
    (root / "1.png").write_bytes(b"text")
    _, found = round_trip(root, models, model_files, names=False)
    assert sorted(found) == [b"0.png", b"1.png", b"2.png", b"3.png"]
    assert found[b"1.png"] == b"text"


def test_numbers_step_aside_for_stored_directories(tmp_path, models, model_files):
    root = tmp_path / "in"
    make_pngs(root, 3, 1, 1)
    (root / "1.png").mkdir()
    (root / "1.png" / "notes").write_bytes(b"text")
    _, found = round_trip(root, models, model_files, names=False)
    assert found[b"1.png/notes"] == b"text"
    assert len(found) == 4


def test_many_lanes(tmp_path, models, model_files):
    root = tmp_path / "in"
    make_pngs(root, 70, 2, 3)
    data, found = round_trip(root, models, model_files)
    assert parse_archive(data).header.groups[0].lanes == 4
    assert found == snapshot(root)


def test_images_without_a_model_are_stored(tmp_path, models, model_files):
    root = tmp_path / "in"
    make_pngs(root, 3, 2, 2, "1")
    make_pngs(root, 3, 2, 2, "L")
    data, found = round_trip(root, {2: models[2]}, model_files)
    assert found == snapshot(root)
    assert parse_archive(data).header.stored == 3


@pytest.mark.parametrize("names", [True, False])
def test_empty_directory(names, tmp_path, models):
    (tmp_path / "in").mkdir()
    data, found = round_trip(tmp_path / "in", models, [], names=names)
    assert found == {}
    assert (tmp_path / "in.out").is_dir()
    assert len(data) < 60


@pytest.mark.parametrize("names", [True, False])
def test_directory_without_images_needs_no_model(names, tmp_path, models):
    root = tmp_path / "in"
    root.mkdir()
    (root / "a").write_bytes(b"A" * 1000)
    (root / "b").touch()
    _, found = round_trip(root, models, [], names=names)
    assert found == {b"a": b"A" * 1000, b"b": b""}


@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize("mode", ["1", "L"])
@pytest.mark.parametrize("way", Way)
def test_single_image(way, mode, names, tmp_path, models, model_files):
    make_pngs(tmp_path / "in", 1, 3, 2, mode)
    _, found = round_trip(tmp_path / "in", models, model_files, way=way, names=names)
    assert list(found.values()) == list(snapshot(tmp_path / "in").values())


def test_the_same_directory_gives_the_same_bytes(mixed_root, tmp_path, models):
    threads = torch.get_num_threads()
    archives = []
    try:
        for number, count in enumerate((1, 1, 2)):
            torch.set_num_threads(count)
            target = tmp_path / f"{number}.acn"
            compress(mixed_root, target, models, progress=no_progress)
            archives.append(target.read_bytes())
    finally:
        torch.set_num_threads(threads)
    assert archives[0] == archives[1] == archives[2]


def test_the_archive_does_not_know_where_it_came_from(tmp_path, models):
    archives = []
    for parent in ("some-secret-place", "elsewhere"):
        root = tmp_path / parent / "in"
        make_pngs(root, 3, 2, 2)
        (root / "stored").write_bytes(b"x")
        compress(root, tmp_path / f"{parent}.acn", models, progress=no_progress)
        archives.append((tmp_path / f"{parent}.acn").read_bytes())
    assert archives[0] == archives[1]
    assert b"secret" not in archives[0]


def test_existing_target_is_kept_unless_overwrite(tmp_path, models):
    make_pngs(tmp_path / "in", 2, 2, 2)
    target = tmp_path / "out.acn"
    target.write_bytes(b"precious")
    with pytest.raises(OutputError):
        compress(tmp_path / "in", target, models, progress=no_progress)
    assert target.read_bytes() == b"precious"
    compress(tmp_path / "in", target, models, overwrite=True, progress=no_progress)
    open_archive(target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out.acn"]


def test_missing_source_and_missing_archive_are_input_errors(tmp_path, models):
    with pytest.raises(InputError):
        compress(tmp_path / "none", tmp_path / "x.acn", models, progress=no_progress)
    with pytest.raises(InputError):
        decompress(tmp_path / "none.acn", tmp_path / "out", [], CPU, progress=no_progress)
    assert list(tmp_path.iterdir()) == []


def test_missing_model_is_named(small, tmp_path, model_files):
    for found in ([], model_files[:1], model_files[1:]):
        refuse(small, tmp_path, found, ModelMissingError)
    with pytest.raises(ModelMissingError, match=r"tiny-2.*[0-9a-f]{64}"):
        unpacked(small, [])


def test_model_with_one_other_bit_is_another_model(small, tmp_path, model_files):
    other = tmp_path / "other.safetensors"
    other.write_bytes(tiny_model_bytes(2, calm=True))
    with pytest.raises(ModelMissingError):
        unpacked(small, [other, model_files[1]])


def test_directory_that_holds_something_is_refused_unless_overwrite(small, tmp_path, model_files):
    (tmp_path / "a.acn").write_bytes(small)
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_bytes(b"precious")
    with pytest.raises(OutputError):
        decompress(tmp_path / "a.acn", out, model_files, CPU, progress=no_progress)
    assert snapshot(out) == {b"mine": b"precious"}
    count = decompress(tmp_path / "a.acn", out, model_files, CPU, overwrite=True, progress=no_progress)
    assert (out / "mine").read_bytes() == b"precious"
    assert len(snapshot(out)) == count + 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.acn", "out"]


def test_a_seed_too_short_is_made_longer(tmp_path, models, model_files, monkeypatch):
    make_pngs(tmp_path / "in", 4, 1, 1)
    expected, _ = round_trip(tmp_path / "in", models, model_files)
    seeds = []

    class Short(Stack):
        @classmethod
        def seeded(cls, words):
            seeds.append(words)
            return Stack.seeded(words if len(seeds) > 2 else 0)

    monkeypatch.setattr(compressing, "Stack", Short)
    compress(tmp_path / "in", tmp_path / "again.acn", models, progress=no_progress)
    assert len(seeds) == 3
    assert (tmp_path / "again.acn").read_bytes() == expected


# Damage behind checksums that are right: what is decoded must show it.


@pytest.mark.parametrize("group", [0, 1])
def test_wrong_pixel_digest_writes_nothing(group, small, tmp_path, model_files):
    header = parse_archive(small).header
    digest = bytearray(header.groups[group].digest)
    digest[5] ^= 1
    groups = list(header.groups)
    groups[group] = dataclasses.replace(groups[group], digest=bytes(digest))
    refuse(rebuilt(small, dataclasses.replace(header, groups=groups)), tmp_path, model_files, DamagedError)


def test_wrong_coded_bits_are_always_told(small, tmp_path, model_files):
    bits = read_container(small).sections["BITS"]
    random = np.random.default_rng(0)
    for position in random.choice(len(bits), min(40, len(bits)), replace=False):
        damaged = bytearray(bits)
        damaged[position] ^= int(random.integers(1, 256))
        refuse(rebuilt(small, BITS=bytes(damaged)), tmp_path, model_files)
    lengths = [bits[:-4], bits[4:], bits[:-1], b"", b"\0" * 8, b"\1\0\0\0", bits + b"\1\0\0\0", bits + b"\0" * 4, bits * 2]
    for damaged in [*lengths, *(random.bytes(n) for n in (4, 8, 40, 400))]:
        refuse(rebuilt(small, BITS=damaged), tmp_path, model_files)


def header_changes(header):
    """Headers that say something else of how the archive was coded, and agree with themselves."""
    other_seeds = {0, 1, header.seed_words - 1, header.seed_words + 1, 2 * header.seed_words + 5, 5000} - {
        header.seed_words
    }
    changes = [{"order": 1 - header.order}, {"prior": 1 - header.prior}, {"names": head.NAMES_DROP}]
    changes += [{"seed_words": seed} for seed in sorted(other_seeds)]
    changes += [{"exactness": bytes(4)}, {"models": header.models[::-1]}]
    changes += [{"stored": header.stored - 1}, {"stored": header.stored + 1}]
    changes += [{"groups": header.groups[::-1]}, {"groups": header.groups[:1]}]
    for number, group in enumerate(header.groups):
        others = [{"height": group.width + 2}, {"width": group.width + 1}, {"count": group.count + 1}]
        others += [{"height": group.width + 1, "width": group.height}, {"mode": 1 - group.mode}, {"model": 1 - group.model}]
        others += [{"lanes": lanes} for lanes in range(2, group.count) if group.lanes == 1]
        for other in others:
            groups = list(header.groups)
            groups[number] = dataclasses.replace(group, **other)
            changes.append({"groups": groups})
    for change in changes:
        changed = dataclasses.replace(header, **change)
        count = changed.stored + sum(group.count for group in changed.groups)
        yield dataclasses.replace(changed, files=count if changed.names == head.NAMES_KEEP else 0)


def test_wrong_headers_are_always_told(small, tmp_path, model_files):
    header = parse_archive(small).header
    changed = list(header_changes(header))
    assert len(changed) > 25
    for wrong in changed:
        refuse(rebuilt(small, wrong), tmp_path, model_files)


@pytest.mark.parametrize("tag", ["NAME", "ORDR", "FILE", "LEDG"])
def test_wrong_sections_raise_nothing_unexpected(tag, small, model_files, monkeypatch):
    """Only the pixels have a digest; what else is wrong behind a right checksum must still not crash the reader."""
    groups = decompressing._decode_groups(parse_archive(small), model_files, CPU, no_progress)
    monkeypatch.setattr(decompressing, "_decode_groups", lambda *_: groups)  # they have nothing to do with these sections
    payload = read_container(small).sections[tag]
    for position in range(len(payload)):
        for mask in (0x01, 0x80, 0xFF):
            damaged = bytearray(payload)
            damaged[position] ^= mask
            try:
                found = unpacked(rebuilt(small, **{tag: bytes(damaged)}), model_files)
            except (DamagedError, UnsupportedError):
                continue
            assert len(found) == 9


def test_sections_that_do_not_fit_the_header(small, tmp_path, model_files):
    payloads = read_container(small).sections
    for missing in ("HEAD", "BITS", "LEDG", "NAME", "ORDR", "FILE"):
        rest = [(tag, payload) for tag, payload in payloads.items() if tag != missing]
        refuse(b"".join(write_container(rest)), tmp_path, model_files)
    refuse(b"".join(write_container([*payloads.items(), ("XTRA", b"?")])), tmp_path, model_files, UnsupportedError)
    refuse(b"", tmp_path, model_files, DamagedError)


def test_a_bad_name_writes_nothing(small, tmp_path, model_files, monkeypatch):
    for bad in (b"../up", b"/root", b"a//b", b"a/./b", b"nul\0"):
        monkeypatch.setattr(decompressing, "unpack_names", lambda *_, bad=bad: [bad, *(b"%d" % i for i in range(8))])
        refuse(small, tmp_path, model_files, DamagedError)


def described(root):
    """Name -> mode, format, width, height and sha256 of the pixels, or size and sha256 of a stored file."""
    found = {}
    for name, content in snapshot(root).items():
        if isinstance(content, tuple):
            mode, form, size, pixels = content
            found[name.decode()] = [mode, form, *size, hashlib.sha256(pixels).hexdigest()]
        else:
            found[name.decode()] = [len(content), hashlib.sha256(content).hexdigest()]
    return found


def test_golden_archive_decodes_for_good(tmp_path):
    """Made once by golden/make.py: what this fails to read, no user's archive could be read by either."""
    decompress(GOLDEN / "v1.acn", tmp_path / "out", sorted(GOLDEN.glob("*.safetensors")), CPU, progress=no_progress)
    assert described(tmp_path / "out") == json.loads((GOLDEN / "v1.json").read_text())
    check_ledger((GOLDEN / "v1.acn").read_bytes())


def test_golden_archive_is_made_again(tmp_path):
    """Fails also when only the planner changed; then archives differ from version to version, but stay readable."""
    stored = sorted(GOLDEN.glob("*.safetensors"))
    for name, data in files(open_archive(GOLDEN / "v1.acn"), stored, CPU, no_progress):
        path = tmp_path / "in" / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    models = {model.arch.levels: model for model in (parse_model(path.read_bytes()) for path in stored)}
    compress(tmp_path / "in", tmp_path / "again.acn", models, way=Way.TOUR, progress=no_progress)
    assert (tmp_path / "again.acn").read_bytes() == (GOLDEN / "v1.acn").read_bytes()
