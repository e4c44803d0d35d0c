"""The command line as a person meets it: reports, errors in one sentence, exit codes."""

import json
import os
import re
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest
from commands import acncodec, good, sentence
from conftest import costs_nothing, folders, make_pngs, random_pixels, save_image, snapshot

from acncodec import bundled
from acncodec.errors import InputError
from acncodec.images import source as source_module
from acncodec.packing import model_choice
from acncodec.reading import reader
from acncodec.reading.reader import Archive

BLOCK = 4  # images of a block in most archives here
BILEVEL = [*(f"1-5x4/{i}.png" for i in range(6)), "1-5x4/5 again.png"]  # as `fill` makes them
GREY = [f"L-3x6/{i}.png" for i in range(5)]
NAMES = sorted([*BILEVEL, *GREY, "note.txt"])  # the first of each content: 0 to 3; 4, 5, 0, 1; 2 to 4
LOST = {b"1-5x4/4.png", b"1-5x4/5.png", b"1-5x4/5 again.png", b"L-3x6/0.png", b"L-3x6/1.png"}  # with the second block


def fill(root: Path) -> Path:
    """Six 1-bit and five grey images, a copy of one, a text file and an empty directory."""
    make_pngs(root, 6, 5, 4, "1")
    make_pngs(root, 5, 3, 6, "L")
    shutil.copy(root / "1-5x4" / "5.png", root / "1-5x4" / "5 again.png")
    (root / "note.txt").write_text("not an image\n" * 20)
    (root / "empty").mkdir()
    return root


