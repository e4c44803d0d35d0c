"""Commands where all is well: what they write and report, and what the options of compress do."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from commands import acncodec, good, sentence
from conftest import folders, make_pngs, random_pixels, save_image, snapshot

from acncodec import bundled
from acncodec.errors import InputError
from acncodec.images import source as source_module

BILEVEL = [*(f"1-5x4/{i}.png" for i in range(6)), "1-5x4/5 again.png"]  # the files of `cli_source`
GREY = [f"L-3x6/{i}.png" for i in range(5)]
NAMES = sorted([*BILEVEL, *GREY, "note.txt"])


# Commands


def without_times(out: str) -> dict[str, object]:
    """What a command's --json says beside seconds."""
    return {key: value for key, value in json.loads(out).items() if not key.endswith("seconds")}


def test_round_trip(cli_source: Path, cli_archive: Path, model_options: list[str], tmp_path: Path) -> None:
    tested = good("test", cli_archive, *model_options, "--json")
    assert without_times(tested.out) == {"files": 13, "ok": True, "lost": 0}
    assert "is whole: 13 files" in sentence(tested)
    restored = tmp_path / "restored"
    done = good("decompress", cli_archive, restored, *model_options, "--json")
    assert without_times(done.out) == {"files": 13, "directory": str(restored), "lost": 0}
    assert snapshot(restored) == snapshot(cli_source)
    assert folders(restored) == folders(cli_source)


@pytest.mark.usefixtures("free_networks")
def test_compress_reports_what_info_does(cli_source: Path, model_options: list[str], tmp_path: Path) -> None:
    target = tmp_path / "a.acn"
    done = good("compress", cli_source, target, "--json", *model_options)
    size = sum(path.stat().st_size for path in cli_source.rglob("*") if path.is_file())
    told, names = done.err.splitlines()
    assert told == f"acncodec: 13 files of {size:,} bytes -> {target.stat().st_size:,} bytes in '{target}'"
    assert names.startswith("acncodec: this keeps names and their order; with --names folders about ")
    info = json.loads(good("info", "--json", target, *model_options).out)
    assert {key: value for key, value in json.loads(done.out).items() if key in info} == info
    assert good("compress", cli_source, target, "-f", *model_options).out == good("info", target, *model_options).out


def test_info_accounts_for_every_bit(cli_archive: Path, model_options: list[str], model_files: list[Path]) -> None:
    info = json.loads(good("info", "--json", cli_archive, *model_options).out)
    assert (info["version"], info["files"], info["images"], info["stored"]) == (2, 13, 11, 1)
    assert (info["duplicates"], info["empty"], info["blocks"]) == (1, 1, [4, 4, 3])
    assert info["dims"] == 6 * 20 + 5 * 18
    assert info["file_bits"] == 8 * cli_archive.stat().st_size == sum(line["bits"] for line in info["ledger"])
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
    report = good("info", cli_archive, *model_options).out
    for part in ("residual", "latent", "names", "order", "stored files", "checksums", "header", "sum", "3 blocks"):
        assert part in report
    assert "13 (1 of them duplicates, empty directories: 1)" in report


def test_info_needs_no_model(cli_archive: Path) -> None:
    info = json.loads(good("info", "--json", cli_archive).out)
    assert [model["bytes"] for model in info["models"]] == [None, None]
    assert "not found on this machine" in good("info", cli_archive).out


def test_list(cli_archive: Path) -> None:
    assert good("list", cli_archive).out.splitlines() == NAMES
    rows = {line[36:]: line[:36].split() for line in good("list", "-l", cli_archive).out.splitlines()}
    assert rows["1-5x4/0.png"] == ["coded", "bilevel", "4x5"]
    assert rows["L-3x6/4.png"] == ["coded", "grey", "6x3"]
    assert rows["note.txt"] == ["file"]
    found = [json.loads(line) for line in good("list", "--json", cli_archive).out.splitlines()]
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
    patterns: list[str], names: list[str], cli_source: Path, cli_archive: Path, model_options: list[str], tmp_path: Path
) -> None:
    target = tmp_path / "some"
    done = good("extract", cli_archive, target, *patterns, *model_options, "--json")
    assert without_times(done.out) == {"files": len(names), "directory": str(target), "lost": 0}
    assert snapshot(target) == {os.fsencode(n): what for n, what in snapshot(cli_source).items() if os.fsdecode(n) in names}
    assert folders(target) == {os.fsencode(n).rpartition(b"/")[0] for n in names} - {b""}


