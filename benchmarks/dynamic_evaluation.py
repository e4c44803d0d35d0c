"""What a decoder that learns on would save: after each batch its weights take a gradient step (dynamic evaluation).

    python -m benchmarks.dynamic_evaluation [--images N]

So a model would adapt to a directory without sending weights. Steps are in floating point, as in training: Alice and
Bob would need the same bits. Latents for a step would be drawn around codes from a seed that both know. Theoretical
costs of the sets of `adaptive_stage`, along tours, in batches of 8, one posterior sample an image. Writes
dynamic_evaluation.json and .md to benchmarks/results/.
"""

import math
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from acncodec import bundled
from acncodec.nets.model import Model
from acncodec.nets.networks import Networks
from acncodec.training.adapt import DECODER
from acncodec.training.objective import residual_nats, sample_offsets
from acncodec.training.trainer import take_weights
from benchmarks.adaptive_stage import SETS, toured
from benchmarks.provenance import provenance, write_result

RESULTS = Path(__file__).parent / "results"
RATES = (0.0, 3e-4)  # of Adam, after a linear warm-up
WARM_UP, BATCH = 20, 8  # steps; images a step
QUARTERS = 4


def learning_on(model: Model, images: np.ndarray, codes: np.ndarray, rate: float) -> list[float]:
    """Bits a value of images uint8 [N, H, W, 3] with codes int16 [N, D], in each quarter of their order."""
    networks = Networks(model.arch)
    take_weights(networks, model.networks)
    networks.choose_scales()
    trained = [p for name, p in networks.named_parameters() if name.startswith(DECODER)]
    optimiser, generator, found = torch.optim.Adam(trained, betas=(0.9, 0.99)), torch.Generator().manual_seed(0), []
    for pixels, known in zip(torch.from_numpy(images).split(BATCH), torch.from_numpy(codes).split(BATCH), strict=True):
        latents = networks.map(known + sample_offsets(known, generator), *pixels.shape[1:3], exact=False)
        nats = residual_nats(networks.decode(pixels, latents), pixels)
        if rate:
            optimiser.zero_grad()
            nats.mean().backward()
            optimiser.param_groups[0]["lr"] = rate * min(1.0, (len(found) / BATCH + 1) / WARM_UP)
            optimiser.step()
        found += nats.tolist()
    return [float(each.mean()) / math.log(2) / images[0].size for each in np.array_split(found, QUARTERS)]


def markdown(results: dict[str, Any]) -> str:
    lines = [
        "# A decoder that learns on",
        "",
        "`photo-rgb`, residual in bits a value, and what changes in each quarter of the images.",
        "",
        "| set | rate | bits a value | " + " | ".join(f"quarter {n}" for n in range(1, QUARTERS + 1)) + " | all |",
        "|---" * (4 + QUARTERS) + "|",
    ]
    for name, rates in results["sets"].items():
        fixed = [*rates["0.0"], np.mean(rates["0.0"])]
        for rate, quarters in rates.items():
            bits = [*quarters, np.mean(quarters)]
            of = [f"{now / before - 1:+.2%}" for now, before in zip(bits, fixed, strict=True)]
            lines.append(f"| {name} | {rate} | {bits[-1]:.4f} | " + " | ".join(of) + " |")
    return "\n".join([*lines, "", *(f"- {key}: {value}" for key, value in results["provenance"].items())]) + "\n"


@click.command()
@click.option("--images", default=None, type=click.IntRange(min=32), help="At most so many images of each set.")
def main(images: int | None) -> None:
    """Measure both sets."""
    model, found = bundled.find("photo-rgb"), {}
    for name in SETS:
        pixels, codes, _ = toured(model, name, images)
        found[name] = {str(rate): learning_on(model, pixels, codes, rate) for rate in RATES}
    results = {"sets": found, "provenance": provenance()}
    if not images:
        write_result(RESULTS / "dynamic_evaluation", results, markdown(results))
    click.echo(markdown(results))


if __name__ == "__main__":
    main()
