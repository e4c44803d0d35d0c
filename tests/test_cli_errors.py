"""Errors of commands: one sentence and an exit code; --keep-going on damaged archives; interruption."""

import json
import os
import re
import signal
from pathlib import Path

import pytest
from commands import acncodec, good, sentence
from conftest import make_pngs, snapshot

from acncodec.block import codec
from acncodec.packing import model_choice
from acncodec.reading import reader
from acncodec.reading.reader import Archive

# Files of the second block of `cli_archive`, which holds 1-bit images 4 and 5 and grey images 0 and 1.
LOST = {b"1-5x4/4.png", b"1-5x4/5.png", b"1-5x4/5 again.png", b"L-3x6/0.png", b"L-3x6/1.png"}


def damage(archive: Path, target: Path, block: int) -> Path:
    """A copy of an archive with a wrong byte in the middle of a block."""
    with Archive(archive) as opened:
        index = [i for i, tag in enumerate(opened.container.tags) if tag == "BLCK"][block]
        payload = opened.container.read(index)
    data = bytearray(archive.read_bytes())
    data[data.index(payload) + len(payload) // 2] ^= 1
    target.write_bytes(data)
    return target


def test_keep_going(cli_source: Path, cli_archive: Path, model_options: list[str], tmp_path: Path) -> None:
    damaged = damage(cli_archive, tmp_path / "damaged.acn", 1)
    original = snapshot(cli_source)
    for command in ("decompress", "test", "extract"):
        target = [] if command == "test" else [tmp_path / command]
        patterns = ["*"] if command == "extract" else []
        stopped = acncodec(command, damaged, *target, *patterns, *model_options)
        assert stopped.code == 4
        assert "damaged" in sentence(stopped)
        assert not (tmp_path / command).exists()
        done = acncodec(command, damaged, *target, *patterns, "--keep-going", "--json", *model_options)
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
    good("extract", damaged, whole, "note.txt", *model_options)
    assert set(snapshot(whole)) == {b"note.txt"}


def test_keep_going_past_a_missing_end(
    cli_source: Path, cli_archive: Path, model_options: list[str], tmp_path: Path
) -> None:
    truncated = tmp_path / "truncated.acn"
    truncated.write_bytes(cli_archive.read_bytes()[:-10])  # within the stored files
    assert acncodec("decompress", truncated, tmp_path / "a", *model_options).code == 4
    done = acncodec("decompress", truncated, tmp_path / "a", "--keep-going", *model_options)
    assert done.code == 4
    assert "lost: note.txt" in done.err
    assert set(snapshot(cli_source)) - set(snapshot(tmp_path / "a")) == {b"note.txt"}


def test_errors_are_one_sentence_with_their_exit_code(
    cli_archive: Path, model_options: list[str], model_files: list[Path], tmp_path: Path
) -> None:
    data = cli_archive.read_bytes()
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
        (2, ["compress", cli_archive, out], "not a directory"),
        (2, ["compress", folder, tmp_path], str(tmp_path)),
        (2, ["compress", folder, out, "--model", absent.with_suffix(".safetensors")], "absent.safetensors"),
        (5, ["compress", folder, out, "--model", no_model], "not an acncodec model"),
        (2, ["train", folder, "-o", tmp_path / "m.pt"], ".safetensors"),
        (2, ["train", folder, "-o", tmp_path / "m.safetensors"], "50 images"),
        (2, ["decompress", cli_archive, folder, *model_options], "-f"),
        (2, ["extract", cli_archive, folder, "note.txt", *model_options], "-f"),
        (2, ["test", cli_archive, "--model", absent], "absent"),
        (5, ["test", cli_archive], "--model"),
        (5, ["decompress", cli_archive, out, "--model", no_model], "tiny-2"),
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
    cli_source: Path, cli_archive: Path, model_options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_choice, "plane_bits", interrupted)
    monkeypatch.setattr(reader, "decode_block", interrupted)
    monkeypatch.setattr(codec, "SMALL_BLOCK", 0)  # decode in this thread, which alone may set handlers
    for arguments in (["compress", cli_source, tmp_path / "a"], ["decompress", cli_archive, tmp_path / "b"]):
        done = acncodec(*arguments, *model_options)
        assert done.code == 130
        assert "interrupted" in sentence(done)
    assert list(tmp_path.iterdir()) == []
