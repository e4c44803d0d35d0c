"""Incremental decoding steps as CUDA graphs run them: recorded once and replayed at the same addresses."""

import numpy as np
import pytest
import torch
from conftest import KINDS, architecture, needs_cuda
from tapes import TapeRecorder

from acncodec.coding import steps as steps_module
from acncodec.coding.passes import whole_image
from acncodec.coding.pixels import pop_pixels, push_pixels
from acncodec.coding.selftest import device_of, fixed_networks, pseudo_random, stepwise, trusted_device
from acncodec.coding.stack import Stack
from acncodec.coding.steps import TensorSteps, split
from acncodec.errors import ExactnessError
from acncodec.exact.grids import BASE, LATENT_MAX
from acncodec.nets import graphs
from acncodec.nets.graphs import GraphRecorder, Indices, Shared, Slices
from acncodec.nets.model import Model
from acncodec.nets.networks import Networks

SMALL = {"channels": 6, "blocks": 2, "first": 5, "features": 5, "map_planes": 2, "map_hidden": 8, "map_features": 2}
SMALL |= {"encoder_features": 2, "code": 3, "hidden": 8, "mixture": 2}


def case_of(levels: int, colours: int, n: int = 5) -> tuple[Networks, np.ndarray, np.ndarray]:
    networks = fixed_networks(architecture(levels, colours, logistics=2, **SMALL))
    shape = n, 5, 4, colours
    pixels = pseudo_random("x", int(np.prod(shape)), 0, levels - 1).astype(np.uint8).reshape(shape)
    z = pseudo_random("z", n * networks.arch.code, -LATENT_MAX, LATENT_MAX).reshape(n, -1)
    return networks, pixels, z


@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_replayed_steps_are_right_at_every_pixel(levels: int, colours: int) -> None:
    networks, pixels, z = case_of(levels, colours)
    want = whole_image(networks, pixels, z)
    by = TapeRecorder()
    group = TensorSteps(networks, len(pixels), 5, 4, by, replayable=True)
    for _ in range(2):  # the same tapes for other images, too
        assert_steps(group, pixels, z, want, levels)
        pixels, z = pixels[::-1].copy(), z[::-1].copy()
        want = [part[::-1] for part in want]
    per_pixel = 1 + colours * (2 if levels == 2 else 3)
    assert by.replayed == 2 * (5 + 5 * 4 * per_pixel)


