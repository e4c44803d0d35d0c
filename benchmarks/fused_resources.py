"""What the fused kernels take of a GPU, as its compiler says; needs no GPU, but Triton.

    python -m benchmarks.fused_resources [MODEL|CHANNELSxBLOCKS]... [--capability 90]...

Compiles every kernel of a model's steps for GPUs of a compute capability (80: A100, 90: H100, H200), and prints a line of
JSON for each: registers a thread, bytes of stack (to which registers spill), bytes of shared memory a program, and how many
instructions multiply on tensor cores. By default for all bundled models that are fused, and for a colour network of 64
channels and 8 blocks.
"""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import torch

from acncodec import bundled
from acncodec.coding.selftest import fixed_networks
from acncodec.nets.architecture import Architecture
from acncodec.nets.graphs import Recorder
from acncodec.nets.networks import Networks

LANES, HEIGHT, WIDTH = 48, 4, 5  # no kernel depends on them
TYPES = {
    torch.float16: "*fp16",
    torch.float32: "*fp32",
    torch.float64: "*fp64",
    torch.int32: "*i32",
    torch.uint8: "*u8",
}
WARPS = 4  # Triton's default


def networks_of(name: str) -> Networks:
    """A bundled model's networks, or random ones for colour images, given as 64x8: channels and blocks."""
    if sizes := re.fullmatch(r"(\d+)x(\d+)", name):
        channels, blocks = map(int, sizes.groups())
        arch = Architecture(256, colours=3, logistics=8, channels=channels, blocks=blocks, features=2 * channels)
        return fixed_networks(arch, fine=True)
    return bundled.find(name).networks


class Compiling:
    """In the place of a kernel: compiles it for another device instead of launching it."""

    def __init__(self, kernel: Any, compiled: Callable[[Any, dict[str, Any]], None]) -> None:
        self._kernel, self._compiled = kernel, compiled

    def __getitem__(self, grid: object) -> "Compiling":
        return self

    def __call__(self, *args: Any, **options: Any) -> None:
        self._compiled(self._kernel, dict(zip(self._kernel.arg_names, args, strict=False)) | options)


def usage(kernel: Any, arguments: dict[str, Any], capability: int) -> dict[str, Any]:
    """Resources of a kernel with these arguments."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = list(kernel.arg_names)
    constant = {each.name for each in kernel.params if each.is_constexpr}
    types = {
        name: "constexpr"
        if name in constant
        else TYPES[arguments[name].dtype]
        if torch.is_tensor(arguments[name])
        else "i32"
        for name in names
    }
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if types[name].startswith("*")}
    source = ASTSource(kernel, types, {(names.index(name),): arguments[name] for name in constant}, aligned)
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": WARPS})
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(made.asm["cubin"])
        command = [tools / "cuobjdump", "-res-usage", file.name]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    registers, stack = (int(re.search(rf"{what}:(\d+)", told)[1]) for what in ("REG", "STACK"))  # type: ignore[index]
    return {
        "kernel": kernel.__name__,
        "capability": capability,
        "registers": registers,
        "stack": stack,
        "shared": made.metadata.shared,
        "tensor_core_products": len(re.findall(r"\b(?:wg)?mma", made.asm["ptx"])),
    }


def resources(networks: Networks, capability: int) -> Iterator[dict[str, Any]]:
    """Resources of every kernel of these networks' steps."""
    from acncodec.fused import decoder, kernels

    calls: list[tuple[Any, dict[str, Any]]] = []
    real = {name: getattr(kernels, name) for name in ("end_row", "vertical", "pixel", "next_colour", "second_digit")}
    try:
        for name, kernel in real.items():
            setattr(kernels, name, Compiling(kernel, lambda *call: calls.append(call)))
        steps = decoder.FusedSteps(networks, LANES, HEIGHT, WIDTH, Recorder())
        steps.start_row(0)
        for colour in range(networks.arch.colours):
            steps.first(colour)
            if networks.arch.levels > 2:
                steps.second(steps.first(colour)[:, 0].astype("int32"))
    finally:
        for name, kernel in real.items():
            setattr(kernels, name, kernel)
    seen = set()
    for kernel, arguments in calls:
        key = kernel.__name__, *(x.dtype if torch.is_tensor(x) else x for x in arguments.values())
        if key not in seen:
            seen.add(key)
            yield usage(kernel, arguments, capability)


@click.command()
@click.argument("names", nargs=-1)
@click.option("--capability", "capabilities", type=int, multiple=True, default=(80, 90), show_default=True)
def main(names: tuple[str, ...], capabilities: tuple[int, ...]) -> None:
    """Print what each kernel takes."""
    if os.environ.pop("TRITON_INTERPRET", ""):
        raise click.UsageError("interpreted kernels (TRITON_INTERPRET) are not compiled.")
    from acncodec.fused.decoder import fits

    for name in names or ("mnist-1bit", "mnist-8bit", "photo-grey", "photo-rgb", "64x8"):
        networks = networks_of(name)
        if not fits(networks, LANES, HEIGHT, WIDTH):
            raise click.UsageError(f"{name} is not fused.")
        for capability in capabilities:
            for row in resources(networks, capability):
                click.echo(json.dumps({"model": name, **row}))


if __name__ == "__main__":
    main()
