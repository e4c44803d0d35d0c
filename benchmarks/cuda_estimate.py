"""Estimate of decoding time on a GPU, from the operations of its steps; no GPU is needed.

    python -m benchmarks.cuda_estimate

Every step of the incremental pass is run once on the CPU, as a CUDA graph would record it, and its kernels are counted: all
operations but views. Kernel launches, the products' operations, the bytes that kernels read and write, and the symbols and
frequencies transferred to the host give four times per pixel. The largest is the bottleneck, since groups of lanes overlap
them. Rates are those of DEVICE as published by its maker, but for the two marked as assumed; the coder's is measured here.
Prints a Markdown table.
"""

from itertools import product
from typing import Any

import click
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from acncodec import bundled
from acncodec.coding.steps import GROUPS, TensorSteps
from acncodec.nets.graphs import Recorder, Step
from benchmarks.floor import symbol_rates
from benchmarks.speed import MODELS

DEVICE = {
    "name": "H100 SXM",
    "operations": 67e12,  # float32 a second, without tensor cores, since TF32 is off
    "bytes": 3.35e12,  # of its memory a second
    "transfer": 64e9,  # bytes a second to the host: PCIe 5, 16 lanes
    "kernel": 2e-6,  # seconds from one small kernel of a graph to the next that depends on it: assumed
    "turn": 15e-6,  # seconds from the host's replay to its sight of the result: assumed
}
LANES = (512, 4096, 16384)
SIDES = {"mnist-1bit": 28, "mnist-8bit": 28, "photo-rgb": 32}


class Counter(TorchDispatchMode):
    """Counts kernels, bytes and operations of everything that runs within its context."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = self.bytes = self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        inputs = [a for a in torch.utils._pytree.tree_leaves((args, kwargs or {})) if isinstance(a, torch.Tensor)]
        outputs = [a for a in torch.utils._pytree.tree_leaves(made) if isinstance(a, torch.Tensor)]
        view = not func._schema.is_mutable and any(
            a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr() for a in outputs for b in inputs
        )
        if not view and outputs:
            self.kernels += 1
            # A gather reads what it returns, not all of its table.
            gathered = "index" in str(func) or "embedding" in str(func)
            read = outputs if gathered else inputs
            self.bytes += sum(x.numel() * x.element_size() for x in (*read, *outputs))
            if "mm" in str(func):
                matrices = [x for x in inputs if x.dim() >= 2][-2:]
                self.operations += 2 * matrices[0].numel() * matrices[1].shape[-1]
        return made


class CountingRecorder(Recorder):
    """Runs steps when they are recorded, and counts."""

    def __init__(self) -> None:
        self.steps: list[Counter] = []

    def record(self, step: Step) -> Step:
        step()  # once for tables that are made when they are first asked for
        with Counter() as counter:
            step()
        self.steps.append(counter)
        return step


def steps_of(name: str, lanes: int) -> tuple[Counter, list[Counter]]:
    """Counts of a row's step, and of the steps that a pixel takes."""
    by = CountingRecorder()
    side = SIDES[name]
    TensorSteps(bundled.find(name).networks, lanes, side, side, by, replayable=True)
    return by.steps[0], by.steps[1:]


def estimate(name: str, lanes: int, pop_rate: float) -> dict[str, float]:
    """Seconds of each kind of work for an image's pixels, all lanes together."""
    arch, side = bundled.find(name).arch, SIDES[name]
    group = lanes // GROUPS
    row, pixel = steps_of(name, group)
    pixels, base = side * side, min(16, arch.levels)
    digits = arch.colours * (1 if arch.levels == 2 else 2)

    def total(key: str) -> float:
        return GROUPS * (side * getattr(row, key) + pixels * sum(getattr(step, key) for step in pixel))

    kernels = (side * row.kernels + pixels * sum(step.kernels for step in pixel)) * DEVICE["kernel"]
    return {
        "kernels, one after the other": kernels + pixels * digits * DEVICE["turn"],
        "products": total("operations") / DEVICE["operations"],
        "memory": total("bytes") / DEVICE["bytes"],
        "transfers": pixels * digits * lanes * (8 * base + 5) / DEVICE["transfer"],
        "coder on the host": pixels * digits * lanes / pop_rate,
    }


@click.command()
def main() -> None:
    """Print the estimate."""
    rates = {base: symbol_rates(base)[1] for base in (2, 16)}
    click.echo(
        f"Device: {DEVICE['name']}. Million symbols a second that the coder pops here: {rates[2] / 1e6:.0f} of 2 levels,"
    )
    click.echo(f"{rates[16] / 1e6:.0f} of 16. Kernels a row and a pixel:")
    for name in MODELS:
        row, pixel = steps_of(name, 4)
        click.echo(f"- {name}: {row.kernels} and {sum(step.kernels for step in pixel)}, in {len(pixel)} steps a pixel")
    click.echo("")
    for number, (name, lanes) in enumerate(product(MODELS, LANES)):
        found = estimate(name, lanes, rates[min(16, bundled.find(name).arch.levels)])
        if number == 0:
            click.echo("| model | lanes | " + " | ".join(f"{kind}, s" for kind in found) + " | images/s | bottleneck |")
            click.echo("|---" * (len(found) + 4) + "|")
        worst = max(found, key=lambda kind: found[kind])
        cells = " | ".join(f"{seconds:.3f}" for seconds in found.values())
        click.echo(f"| {name} | {lanes:,} | {cells} | {lanes / found[worst]:,.0f} | {worst} |")


if __name__ == "__main__":
    main()
