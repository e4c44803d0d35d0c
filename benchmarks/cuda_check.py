"""All that a machine with a GPU is asked, within eight minutes: are the bits right, and where do the seconds go?

    python -m benchmarks.cuda_check [--limit 480] [--toy]

The tests that need CUDA, and beside them equality with the CPU of every bundled model's passes, and of a random one of 64
channels and 8 blocks. Then, with the machine quiet, seconds of every part: start, self-test, making of decoders, steps by
the number of lanes, with and without turns to the host, coder; and whole commands beside the CPU's: 10,000 digits and 1,024
photographs from the folder that `ACNCODEC_DATA` names.

What is left to do when the time is up is left out. Writes cuda.json and cuda.md to benchmarks/results/ after every part.

--toy runs all of it on the CPU, in Triton's interpreter, at toy size, and writes nothing.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache, partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from acncodec.coding.fusing import exact_weights, fused_steps
from acncodec.coding.passes import Steps, by_steps, whole_image
from acncodec.coding.selftest import quick_selftest
from acncodec.coding.steps import GROUPS, LEAST_LANES, split
from acncodec.exact.precision import full_precision
from acncodec.nets.networks import Networks
from benchmarks.commands import acncodec
from benchmarks.data import mnist, write_pngs
from benchmarks.directory_sets import cifar10
from benchmarks.floor import symbol_rates
from benchmarks.fused_resources import networks_of
from benchmarks.provenance import provenance, write_result

COMMANDS = 200  # seconds that these may take
START = time.perf_counter()
RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parent.parent
MODELS = ("mnist-1bit", "mnist-8bit", "glyphs", "photo-grey", "photo-large", "photo-rgb", "sprites", "64x8")
TIMED = ("mnist-1bit", "mnist-8bit", "photo-rgb", "64x8")
TESTS = (
    "tests/test_fused.py",
    "tests/test_steps.py",
    "tests/test_parity.py",
    "tests/test_training.py",
    "-k",
    "cuda or fused",
)
DIGITS, PHOTOGRAPHS = 10_000, 1024
SHAPE, TOY_SHAPE = (70, 9, 10), (2, 2, 2)  # images whose frequencies are compared
LANES, TOY_LANES = (16, 128, 512, 2048, 8192), (2,)
WIDTH, TOY_WIDTH = 64, 2  # pixels that are timed

Row = dict[str, Any]


def cuda_tests(seconds: float) -> subprocess.Popen[str]:
    """Start the tests that need CUDA, in the background, for at most so long."""
    command = ["timeout", f"{seconds:.0f}", sys.executable, "-m", "pytest", "-q", *TESTS, "-k", "cuda or fused"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def timed(work: Callable[[], Any]) -> float:
    """Seconds of a call, all that it leaves to the device included."""
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


@cache
def on_device(name: str, device: torch.device) -> Networks:
    """A copy of a model's networks on the device."""
    return deepcopy(networks_of(name)).to(device)


def parity(name: str, device: torch.device, shape: tuple[int, int, int]) -> Row:
    """Whether a model's passes on the device give the CPU's frequencies for images of noise, and seconds of a first use."""
    networks = networks_of(name)
    arch, random = networks.arch, np.random.default_rng(0)
    pixels = random.integers(0, arch.levels, (*shape, arch.colours), np.uint8)
    z = random.integers(-64, 65, (shape[0], arch.code)).astype(np.int16)
    wanted = whole_image(networks, pixels, z)
    networks = on_device(name, device)

    def right(found: list[np.ndarray]) -> bool:
        return all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))

    row: Row = {"whole image": right(whole_image(networks, pixels, z))}
    row["compiling, trial, s"] = timed(lambda: fused_steps(networks, *shape))
    ((_, tensors),) = split(networks, *shape, count=1)
    tensors.load(z)
    row["steps on tensors"] = right(by_steps(tensors, pixels, arch.levels))
    fused = fused_steps(networks, *shape)
    if fused is not None:
        fused.load(z)
        row["fused steps"] = right(by_steps(fused, pixels, arch.levels))
    return row