def test_extracting_a_missing_file_is_an_error(cli_archive: Path, model_options: list[str], tmp_path: Path) -> None:
    done = acncodec("extract", cli_archive, tmp_path / "some", "note.txt", "*.jpg", *model_options)
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
def test_names(names: str, cli_source: Path, model_options: list[str], tmp_path: Path) -> None:
    target, restored = tmp_path / "a.acn", tmp_path / "restored"
    good("compress", cli_source, target, "--names", names, *model_options)
    good("decompress", target, restored, *model_options)
    listed = set(good("list", target).out.splitlines())
    assert {os.fsencode(name) for name in listed} == set(snapshot(restored))
    before, after = snapshot(cli_source), snapshot(restored)
    assert after.pop(b"note.txt") == before.pop(b"note.txt")
    kept = 1 if names == "folders" else 0  # components of a path
    assert Counter((tuple(name.split(b"/")[:kept]), what) for name, what in after.items()) == Counter(
        (tuple(name.split(b"/")[:kept]), what) for name, what in before.items()
    )
    assert folders(restored) == (folders(cli_source) if names == "folders" else set())
    numbers = {"1-5x4/0.png", "1-5x4/6.png", "L-3x6/4.png"} if names == "folders" else {"00.png", "11.png"}
    assert numbers < listed
    assert json.loads(good("info", target, "--json").out)["names"] == names


@pytest.mark.usefixtures("free_networks")
def test_exact_files(cli_source: Path, model_options: list[str], tmp_path: Path) -> None:
    root = tmp_path / "d"
    shutil.copytree(cli_source, root)
    for number, pixels in enumerate(random_pixels(5, 3, 4, 4, 256)):
        save_image(root / f"{number}.pgm", pixels, "L")
    good("compress", root, tmp_path / "a.acn", "--exact-files", *model_options)
    good("decompress", tmp_path / "a.acn", tmp_path / "restored", *model_options)
    for path in root.rglob("*.*"):
        assert (tmp_path / "restored" / path.relative_to(root)).read_bytes() == path.read_bytes()
    info = json.loads(good("info", "--json", tmp_path / "a.acn").out)
    assert (info["promise"], info["images"]) == ("bytes", 3)


@pytest.mark.usefixtures("free_networks")
def test_strict(cli_source: Path, model_options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert acncodec("compress", cli_source, tmp_path / "a.acn", "--strict", *model_options).code == 3  # note.txt
    assert (tmp_path / "a.acn").exists()
    images = cli_source / "L-3x6"
    assert acncodec("compress", images, tmp_path / "b.acn", "--strict", *model_options).code == 0

    def read_file(root: Path, name: bytes) -> bytes:
        if name == b"2.png":
            raise InputError("The file '2.png' cannot be read: Permission denied.")
        return (root / os.fsdecode(name)).read_bytes()

    monkeypatch.setattr(source_module, "read_file", read_file)  # the superuser may read every file
    strict = acncodec("compress", images, tmp_path / "c.acn", "--strict", *model_options)
    assert strict.code == 3
    assert "acncodec: not stored: 2.png (The file '2.png' cannot be read: Permission denied.)" in strict.err
    assert len(good("list", tmp_path / "c.acn").out.split()) == 4
    assert acncodec("compress", images, tmp_path / "d.acn", *model_options).code == 0


@pytest.mark.usefixtures("free_networks")
def test_an_existing_file_is_kept_without_force(cli_source: Path, model_options: list[str], tmp_path: Path) -> None:
    target = tmp_path / "a.acn"
    target.write_text("dear to somebody")
    refused = acncodec("compress", cli_source, target, *model_options)
    assert refused.code == 2
    assert "-f" in sentence(refused)
    assert target.read_text() == "dear to somebody"
    good("compress", cli_source, target, "-f", *model_options)
    good("test", target, *model_options)


@pytest.mark.usefixtures("free_networks")
def test_the_target_within_the_directory_is_left_out(cli_source: Path, model_options: list[str], tmp_path: Path) -> None:
    root = tmp_path / "d"
    shutil.copytree(cli_source, root)
    target = root / "a.acn"
    good("compress", root, target, *model_options)
    again = good("compress", root, target, "-f", *model_options)
    assert "not stored: a.acn (the archive to be written)" in again.err
    assert good("list", target).out.splitlines() == NAMES


@pytest.mark.usefixtures("free_networks")
def test_models_by_name(cli_source: Path, model_files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def models(*choice: str) -> set[str]:
        good("compress", cli_source, tmp_path / "a.acn", "-f", *choice)
        return {m["name"] for m in json.loads(good("info", "--json", tmp_path / "a.acn").out)["models"]}

    assert models("--model", "mnist-1bit") == {"mnist-1bit"}
    bundled_ones = models()
    assert bundled_ones in ({kind, "mnist-8bit"} for kind in ("glyphs", "mnist-1bit"))  # where no network costs anything
    assert models("--model", "auto") == bundled_ones
    monkeypatch.setenv("ACNCODEC_MODELS", str(model_files[0].parent))
    assert models("--model", "256x1") == {"tiny-256"}
    unknown = acncodec("compress", cli_source, tmp_path / "b.acn", "--model", "unknown")
    assert unknown.code == 2
    assert "mnist-1bit" in sentence(unknown)
    assert "256x1" in sentence(unknown)
    assert not (tmp_path / "b.acn").exists()


def test_links_are_reported(model_options: list[str], tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "link").symlink_to("/etc/hostname")
    done = good("compress", tmp_path / "d", tmp_path / "a.acn", *model_options)
    assert "acncodec: not stored: link (symbolic link)" in done.err
