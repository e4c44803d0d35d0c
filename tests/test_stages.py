"""Times by stage for benchmarks: every stage exists, and time is counted once."""

import time
from pkgutil import resolve_name

import pytest
from conftest import costs_nothing, make_pngs, no_progress, tiny_model

from acncodec.packing.compress import Options, compress
from benchmarks import stages
from benchmarks.commands import acncodec
from benchmarks.cuda_estimate import Counter
from benchmarks.floor import operations, operations_by_part
from benchmarks.stages import DECODING, ENCODING, REST, Stopwatch, watched


@pytest.mark.parametrize("place", [place for each in (ENCODING, DECODING) for names in each.values() for place in names])
def test_every_stage_exists(place: str) -> None:
    assert callable(resolve_name(place))


def test_time_of_a_nested_stage_is_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def spend(seconds: float) -> None:
        now[0] += seconds

    watch = Stopwatch()
    inner = watch.timed("inner", spend)

    def outer() -> None:
        spend(1.0)
        inner(2.0)
        spend(4.0)

    spend(8.0)
    watch.timed("outer", outer)()
    with pytest.raises(ZeroDivisionError):
        watch.timed("failing", lambda: spend(1 / 0))()
    watch.timed("outer", outer)()
    watch.stop()
    assert dict(watch.seconds) == {REST: 8.0, "outer": 10.0, "inner": 4.0, "failing": 0.0}


def test_a_command_is_timed_whole(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_pngs(tmp_path / "in", 40, 4, 3, "1")
    monkeypatch.setattr(
        "acncodec.packing.model_choice.plane_bits",
        costs_nothing,
    )
    start = time.perf_counter()
    with watched(ENCODING) as watch:
        compress(tmp_path / "in", tmp_path / "archive", [tiny_model(2)], Options(), no_progress)
    assert sum(watch.seconds.values()) <= time.perf_counter() - start
    assert {*watch.seconds} == {*ENCODING, REST}
    assert stages.ENCODING["ANS push"] == ["acncodec.coding.stack.Stack.push"]
    assert "timed" not in repr(resolve_name("acncodec.coding.stack.Stack.push"))  # all is as it was


@pytest.mark.slow
def test_a_commands_memory_is_its_own() -> None:
    weight = bytearray(1 << 28)
    version, seconds, mebibytes = acncodec("--version")
    assert version.startswith("acncodec")
    assert seconds > 0
    assert 1 < mebibytes < 200 < len(weight) >> 20
    with pytest.raises(RuntimeError, match="acncodec info ended with 2: acncodec: cannot read '/nowhere'"):
        acncodec("info", "/nowhere")


def test_operations_are_those_of_every_product() -> None:
    model = tiny_model(256)
    parts = operations_by_part(model.networks, 1, 1)
    # At one pixel every product is taken once, but for the map's last, whose four positions are not cut before it.
    weights = {name: product.weight.numel() for name, product in model.networks.products()}
    assert sum(parts.values()) == operations(model, 1, 1) == 2 * (sum(weights.values()) + 3 * weights["map.out"])


def test_kernels_are_counted_and_views_are_not() -> None:
    import torch

    a, b = torch.ones(3, 4), torch.ones(4, 5)
    with Counter() as counter:
        c = (a.view(4, 3).t() @ b)[1:] * 2
        c.add_(1)
    assert (counter.kernels, counter.operations) == (3, 2 * 3 * 4 * 5)
