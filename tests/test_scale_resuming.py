"""Making archives of many parts: interrupted work is resumed, and what it left does no harm."""

from pathlib import Path
from typing import Any

import pytest
from conftest import PARTS, Make, snapshot

from acncodec.errors import InputError, OutputError
from acncodec.reading.parts import Parts
from acncodec.scale import names, pipeline, stages
from acncodec.scale.work import FOLDER


class Stop(Exception):
    """The process dies here."""


@pytest.mark.parametrize("stage", ["codes", "fit", "exchange", "code", "index"])
def test_interrupted_work_is_resumed(
    mixed_source: Path, make_parts: Make, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = snapshot(make_parts(mixed_source, "whole"))
    calls: list[int] = []
    module = names if stage == "index" else stages
    real = getattr(module, stage)

    def dies(*arguments: Any) -> None:
        if len(calls) == (0 if stage in ("fit", "index") else 1):
            raise Stop
        calls.append(1)
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, stage, dies)
        with pytest.raises(Stop):
            make_parts(mixed_source)
    assert [path.name for path in (mixed_source.parent / "out").iterdir()] == [FOLDER]
    with pytest.raises(OutputError, match="--resume"):
        make_parts(mixed_source)
    with pytest.raises(InputError, match="other options"):
        make_parts(mixed_source, parts=PARTS + 1, resume=True)
    again: list[int] = []

    def counted(*arguments: Any) -> None:
        again.append(1)
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, stage, counted)
        archive = make_parts(mixed_source, resume=True)
    assert snapshot(archive) == whole
    total = {"codes": 4, "exchange": 4, "code": PARTS, "fit": 1, "index": 1}[stage]
    assert len(again) + len(calls) == total


@pytest.mark.parametrize("moved", [0, *(pytest.param(moved, marks=pytest.mark.slow) for moved in range(1, PARTS + 1))])
def test_an_interrupted_move_of_parts_is_resumed(
    mixed_source: Path, make_parts: Make, moved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over an archive of more parts, of which none may stay."""
    whole = snapshot(make_parts(mixed_source, "whole"))
    target = make_parts(mixed_source, parts=PARTS + 2)
    left = [moved]
    real = Path.replace

    def replace(self: Path, to: Path) -> Path:
        if Path(to).parent == target:
            if not left[0]:
                raise Stop
            left[0] -= 1
        return real(self, to)

    def dies(*_: object, **__: object) -> None:
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        patch.setattr(pipeline, "write_atomically", dies)  # of the manifest
        with pytest.raises(Stop):
            make_parts(mixed_source, overwrite=True)
    with pytest.raises(InputError, match="without a finished archive"):
        Parts(target)
    assert snapshot(make_parts(mixed_source, resume=True)) == whole
    with pytest.raises(OutputError, match="is finished"):
        make_parts(mixed_source, resume=True)


def test_damaged_intermediate_results_are_reported(
    mixed_source: Path, make_parts: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*arguments: Any) -> None:
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(stages, "exchange", dies)
        with pytest.raises(Stop):
            make_parts(mixed_source)
    target = mixed_source.parent / "out"
    with pytest.raises(InputError, match="without a finished archive"):
        Parts(target)
    (work,) = (target / FOLDER).iterdir()
    for name in ("codes/000001.npz", "partition.npz", "notes.json", "settings.json"):
        (work / name).write_bytes(b"\x00no")
        with pytest.raises(InputError, match="cannot resume work in"):
            make_parts(mixed_source, resume=True)


def test_tasks_of_an_earlier_run_do_not_affect_a_later_one(
    mixed_source: Path, make_parts: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[Any] = []
    real = stages.codes

    def dies(*task: Any) -> None:
        left.append(task)
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(stages, "codes", dies)
        with pytest.raises(Stop):
            make_parts(mixed_source)
    ((job, *rest),) = left
    (mixed_source / "note.txt").write_text("later words")
    whole = snapshot(make_parts(mixed_source, "whole"))

    def met(*task: Any) -> None:
        with pytest.raises(InputError):
            real(job, *rest)
        with pytest.raises(OutputError):
            job.work.put_json(stages.result_name(0), {})
        real(*task)

    monkeypatch.setattr(stages, "codes", met)
    assert snapshot(make_parts(mixed_source, overwrite=True)) == whole