@pytest.fixture(scope="module")
def options(model_files: list[Path]) -> list[str]:
    """Options that make the tiny models known."""
    return [part for path in model_files for part in ("--model", str(path))]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def archive(source: Path, options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of `source`, in three blocks; the network codes every image."""
    path = tmp_path_factory.mktemp("archive") / "a.acn"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_choice, "plane_bits", costs_nothing)
        good("compress", source, path, "--block-size", BLOCK, *options)
    return path


def damage(archive: Path, target: Path, block: int) -> Path:
    """A copy of an archive with a wrong byte in the middle of a block."""
    with Archive(archive) as opened:
        index = [i for i, tag in enumerate(opened.container.tags) if tag == "BLCK"][block]
        payload = opened.container.read(index)
    data = bytearray(archive.read_bytes())
    data[data.index(payload) + len(payload) // 2] ^= 1
    target.write_bytes(data)
    return target


# Every command where all is well


def test_round_trip(source: Path, archive: Path, options: list[str], tmp_path: Path) -> None:
    tested = good("test", archive, *options, "--json")
    assert json.loads(tested.out) == {"files": 13, "ok": True, "lost": 0}
    assert "is whole: 13 files" in sentence(tested)
    restored = tmp_path / "restored"
    done = good("decompress", archive, restored, *options, "--json")
    assert json.loads(done.out) == {"files": 13, "directory": str(restored), "lost": 0}
    assert snapshot(restored) == snapshot(source)
    assert folders(restored) == folders(source)


@pytest.mark.usefixtures("free_networks")
def test_compress_reports_what_info_does(source: Path, options: list[str], tmp_path: Path) -> None:
    target = tmp_path / "a.acn"
    done = good("compress", source, target, "--json", *options)
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    told, names = done.err.splitlines()
    assert told == f"acncodec: 13 files of {size:,} bytes -> {target.stat().st_size:,} bytes in '{target}'"
    assert names.startswith("acncodec: names and their order are kept; --names folders about ")
    assert json.loads(done.out) == json.loads(good("info", "--json", target, *options).out)
    assert good("compress", source, target, "-f", *options).out == good("info", target, *options).out


def test_info_accounts_for_every_bit(archive: Path, options: list[str], model_files: list[Path]) -> None:
    info = json.loads(good("info", "--json", archive, *options).out)
    assert (info["version"], info["files"], info["images"], info["stored"]) == (2, 13, 11, 1)
    assert (info["duplicates"], info["empty"], info["blocks"]) == (1, 1, [4, 4, 3])
    assert info["dims"] == 6 * 20 + 5 * 18
    assert info["file_bits"] == 8 * archive.stat().st_size == sum(line["bits"] for line in info["ledger"])
    assert info["bits_per_image"] == pytest.approx(info["file_bits"] / 11)
    assert info["bits_per_dim"] == pytest.approx(info["file_bits"] / 210)
    assert (info["promise"], info["names"]) == ("pixels", "keep")
    sizes = {model["name"]: model["bytes"] for model in info["models"]}
    files = {path.stem: path.stat().st_size for path in model_files}
    assert sizes == {"tiny-2": files["2x1"], "tiny-256": files["256x1"]}
    assert {model["name"]: model["elements"] for model in info["models"]} == {"tiny-2": 6, "tiny-256": 5}
    assert {(kind["method"], kind["mode"], kind["count"]) for kind in info["kinds"]} == {
        ("coded", "bilevel", 6),
        ("coded", "grey", 5),
        ("file", "", 1),
    }
    report = good("info", archive, *options).out
    for part in ("residual", "latent", "names", "order", "stored files", "checksums", "header", "sum", "3 blocks"):
        assert part in report
    assert "13 (1 of them duplicates, empty directories: 1)" in report


def test_info_needs_no_model(archive: Path) -> None:
    info = json.loads(good("info", "--json", archive).out)
    assert [model["bytes"] for model in info["models"]] == [None, None]
    assert "not found on this machine" in good("info", archive).out


def test_list(archive: Path) -> None:
    assert good("list", archive).out.splitlines() == NAMES
    rows = {line[36:]: line[:36].split() for line in good("list", "-l", archive).out.splitlines()}
    assert rows["1-5x4/0.png"] == ["coded", "bilevel", "4x5"]
    assert rows["L-3x6/4.png"] == ["coded", "grey", "6x3"]
    assert rows["note.txt"] == ["file"]
    found = [json.loads(line) for line in good("list", "--json", archive).out.splitlines()]
    assert [row["name"] for row in found] == NAMES
    contents = {row["name"]: row.pop("content") for row in found}
    assert {row.pop("part") for row in found} == {0}
    assert contents["1-5x4/5.png"] == contents["1-5x4/5 again.png"]
    assert len(set(contents.values())) == 12
    assert {"name": "L-3x6/0.png", "method": "coded", "mode": "grey", "width": 6, "height": 3} in found


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["1-5x4/3.png"], ["1-5x4/3.png"]),
        (["L-3x6"], GREY),
        (["L-3x6/", "note.txt"], [*GREY, "note.txt"]),
        (["*[02].png"], ["1-5x4/0.png", "1-5x4/2.png", "L-3x6/0.png", "L-3x6/2.png"]),
        (["?-5x4/*", "1-5x4/0.png"], BILEVEL),
    ],
)
def test_extract(
    patterns: list[str], names: list[str], source: Path, archive: Path, options: list[str], tmp_path: Path
) -> None:
    target = tmp_path / "some"
    done = good("extract", archive, target, *patterns, *options, "--json")
    assert json.loads(done.out) == {"files": len(names), "directory": str(target), "lost": 0}
    assert snapshot(target) == {os.fsencode(n): what for n, what in snapshot(source).items() if os.fsdecode(n) in names}
    assert folders(target) == {os.fsencode(n).rpartition(b"/")[0] for n in names} - {b""}


def test_extract_what_is_not_there(archive: Path, options: list[str], tmp_path: Path) -> None:
    done = acncodec("extract", archive, tmp_path / "some", "note.txt", "*.jpg", *options)
    assert done.code == 2
    assert "'*.jpg'" in sentence(done)
    assert "acncodec list" in sentence(done)
    assert not (tmp_path / "some").exists()


@pytest.mark.slow
def test_selftest() -> None:
    done = good("selftest", "--json", "--device", "cpu")
    result = json.loads(done.out)
    assert result["ok"]
    assert len(result["checks"]) >= 6
    assert all(check["check"] in done.err for check in result["checks"])


def test_train(tmp_path: Path) -> None:
    make_pngs(tmp_path / "images", 60, 4, 4, "1")
    model = tmp_path / "own.safetensors"
    done = good("train", tmp_path / "images", "-o", model, "--minutes", "0.001", "--json")
    result = json.loads(done.out)
    assert result["bytes"] == model.stat().st_size
    assert result["sha256"] == bundled.load(model).sha256.hex()
    assert result["residual_nats"] > 0
    again = acncodec("train", tmp_path / "images", "-o", model)
    assert again.code == 2
    assert "-f" in sentence(again)


# What the options of compress do


@pytest.mark.usefixtures("free_networks")
@pytest.mark.parametrize("names", ["folders", "drop"])
def test_names(names: str, source: Path, options: list[str], tmp_path: Path) -> None:
    target, restored = tmp_path / "a.acn", tmp_path / "restored"
    good("compress", source, target, "--names", names, *options)
    good("decompress", target, restored, *options)
    listed = set(good("list", target).out.splitlines())
    assert {os.fsencode(name) for name in listed} == set(snapshot(restored))
    before, after = snapshot(source), snapshot(restored)
    assert after.pop(b"note.txt") == before.pop(b"note.txt")
    kept = 1 if names == "folders" else 0  # components of a path
    assert Counter((tuple(name.split(b"/")[:kept]), what) for name, what in after.items()) == Counter(
        (tuple(name.split(b"/")[:kept]), what) for name, what in before.items()
    )
    assert folders(restored) == (folders(source) if names == "folders" else set())
    numbers = {"1-5x4/0.png", "1-5x4/6.png", "L-3x6/4.png"} if names == "folders" else {"00.png", "11.png"}
    assert numbers < listed
    assert json.loads(good("info", target, "--json").out)["names"] == names


@pytest.mark.usefixtures("free_networks")
def test_exact_files(source: Path, options: list[str], tmp_path: Path) -> None:
    root = tmp_path / "d"
    shutil.copytree(source, root)
    for number, pixels in enumerate(random_pixels(5, 3, 4, 4, 256)):
        save_image(root / f"{number}.pgm", pixels, "L")
    good("compress", root, tmp_path / "a.acn", "--exact-files", *options)
    good("decompress", tmp_path / "a.acn", tmp_path / "restored", *options)
    for path in root.rglob("*.*"):
        assert (tmp_path / "restored" / path.relative_to(root)).read_bytes() == path.read_bytes()
    info = json.loads(good("info", "--json", tmp_path / "a.acn").out)
    assert (info["promise"], info["images"]) == ("bytes", 3)


@pytest.mark.usefixtures("free_networks")
def test_strict(source: Path, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert acncodec("compress", source, tmp_path / "a.acn", "--strict", *options).code == 3  # note.txt
    assert (tmp_path / "a.acn").exists()
    images = source / "L-3x6"
    assert acncodec("compress", images, tmp_path / "b.acn", "--strict", *options).code == 0

    def read_file(root: Path, name: bytes) -> bytes:
        if name == b"2.png":
            raise InputError("The file '2.png' cannot be read: Permission denied.")
        return (root / os.fsdecode(name)).read_bytes()

    monkeypatch.setattr(source_module, "read_file", read_file)  # the superuser may read every file
    strict = acncodec("compress", images, tmp_path / "c.acn", "--strict", *options)
    assert strict.code == 3
    assert "acncodec: not stored: 2.png (The file '2.png' cannot be read: Permission denied.)" in strict.err
    assert len(good("list", tmp_path / "c.acn").out.split()) == 4
    assert acncodec("compress", images, tmp_path / "d.acn", *options).code == 0


@pytest.mark.usefixtures("free_networks")
def test_an_existing_file_is_kept_without_force(source: Path, options: list[str], tmp_path: Path) -> None:
    target = tmp_path / "a.acn"
    target.write_text("dear to somebody")
    refused = acncodec("compress", source, target, *options)
    assert refused.code == 2
    assert "-f" in sentence(refused)
    assert target.read_text() == "dear to somebody"
    good("compress", source, target, "-f", *options)
    good("test", target, *options)


@pytest.mark.usefixtures("free_networks")
def test_the_target_within_the_directory_is_left_out(source: Path, options: list[str], tmp_path: Path) -> None:
    root = tmp_path / "d"
    shutil.copytree(source, root)
    target = root / "a.acn"
    good("compress", root, target, *options)
    again = good("compress", root, target, "-f", *options)
    assert "not stored: a.acn (the archive to be written)" in again.err
    assert good("list", target).out.splitlines() == NAMES


@pytest.mark.usefixtures("free_networks")
def test_models_by_name(source: Path, model_files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def models(*choice: str) -> set[str]:
        good("compress", source, tmp_path / "a.acn", "-f", *choice)
        return {m["name"] for m in json.loads(good("info", "--json", tmp_path / "a.acn").out)["models"]}

    assert models("--model", "mnist-1bit") == {"mnist-1bit"}
    bundled_ones = models()
    assert bundled_ones in ({kind, "mnist-8bit"} for kind in ("glyphs", "mnist-1bit"))  # where no network costs anything
    assert models("--model", "auto") == bundled_ones
    monkeypatch.setenv("ACNCODEC_MODELS", str(model_files[0].parent))
    assert models("--model", "256x1") == {"tiny-256"}
    unknown = acncodec("compress", source, tmp_path / "b.acn", "--model", "unknown")
    assert unknown.code == 2
    assert "mnist-1bit" in sentence(unknown)
    assert "256x1" in sentence(unknown)
    assert not (tmp_path / "b.acn").exists()


def test_links_are_reported(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "link").symlink_to("/etc/hostname")
    done = good("compress", tmp_path / "d", tmp_path / "a.acn", *options)
    assert "acncodec: not stored: link (symbolic link)" in done.err


# What goes wrong


def test_keep_going(source: Path, archive: Path, options: list[str], tmp_path: Path) -> None:
    damaged = damage(archive, tmp_path / "damaged.acn", 1)
    original = snapshot(source)
    for command in ("decompress", "test", "extract"):
        target = [] if command == "test" else [tmp_path / command]
        patterns = ["*"] if command == "extract" else []
        stopped = acncodec(command, damaged, *target, *patterns, *options)
        assert stopped.code == 4
        assert "damaged" in sentence(stopped)
        assert not (tmp_path / command).exists()
        done = acncodec(command, damaged, *target, *patterns, "--keep-going", "--json", *options)
        assert done.code == 4
        result = json.loads(done.out)
        assert (result["files"], result["lost"]) == (13 - len(LOST), len(LOST))
        named = re.findall(r"^acncodec: lost: (.*?) \(.*damaged.*\)$", done.err, re.M)
        assert sorted(map(os.fsencode, named)) == sorted(LOST)
        if target:
            assert snapshot(target[0]) == {name: what for name, what in original.items() if name not in LOST}
        else:
            assert result["ok"] is False
    whole = tmp_path / "whole"
    good("extract", damaged, whole, "note.txt", *options)
    assert set(snapshot(whole)) == {b"note.txt"}


def test_keep_going_past_a_missing_end(source: Path, archive: Path, options: list[str], tmp_path: Path) -> None:
    truncated = tmp_path / "truncated.acn"
    truncated.write_bytes(archive.read_bytes()[:-10])  # within the stored files
    assert acncodec("decompress", truncated, tmp_path / "a", *options).code == 4
    done = acncodec("decompress", truncated, tmp_path / "a", "--keep-going", *options)
    assert done.code == 4
    assert "lost: note.txt" in done.err
    assert set(snapshot(source)) - set(snapshot(tmp_path / "a")) == {b"note.txt"}


def test_errors_are_one_sentence_with_their_exit_code(
    archive: Path, options: list[str], model_files: list[Path], tmp_path: Path
) -> None:
    data = archive.read_bytes()
    files = {"truncated": data[:100], "text": b"no archive", "void": b"", "future": data[:8] + b"\xfe" + data[9:]}
    paths = {name: tmp_path / f"{name}.acn" for name in files}
    for name, content in files.items():
        paths[name].write_bytes(content)
    no_model = tmp_path / "text.safetensors"
    no_model.write_text("no model")
    out, absent = tmp_path / "out", tmp_path / "absent"
    folder = tmp_path / "folder"
    make_pngs(folder, 1, 2, 2)
    cases = [
        (2, ["compress", absent, out], "absent"),
        (2, ["compress", archive, out], "not a directory"),
        (2, ["compress", folder, tmp_path], str(tmp_path)),
        (2, ["compress", folder, out, "--model", absent.with_suffix(".safetensors")], "absent.safetensors"),
        (5, ["compress", folder, out, "--model", no_model], "not an acncodec model"),
        (2, ["train", folder, "-o", tmp_path / "m.pt"], ".safetensors"),
        (2, ["train", folder, "-o", tmp_path / "m.safetensors"], "50 images"),
        (2, ["decompress", archive, folder, *options], "-f"),
        (2, ["extract", archive, folder, "note.txt", *options], "-f"),
        (2, ["test", archive, "--model", absent], "absent"),
        (5, ["test", archive], "--model"),
        (5, ["decompress", archive, out, "--model", no_model], "tiny-2"),
    ]
    readers: list[tuple[str, list[object]]]
    readers = [("info", []), ("list", []), ("test", []), ("decompress", [out]), ("extract", [out, "*"])]
    for name, rest in readers:
        cases += [
            (2, [name, absent, *rest], "absent"),
            (2, [name, folder, *rest], "folder"),
            (4, [name, paths["text"], *rest], "not an acncodec archive"),
            (4, [name, paths["void"], *rest], "not an acncodec archive"),
            (4, [name, paths["truncated"], *rest], "archive"),
            (5, [name, paths["future"], *rest], "version 254"),
        ]
    for code, arguments, word in cases:
        done = acncodec(*arguments)
        assert done.code == code, (arguments, done.err)
        assert word in sentence(done), (arguments, done.err)
    assert not out.exists()


def test_wrong_usage_exits_with_2(tmp_path: Path) -> None:
    target = tmp_path / "x"
    compress = ["compress", tmp_path, target]
    for arguments in (
        ["nonsense"],
        ["compress"],
        [*compress, "--names", "maybe"],
        [*compress, "--block-size", "0"],
        ["extract", tmp_path, target],
        ["train", tmp_path, "-o", target, "--minutes", "0"],
    ):
        done = acncodec(*arguments)
        assert done.code == 2
        assert "Usage: " in done.err
        assert re.search(r"^Error: [A-Z].*\.", done.err, re.M)


def interrupted(*_: object, **__: object) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it
    os.kill(os.getpid(), signal.SIGINT)
    signal.sigtimedwait([], 1)  # the signal comes before this ends


def test_interrupt_leaves_nothing(
    source: Path, archive: Path, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_choice, "plane_bits", interrupted)
    monkeypatch.setattr(reader, "decode_block", interrupted)
    monkeypatch.setattr(reader, "SMALL_BLOCK", 0)  # decode in this thread, which alone may set handlers
    for arguments in (["compress", source, tmp_path / "a"], ["decompress", archive, tmp_path / "b"]):
        done = acncodec(*arguments, *options)
        assert done.code == 130
        assert "interrupted" in sentence(done)
    assert list(tmp_path.iterdir()) == []
