"""The command line as a person meets it: reports, errors in one sentence, exit codes, the README's own commands."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import make_pngs, save_image, snapshot, tiny_model_bytes

from acncodec import __version__, bundled

ROOT = Path(__file__).parent.parent
PROGRAM = [sys.executable, "-P", "-c", "from acncodec.cli.main import main; main()"]


def acncodec(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **options.pop("env", {})}  # type: ignore[dict-item]
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, **options)  # type: ignore


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that make the tiny models known."""
    folder = tmp_path_factory.mktemp("models")
    options = []
    for levels in (2, 256):
        path = folder / f"tiny-{levels}.safetensors"
        path.write_bytes(tiny_model_bytes(levels, calm=True))
        options += ["--model", str(path)]
    return options


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    make_pngs(folder, 6, 5, 4, "1")
    make_pngs(folder, 5, 3, 6, "L")
    (folder / "note.txt").write_text("not an image\n" * 20)
    return folder


@pytest.fixture(scope="module")
def archive(source: Path, models: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "a.acn"
    done = acncodec("compress", source, path, *models)
    assert done.returncode == 0, done.stderr
    return path


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The error, which must be one line without a traceback."""
    lines = [line for line in done.stderr.splitlines() if line]
    assert "Traceback" not in done.stderr
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_round_trip(source: Path, archive: Path, models: list[str], tmp_path: Path) -> None:
    tested = acncodec("test", archive, *models, "--json")
    assert tested.returncode == 0, tested.stderr
    assert json.loads(tested.stdout) == {"files": 12, "ok": True}
    restored = tmp_path / "restored"
    done = acncodec("decompress", archive, restored, *models, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"files": 12, "directory": str(restored)}
    assert snapshot(restored) == snapshot(source)


def test_info_accounts_for_every_bit(archive: Path, models: list[str]) -> None:
    done = acncodec("info", "--json", archive, *models)
    assert done.returncode == 0
    info = json.loads(done.stdout)
    assert info["images"] == 11
    assert info["dims"] == 6 * 20 + 5 * 18
    assert info["file_bits"] == 8 * archive.stat().st_size == sum(line["bits"] for line in info["ledger"])
    assert info["bits_per_image"] == pytest.approx(info["file_bits"] / 11)
    assert info["bits_per_dim"] == pytest.approx(info["file_bits"] / 210)
    assert info["names"] == "keep"
    assert info["stored"] == 1
    assert info["model"]["name"] == "tiny-2"
    assert info["model"]["bytes"] == len(tiny_model_bytes(2, calm=True))
    assert len(info["model"]["sha256"]) == 64
    report = acncodec("info", archive, *models).stdout
    for part in ("residual", "latent", "names", "order", "stored files", "checksums", "header", "sum"):
        assert part in report


def test_names_drop_strict_and_overwrite(source: Path, models: list[str], tmp_path: Path) -> None:
    target = tmp_path / "a.acn"
    done = acncodec("compress", source, target, "--names", "drop", "--strict", *models)
    assert done.returncode == 3
    before = target.read_bytes()
    refused = acncodec("compress", source, target, *models)
    assert refused.returncode == 2
    assert "-f" in sentence(refused)
    assert target.read_bytes() == before
    assert acncodec("compress", source, target, "-f", *models).returncode == 0
    assert target.read_bytes() != before


def test_errors_are_one_sentence_with_their_exit_code(archive: Path, models: list[str], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.acn"
    damaged.write_bytes(archive.read_bytes()[:-20] + bytes(20))
    truncated = tmp_path / "truncated.acn"
    truncated.write_bytes(archive.read_bytes()[:100])
    future = tmp_path / "future.acn"
    data = bytearray(archive.read_bytes())
    data[8] += 1
    future.write_bytes(data)
    cases = [
        (2, ["info", tmp_path / "nothing"], "nothing"),
        (2, ["compress", tmp_path / "nothing", tmp_path / "x"], "nothing"),
        (2, ["compress", tmp_path, tmp_path / "x", "--model", "unknown"], "mnist-1bit"),
        (2, ["train", tmp_path, "-o", tmp_path / "m.pt"], ".safetensors"),
        (4, ["test", damaged, *models], "damaged"),
        (4, ["decompress", truncated, tmp_path / "y", *models], ""),
        (4, ["info", ROOT / "README.md"], "archive"),
        (5, ["info", future], "version"),
        (5, ["test", archive], "--model"),
        (5, ["test", archive, "--model", _text_file(tmp_path)], ""),
    ]
    for code, arguments, word in cases:
        done = acncodec(*arguments)
        assert done.returncode == code, (arguments, done.stderr)
        assert word in sentence(done), (arguments, done.stderr)
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / "y").exists()


def _text_file(folder: Path) -> Path:
    path = folder / "text.safetensors"
    path.write_text("no model")
    return path


def test_usage_errors_exit_with_2(tmp_path: Path) -> None:
    for arguments in (["nonsense"], ["compress"], ["compress", tmp_path, tmp_path / "x", "--names", "maybe"]):
        done = acncodec(*arguments)
        assert done.returncode == 2
        assert "Error" in done.stderr
        assert "Traceback" not in done.stderr


def test_links_and_special_files_are_reported(models: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "link").symlink_to("/etc/hostname")
    done = acncodec("compress", folder, tmp_path / "a.acn", *models)
    assert done.returncode == 0
    assert "not stored: link (symbolic link)" in done.stderr


def test_help_and_version() -> None:
    assert acncodec("--version").stdout.strip().endswith(__version__)
    main = acncodec("-h").stdout
    for name in ("compress", "decompress", "info", "test", "train", "selftest"):
        assert name in main
        assert "--json" in acncodec(name, "--help").stdout


def test_selftest() -> None:
    done = acncodec("selftest", "--json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["ok"]
    assert len(result["checks"]) >= 6


def test_interrupt_leaves_nothing(models: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    for number in range(3):
        save_image(folder / f"{number}.png", np.zeros((600, 600), np.uint8), "L")
    target = tmp_path / "a.acn"
    process = subprocess.Popen([*PROGRAM, "compress", folder, target, *models], stderr=subprocess.PIPE, text=True)
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=120)
    if process.returncode == 0:
        pytest.skip("it was done before the signal came")
    assert process.returncode == 130
    assert "interrupted" in words
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d"]


def readme_commands() -> list[list[str]]:
    """The acncodec commands of the README's shell blocks, without the installation before them."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    lines = [part for block in blocks for line in block.splitlines() for part in line.split("&&")]
    return [shlex.split(line)[1:] for line in lines if line.strip().startswith(".venv/bin/acncodec ")]


def test_readme_commands(tmp_path: Path) -> None:
    commands = readme_commands()
    assert [command[0] for command in commands] == ["compress", "test", "decompress", "info"]
    sample = tmp_path / "acncodec" / "bundled" / "sample"
    shutil.copytree(bundled.SAMPLE, sample)
    for command in commands:
        done = acncodec(*command, cwd=tmp_path)
        assert done.returncode == 0, (command, done.stderr)
    assert snapshot(tmp_path / "digits") == snapshot(sample)
    assert json.loads(done.stdout)["images"] == 400


def test_bundled_models_have_cards() -> None:
    files = sorted(bundled.FOLDER.glob("*.safetensors"))
    assert {path.stem for path in files} >= set(bundled.DEFAULTS.values())
    for path in files:
        assert path.stat().st_size < 2_000_000
        card = path.with_suffix(".md").read_text()
        assert bundled.load(path).sha256.hex() in card
