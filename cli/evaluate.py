"""acncodec evaluate"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import Bars
from .options import FILE, device_option, find_model, json_option, work_options

if TYPE_CHECKING:
    from acncodec.analysis.evaluation import Evaluation


@click.command("evaluate")
@click.argument("model", metavar="NAME|FILE")
@click.argument("directory", type=FILE)
@device_option
@json_option
@work_options
def command(model: str, directory: Path, device: str, as_json: bool) -> None:
    """Measure what the images in DIRECTORY cost under a model, term by term, and the size of a real archive of them.

    Measured are those of the most frequent size, among the images that the model can code. KL is the cost of latents: given
    one of the nearest neighbours, given the image before on a tour, and unconditionally.
    """
    from acncodec.analysis.evaluation import evaluate, images_for

    chosen = find_model(model, device)
    images = images_for(chosen, directory)
    with Bars() as bars:
        found = evaluate(chosen, images, bars)
    click.echo(json.dumps(_figures(found)) if as_json else _text(found))


def _figures(found: "Evaluation") -> dict[str, object]:
    costs = found.costs
    return {
        **asdict(costs),
        "ordered": costs.ordered,
        "unordered": costs.unordered,
        "order": costs.order,
        "archive_bits": found.archive_bits,
        "archive_bits_per_dim": found.archive_bits / (costs.images * costs.dims),
    }


def _text(found: "Evaluation") -> str:
    from acncodec.analysis.costs import NATS

    costs = found.costs
    rows = [("residual", costs.residual)]
    rows += [(f"KL from one of the {k} nearest", kl) for k, kl in costs.kl_neighbours.items()]
    rows += [
        ("KL along the greedy tour", costs.kl_greedy),
        ("KL along the improved tour", costs.kl_tour),
        ("KL, unconditional", costs.kl_unconditional),
        ("all, along the improved tour", costs.ordered),
        ("all, unconditional", costs.unordered),
        ("the most that an order is worth", costs.order),
    ]
    lines = [f"{costs.images:,} images of {costs.dims:,} values", f"{'':34}{'nats an image':>14}{'bits a value':>14}"]
    lines += [f"{name:34}{nats:>14.3f}{costs.bits_a_dim(nats):>14.5f}" for name, nats in rows]
    archive = found.archive_bits / costs.images
    lines.append(f"{'a real archive without names':34}{archive * NATS:>14.3f}{archive / costs.dims:>14.5f}")
    return "\n".join(lines)