def assert_steps(group: TensorSteps, pixels: np.ndarray, z: np.ndarray, want: list[np.ndarray], levels: int) -> None:
    group.load(z.astype(np.int16))
    digits = 1 if levels == 2 else 2
    for row in range(pixels.shape[1]):
        group.start_row(row)
        for column in range(pixels.shape[2]):
            group.start_pixel(column)
            for colour in range(pixels.shape[3]):
                values = pixels[:, row, column, colour]
                group.wait()
                assert (group.first(colour) == want[digits * colour][:, row, column]).all()
                if digits == 2:
                    assert (group.second(values // BASE) == want[2 * colour + 1][:, row, column]).all()
                group.put(colour, values)


def test_a_tape_detects_a_position_fixed_at_recording() -> None:
    """Steps whose position is no tensor cannot be replayed at other pixels; the tape must detect that."""
    networks, pixels, z = case_of(2, 1)
    want = whole_image(networks, pixels, z)
    group = TensorSteps(networks, len(pixels), 5, 4, TapeRecorder(), replayable=False)
    with pytest.raises(AssertionError):
        assert_steps(group, pixels, z, want, 2)


@pytest.mark.parametrize("groups", [1, 2, 3, 5])
@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_groups_of_lanes_change_no_bit(levels: int, colours: int, groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    networks, pixels, z = case_of(levels, colours)
    for found, want in zip(stepwise(networks, pixels, z, groups), whole_image(networks, pixels, z), strict=True):
        assert (found == want).all()
    model, latents = Model("", b"", 0, networks, None, {}), z.astype(np.int16)
    stack = Stack.seeded(16)
    push_pixels(stack, pixels, latents, model)
    monkeypatch.setattr(steps_module, "available", lambda _: False)
    monkeypatch.setattr(steps_module, "_groups", lambda *sizes: split(*sizes, count=groups))
    assert (pop_pixels(stack, latents, 5, 4, model) == pixels).all()
    stack.check_seed(16)


@pytest.mark.parametrize("dim", [0, 1])
def test_positions_agree(dim: int) -> None:
    x = torch.arange(60.0).view(5, 6, 2) if dim == 1 else torch.arange(60.0).view(6, 5, 2)
    written = []
    for place in (Slices(), Indices(3, torch.device("cpu"))):
        y = x.clone()
        for position in (0, 3, 1):
            place.move(position)
            place.arrive()
            assert torch.equal(place.read(y, dim, 2), y.narrow(dim, position, 2))
            assert torch.equal(place.pick(y, dim), y.select(dim, position))
            place.write(y, dim, 2, torch.full_like(y.select(dim, 0), 100.0 + position))
        written.append(y)
    assert torch.equal(*written)
    assert not torch.equal(written[0], x)


class FakeCuda:
    """Streams, events and graphs that only record the calls, in order."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def Stream(self, device: object) -> "FakeStream":
        return FakeStream(self.log)

    def Event(self) -> "FakeEvent":
        return FakeEvent(self.log)

    def CUDAGraph(self) -> "FakeGraph":
        return FakeGraph(self.log)

    def current_stream(self, device: object) -> str:
        return "the caller's"

    def stream(self, stream: "FakeStream") -> "FakeStream":
        return stream


class FakeStream:
    def __init__(self, log: list[str]) -> None:
        self.log, self.device = log, "cuda"

    def wait_stream(self, other: str) -> None:
        self.log.append(f"wait for {other}")

    def __enter__(self) -> None:
        self.log.append("enter")

    def __exit__(self, *error: object) -> None:
        self.log.append("leave")


class FakeEvent:
    def __init__(self, log: list[str]) -> None:
        self.log = log

    def record(self) -> None:
        self.log.append("mark")

    def synchronize(self) -> None:
        self.log.append("synchronise")


class FakeGraph:
    def __init__(self, log: list[str]) -> None:
        self.log = log

    def capture_begin(self, capture_error_mode: str) -> None:
        self.log.append("begin")

    def capture_end(self) -> None:
        self.log.append("end")

    def replay(self) -> None:
        self.log.append("replay")


def test_a_graph_is_recorded_once_and_replayed_on_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda()
    monkeypatch.setattr(graphs.torch, "cuda", cuda)
    by = GraphRecorder(torch.device("cuda"))
    run = by.record(lambda: cuda.log.append("step"))
    once = ["wait for the caller's", "enter", "step", "mark", "leave", "synchronise"]
    recorded = ["enter", "begin", "step", "end", "leave"]
    replayed = ["enter", "replay", "mark", "leave"]
    assert cuda.log == [*once, *recorded, "wait for the caller's", *replayed]
    cuda.log.clear()
    run()
    by.wait()
    assert cuda.log == [*replayed, "synchronise"]


def test_a_graph_that_cannot_be_recorded_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda()
    monkeypatch.setattr(graphs.torch, "cuda", cuda)
    calls = []

    def step() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("not while recording")

    with pytest.raises(RuntimeError, match="not while recording"):
        GraphRecorder(torch.device("cuda")).record(step)
    assert cuda.log[-3:] == ["begin", "end", "leave"]


def test_on_the_cpu_host_and_device_buffers_are_one() -> None:
    shared = Shared((3,), torch.int32, torch.device("cpu"))
    shared.array[:] = (1, 2, 3)
    shared.upload()
    assert shared.tensor.tolist() == [1, 2, 3]
    shared.tensor += 1
    shared.download()
    assert shared.array.tolist() == [2, 3, 4]


@pytest.mark.parametrize("failure", [None, ExactnessError("it miscounts"), RuntimeError("no kernel image")])
def test_a_gpu_is_used_only_after_its_self_test(failure: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
    tested = []

    def quick(device: torch.device) -> None:
        tested.append(device.type)
        if failure:
            raise failure

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("acncodec.coding.selftest.quick_selftest", quick)
    if failure:
        with pytest.warns(UserWarning, match=f"CUDA is not used: {failure}"):
            assert trusted_device() == torch.device("cpu")
    else:
        assert trusted_device() == torch.device("cuda")
    assert tested == ["cuda"]


def test_auto_codes_on_the_cpu_where_the_kernel_runs_and_trains_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("acncodec.coding.selftest.quick_selftest", lambda device: None)
    for kernel, coding in (("avx2",), "cpu"), ((), "cuda"):
        monkeypatch.setattr("acncodec.coding.selftest.instructions", lambda kernel=kernel: kernel)
        assert device_of("auto").type == coding
        assert device_of("auto", training=True).type == "cuda"
        assert device_of("cpu", training=True).type == "cpu"


def test_without_a_gpu_auto_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert trusted_device() == torch.device("cpu")


@needs_cuda
@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_cuda_graphs_agree(levels: int, colours: int, groups: int, recorded: bool) -> None:
    networks, pixels, z = case_of(levels, colours, 300)
    want = whole_image(networks, pixels, z)
    on_device = networks.to("cuda")
    for found in (whole_image(on_device, pixels, z), stepwise(on_device, pixels, z, groups, recorded)):
        for got, part in zip(found, want, strict=True):
            assert (got == part).all()


@needs_cuda
@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_cuda_decodes_what_the_cpu_encoded(levels: int, colours: int) -> None:
    networks, pixels, z = case_of(levels, colours, 300)
    model, latents, stack = Model("", b"", 0, networks, None, {}), z.astype(np.int16), Stack.seeded(64)
    push_pixels(stack, pixels, latents, model)
    networks.to("cuda")
    assert (pop_pixels(stack, latents, 5, 4, model) == pixels).all()
    stack.check_seed(64)