def decode(groups: list[tuple[slice, Steps]], columns: int, colours: int, digits: int, turns: bool) -> None:
    """The calls of Bob for a row of pixels, all 0; with `turns` the host waits for the frequencies of every symbol."""
    for _, group in groups:
        group.start_row(0)
    for column in range(columns):
        for _, group in groups:
            group.start_pixel(column)
        for colour in range(colours):
            for digit in range(digits):
                for lanes, group in groups:
                    zeros = np.zeros(lanes.stop - lanes.start, np.int32)
                    frequencies = group.second(zeros) if digit else group.first(colour)
                    assert len(frequencies) == len(zeros)
                for _, group in groups if turns else ():
                    group.wait()
            for lanes, group in groups:
                group.put(colour, np.zeros(lanes.stop - lanes.start, np.uint8))
    for _, group in groups:
        group.wait()


def steps_times(name: str, device: torch.device, lanes: int, width: int) -> Iterator[tuple[str, Row]]:
    """Seconds to make a decoder of so many lanes, and microseconds of a pixel: without and with turns to the host."""
    networks = on_device(name, device)
    levels, colours = networks.arch.levels, networks.arch.colours
    count = max(1, min(GROUPS, lanes // LEAST_LANES))
    ways: dict[str, Callable[[], Any]] = {"on tensors": lambda: split(networks, lanes, 2, width, count)}
    if fused_steps(networks, lanes, 2, width) is not None:
        ways["fused"] = lambda: [(slice(0, lanes), fused_steps(networks, lanes, 2, width))]
    for way, make in ways.items():
        found: list[Any] = []
        row: Row = {"making, s": timed(lambda: found.extend(make()))}  # noqa: B023
        for part, group in found:
            group.load(np.zeros((part.stop - part.start, networks.arch.code), np.int16))
        for turns in (False, True):
            run = partial(decode, found, width, colours, 1 if levels == 2 else 2, turns)
            seconds = min(timed(run) for _ in range(3))
            row["us a pixel" + ", with turns" * turns] = 1e6 * seconds / width
        row["images of 32x32 a second"] = lanes / (row["us a pixel, with turns"] * 1e-6 * 1024)
        yield way, row


def commands(device: str, images: np.ndarray) -> dict[str, float]:
    """Seconds of whole commands on the device and the CPU; raises RuntimeError if archives or files differ."""
    found: dict[str, float] = {}
    wanted: dict[Path, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "in"
        write_pngs(images, None, root, bilevel=False)
        for on in dict.fromkeys(("cpu", device)):
            archive = Path(folder) / f"{on}.acn"
            found[f"compress, {on}"] = acncodec("compress", root, archive, "--device", on)[1]
            found[f"decompress, {on}"] = acncodec("decompress", archive, Path(folder) / on, "--device", on)[1]
            restored = Path(folder) / on
            files = {path.relative_to(restored): path.read_bytes() for path in restored.rglob("*.png")}
            wanted = wanted or files
            same = archive.read_bytes() == (Path(folder) / "cpu.acn").read_bytes() and files == wanted
            if not same or len(files) != len(images):
                raise RuntimeError(f"on {on} the archive or the files differ")
    return found


class Check:
    """The parts of the check, one after the other; what is done is in `result`."""

    def __init__(self, device: torch.device, limit: float, toy: bool, save: Callable[[Row], None]) -> None:
        self._device, self._limit, self._toy, self._save = device, limit, toy, save
        self.result: Row = {"provenance": provenance()}

    def left(self, needed: float = 0.0) -> float:
        """Seconds left beside those that are needed."""
        return self._limit - needed - (time.perf_counter() - START)

    def note(self, part: str, name: str, found: Any) -> None:
        """Enter a result, show and save it."""
        self.result.setdefault(part, {})[name] = found
        click.echo(f"{time.perf_counter() - START:6.1f} s  {part}: {name}: {found}")
        self._save(self.result)

    def each(self, part: str, names: tuple[Any, ...], work: Callable[[Any], Any], needed: float = 0.0) -> None:
        """One result for each name while there is time; a failure is a result, too."""
        for name in names:
            if self.left(needed) < 0:
                self.note(part, str(name), "left out, no time")
                continue
            try:
                self.note(part, str(name), work(name))
            except Exception as error:  # the others are still to be told
                self.note(part, str(name), f"failed, {type(error).__name__}: {error}"[:500])

    def run(self) -> None:
        """All parts."""
        toy, device = self._toy, self._device
        context = timed(lambda: torch.zeros(1, device=device))
        tests = None if toy else cuda_tests(self._limit / 2)
        self.note("exact", "weights", str(exact_weights(device)))
        shape = TOY_SHAPE if toy else SHAPE
        self.each("exact", MODELS[:1] if toy else MODELS, lambda name: parity(name, device, shape), self._limit / 2)
        if tests is not None:
            self.note("exact", "tests", tests.communicate()[0].splitlines()[-1:])
        self.note("seconds", "first tensor on the device", context)
        for module in ("torch", "acncodec.reading.decompress", "triton"):
            command = [sys.executable, "-c", f"import {module}"]
            self.note("seconds", f"import of {module}", timed(partial(subprocess.run, command, check=True)))
        self.note("seconds", "quick self-test", timed(lambda: quick_selftest(device)))
        for base in (2, 16):
            self.note("seconds", f"coder, a million symbols of {base}, by 512", 1e6 / symbol_rates(base, 512)[1])
        width = TOY_WIDTH if toy else WIDTH
        for name in TIMED[:1] if toy else TIMED:
            for lanes in TOY_LANES if toy else LANES:
                self.each(f"steps of {name}", (lanes,), lambda n: dict(steps_times(name, device, n, width)), COMMANDS)  # noqa: B023
        sets = {"digits": mnist("test")[:DIGITS], "photographs": cifar10()[0][:PHOTOGRAPHS]}
        count = 8 if toy else None
        self.each("commands", tuple(sets), lambda name: commands(device.type, sets[name][:count]), COMMANDS / 3)


def markdown(result: Row) -> str:
    """The result page."""
    lines = ["# A GPU: are the bits right, and where do the seconds go?", ""]
    lines += [f"- {key}: {value}" for key, value in result["provenance"].items()]
    for part, found in result.items():
        if part == "provenance":
            continue
        rows = {name: each if isinstance(each, dict) else {"": each} for name, each in _flat(found).items()}
        columns = list(dict.fromkeys(key for row in rows.values() for key in row))
        lines += ["", f"## {part}", "", f"| | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
        lines += [
            f"| {name} | " + " | ".join(_shown(row.get(key, "")) for key in columns) + " |" for name, row in rows.items()
        ]
    return "\n".join(lines) + "\n"


def _flat(found: Row) -> Row:
    """Results of several ways, each a row of its own."""
    flat: Row = {}
    for name, each in found.items():
        several = isinstance(each, dict) and all(isinstance(row, dict) for row in each.values())
        flat |= {f"{name}, {way}": row for way, row in each.items()} if several else {name: each}
    return flat


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return str(value).replace("|", "/").replace("\n", " ")


@click.command()
@click.option("--limit", default=480.0, show_default=True, help="Seconds for all of it.")
@click.option("--toy", is_flag=True, help="On the CPU, at toy size; writes nothing.")
@click.option("--output", default=RESULTS, type=click.Path(path_type=Path), help="Folder for the results.")
def main(limit: float, toy: bool, output: Path) -> None:
    """Check and measure."""
    if not toy and not torch.cuda.is_available():
        raise click.UsageError("there is no CUDA device here that torch can use.")
    if toy:
        os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is loaded, which is later

    def save(result: Row) -> None:
        if not toy:
            write_result(output / "cuda", result, markdown(result))

    check = Check(torch.device("cpu" if toy else "cuda"), limit, toy, save)
    with full_precision():
        check.run()
    click.echo(markdown(check.result))


if __name__ == "__main__":
    main()
