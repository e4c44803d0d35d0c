"""Archives by URL: the same results, no more fetched than needed, and errors in one sentence."""

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from commands import acncodec, good, sentence
from conftest import Make, make_pngs, packed, snapshot
from torch.utils.data import DataLoader

import acncodec as package
from acncodec.archive.container import CRC_BYTES
from acncodec.archive.remote import Remote, location
from acncodec.errors import DamagedError, InputError
from acncodec.nets.model import Model
from acncodec.reading.info import describe
from acncodec.reading.parts import Parts

FILES, BLOCK = 60, 6


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    yield system
    if system.exists("/kept"):
        system.rm("/kept", recursive=True)


def uploaded(memory: Any, path: Path) -> str:
    """The URL of a copy of a file or a directory of files."""
    for each in [path] if path.is_file() else path.iterdir():
        memory.pipe(f"/kept/{each.relative_to(path.parent)}", each.read_bytes())
    return f"memory://kept/{path.name}"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    make_pngs(tmp_path / "in", FILES, 16, 16, "L")
    return tmp_path / "in"


@pytest.fixture
def url(memory: Any, source: Path, models: list[Model], free_networks: None) -> str:
    return uploaded(memory, packed(source, models, block=BLOCK))


def with_models(model_files: list[Path]) -> list[object]:
    return [part for path in model_files for part in ("--model", path)]


def test_commands_take_urls(url: str, source: Path, model_files: list[Path], tmp_path: Path) -> None:
    models = with_models(model_files)
    assert good("decompress", url, tmp_path / "out", *models)
    assert snapshot(tmp_path / "out") == snapshot(source)
    assert "is whole" in good("test", url, *models).err
    names = good("list", url).out.splitlines()
    assert len(names) == FILES
    good("extract", url, tmp_path / "some", names[7], *models)
    assert [path.name for path in (tmp_path / "some").rglob("*.png")] == [Path(names[7]).name]
    assert '"images"' in good("info", url, "--json", *models).out


def test_only_what_is_needed_is_fetched(url: str, memory: Any, model_files: list[Path], tmp_path: Path) -> None:
    size = memory.size(url.removeprefix("memory:/"))
    name = good("list", url).out.splitlines()[7]
    for command in (("list", url), ("extract", url, tmp_path / "some", name, *with_models(model_files))):
        words = good(*command, "-v").err
        (told,) = [line for line in words.splitlines() if "fetched" in line]
        fetched = int(told.split()[2].replace(",", ""))
        assert 0 < fetched < size / 4
    with Parts(Remote(url), model_files) as parts, parts.open(0) as archive:
        assert parts.fetched is not None
        before = parts.fetched.bytes
        archive.read(0)
        container = archive.container
        needed = sum(
            container.sizes[container.tags.index(tag)] + CRC_BYTES for tag in ("BLCK", "PLAC") if tag in container.tags
        )
        assert parts.fetched.bytes - before <= needed


def test_parts_take_urls(
    memory: Any, mixed_source: Path, make_parts: Make, model_files: list[Path], tmp_path: Path
) -> None:
    url = uploaded(memory, make_parts(mixed_source))
    models = with_models(model_files)
    for each in (url, url + "/manifest.acn", url + "/"):
        good("decompress", each, tmp_path / "back", "-f", *models)
        assert snapshot(tmp_path / "back") == snapshot(mixed_source)
    with Parts(location(url), model_files) as parts:
        for number in range(len(parts)):
            parts.check(number)
        memory.pipe(f"/kept/out/{parts.name(0)}", b"other")
        with pytest.raises(DamagedError):
            parts.check(0)


def test_data_sets_take_urls(url: str, source: Path, model_files: list[Path]) -> None:
    with package.open(url, model_files) as images:
        assert images.names == sorted(str(path.relative_to(source)) for path in source.rglob("*.png"))
        first = images[0].tobytes()
    dataset = package.AcnDataset(url, lambda image: image.tobytes(), model_files)
    assert dataset[0] == first
    assert len(list(DataLoader(dataset.stream(), batch_size=None))) == FILES
    plain = package.AcnDataset(url, models=model_files)
    assert pickle.loads(pickle.dumps(plain))[0].tobytes() == first


class _Broken:
    """A file of a server that stops answering after so many reads, or sends whole files only."""

    def __init__(self, file: Any, reads: int, seekable: bool) -> None:
        self._file, self._reads, self._seekable = file, reads, seekable

    def seekable(self) -> bool:
        return self._seekable

    def read(self, size: int) -> bytes:
        self._reads -= 1
        if self._reads < 0:
            raise RuntimeError("the connection\nwas reset")
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.mark.parametrize(
    ("reads", "seekable", "words"), [(0, True, "connection was reset"), (9, False, "whole files only")]
)
def test_failing_servers_are_reported(
    reads: int, seekable: bool, words: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = fsspec.filesystem("memory")
    opened = type(system).open
    monkeypatch.setattr(type(system), "open", lambda *a, **k: _Broken(opened(*a, **k), reads, seekable))
    done = acncodec("list", url)
    assert done.code == 2
    assert words in sentence(done)


def test_a_connection_lost_later_loses_a_section(
    url: str, model_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Parts(location(url), model_files) as parts, parts.open(0) as archive:

        def lost(*_: object) -> bytes:
            raise RuntimeError("the connection was reset")

        monkeypatch.setattr(type(fsspec.filesystem("memory").open(url, "rb")), "read", lost)
        with pytest.raises(DamagedError, match="connection was reset"):
            archive.read(0)


def test_info_reads_no_block_twice(url: str, memory: Any, model_files: list[Path]) -> None:
    with Parts(location(url), model_files) as parts:
        describe(parts, model_files)
        assert parts.fetched is not None
        assert parts.fetched.bytes < 1.2 * memory.size(url.removeprefix("memory:/"))


@pytest.mark.parametrize("url", ["memory://kept/none.acn", "nothing://kept/none.acn"])
def test_urls_of_missing_files_are_reported(url: str) -> None:
    done = acncodec("list", url)
    assert done.code == 2
    assert url in sentence(done)
    with pytest.raises(InputError):
        package.open(url)


def test_places_are_paths_or_urls() -> None:
    assert location("a/b") == Path("a/b")
    url = location("s3://bucket/sets/")
    assert isinstance(url, Remote)
    below = url / "manifest.acn"
    assert (str(below), below.name, str(below.parent)) == (
        "s3://bucket/sets/manifest.acn",
        "manifest.acn",
        "s3://bucket/sets",
    )
    assert below.fetched is url.fetched
    with pytest.raises(TypeError):
        os.fspath(url)  # type: ignore[call-overload]
