"""Commands with an unusable standard error, ended by signals, and with file names that hold control characters."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import PROGRAM, acncodec, good, sentence
from conftest import make_pngs

from acncodec import access
from acncodec.cli.streams import Droppable
from acncodec.errors import InputError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="descriptors, signals and names of POSIX")
NAMES = [b"a\x1b[31mred.txt", b"b\x07\r.txt", b"c\xff.txt", rb"c\xff.txt", b"n\nl.txt", "\u202e.txt".encode()]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("terminals") / "in"
    make_pngs(root, 4, 8, 8)
    for name in NAMES:
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_bytes(name)
    (root / "empty" / "inner").mkdir(parents=True)
    return root


@pytest.fixture(scope="module")
def archive(source: Path) -> Path:
    target = source.parent / "a.acn"
    good("compress", source, target, "-q")
    return target


def shell(words: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run the program with these arguments and redirections of a shell."""
    command = ["sh", "-c", f'"$@" {words}', "sh", *PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("words", ["2>&-", "2>/dev/full", "<&- 2>&-"])
def test_messages_to_a_closed_stderr_are_dropped(words: str, source: Path, archive: Path, tmp_path: Path) -> None:
    assert shell(words, "test", archive).returncode == 0
    assert shell(words, "decompress", archive, tmp_path / "out", "--progress", "plain").returncode == 0
    assert sum(path.is_file() for path in (tmp_path / "out").rglob("*")) == len(NAMES) + 4
    assert shell(words, "compress", source, tmp_path / "b.acn", "-v").returncode == 0
    assert (tmp_path / "b.acn").read_bytes() == archive.read_bytes()
    assert shell(words, "test", tmp_path / "none").returncode == 2


def test_a_failing_stream_accepts_messages() -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115
    stream = Droppable(full)
    assert stream.write("words") == 5
    stream.flush()
    assert not stream.isatty()
    with pytest.raises(OSError):
        full.close()
    assert stream.write("words") == 5  # it is closed


def test_names_are_printed_without_control_characters(archive: Path, tmp_path: Path) -> None:
    for options in ([], ["-l"]):
        out = good("list", archive, *options).out
        assert out.replace("\n", "").isprintable()
        assert len(out.splitlines()) == len(NAMES) + 4
    rows = [json.loads(line) for line in good("list", archive, "--json").out.splitlines()]
    assert {os.fsencode(row["name"]) for row in rows} >= set(NAMES)
    raw = subprocess.run([*PROGRAM, "list", "-0", str(archive)], capture_output=True, check=True).stdout
    assert set(raw.split(b"\0")[:-1]) >= set(NAMES)
    assert raw.endswith(b"\0")
    assert "leave out" in acncodec("list", archive, "-0", "-l").err


def test_a_printed_name_extracts_its_own_file(archive: Path, tmp_path: Path) -> None:
    printed = [line for line in good("list", archive).out.splitlines() if line.endswith(".txt")]
    found = []
    for number, name in enumerate(printed):
        good("extract", archive, tmp_path / str(number), name)
        (only,) = (tmp_path / str(number)).iterdir()
        assert os.fsencode(only.name) == only.read_bytes()
        found.append(only.read_bytes())
    assert sorted(found) == sorted(NAMES)


def test_files_left_out_are_named_without_control_characters(source: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "l\x1b[2J\n").symlink_to("nowhere")
    done = good("compress", tmp_path / "in", tmp_path / "a.acn")
    assert r"not stored: l\x1b[2J\x0a (symbolic link)" in done.err


def test_messages_have_no_control_characters(archive: Path, tmp_path: Path) -> None:
    bad = tmp_path / "\x1b[31m"
    for done in (
        acncodec("test", bad),
        acncodec("extract", archive, bad, r"\x1b[31m"),
        acncodec("decompress", archive, bad),
        acncodec("\x07\x1b[31m"),  # click itself removes such sequences
    ):
        assert done.err.replace("\n", "").isprintable()
        assert r"\x1b[31m" in done.err or r"\x07" in done.err


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252:strict"])
def test_names_that_an_encoding_lacks(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a\u0301.txt", "\u20ac\u4e00.txt", "\xe9\\.txt"):
        (tmp_path / "in" / name).write_bytes(name.encode())
    good("compress", tmp_path / "in", tmp_path / "a.acn", "-q")
    command = [*PROGRAM, "list", str(tmp_path / "a.acn")]
    done = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": encoding})
    for number, line in enumerate(done.stdout.decode(encoding.partition(":")[0]).splitlines()):
        good("extract", tmp_path / "a.acn", tmp_path / str(number), line)
        (only,) = (tmp_path / str(number)).iterdir()
        assert os.fsencode(only.name) == only.read_bytes()


@pytest.mark.parametrize("pattern", ["./1-8x8", "1-8x8//0.png", ".//1-8x8/./0.png", "./1-8x8/"])
def test_paths_are_normalised(archive: Path, tmp_path: Path, pattern: str) -> None:
    good("extract", archive, tmp_path / "out", pattern)
    assert (tmp_path / "out" / "1-8x8" / "0.png").is_file()


@pytest.mark.parametrize("pattern", ["empty", "empty/inner", "./empty/inner/", "emp*"])
def test_empty_directories_can_be_extracted(archive: Path, tmp_path: Path, pattern: str) -> None:
    good("extract", archive, tmp_path / "out", pattern)
    assert [path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*")] == [
        "empty",
        "empty/inner",
    ]


def test_a_closed_archive_gives_no_image(archive: Path) -> None:
    with access.open_images(archive) as images:
        assert images[0].size == (8, 8)
    for use in (lambda: images[0], lambda: images.blocks, lambda: images[:2]):
        with pytest.raises(InputError, match="has been closed"):
            use()


@pytest.fixture
def slow(source: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A compression that pauses while it writes its archive."""
    code = (
        "import sys, time; from acncodec.archive import atomic; from acncodec.cli.main import main\n"
        "real = atomic._write_all\n"
        "def slow(descriptor, data):\n"
        "    real(descriptor, data); print('writing', flush=True); time.sleep(600)\n"
        "atomic._write_all = slow\n"
        "main()"
    )
    command = [sys.executable, "-P", "-c", code, "compress", str(source), str(tmp_path / "a.acn")]

    def defaults() -> None:
        """Whoever started the tests may ignore signals, as nohup does; programs inherit that."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=defaults)
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_terminating_signals_leave_no_files(slow: subprocess.Popen[bytes], tmp_path: Path, number: int) -> None:
    assert [path.suffix for path in tmp_path.iterdir()] == [".partial"]
    slow.send_signal(number)
    _, words = slow.communicate()
    assert slow.returncode == 130
    assert re.fullmatch(rb"(.*\n)?acncodec: interrupted; nothing was left half written\n", words, re.DOTALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", ["DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes", "other"])
def test_out_of_memory_in_torch_is_one_sentence(words: str, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(words)

    monkeypatch.setattr("acncodec.reading.decompress.check", fail)
    if words == "other":
        with pytest.raises(RuntimeError, match="other"):
            acncodec("test", archive)
    else:
        assert "not enough memory" in sentence(acncodec("test", archive))
