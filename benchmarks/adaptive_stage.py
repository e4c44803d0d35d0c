"""What a last stage that adapts to a directory would save: the network's bits mixed with predictions by least squares.

    python -m benchmarks.adaptive_stage [--images N]

Alice draws latents after she has coded all later steps, so what adapts may not depend on earlier images' latents: only on
their pixels, hence on their codes, and on the network's distributions given codes in place of latents. Theoretical costs
of test images of `celeba32/` and `imagenet32/` in the folder that ACNCODEC_DATA names, along tours, one posterior sample an
image. Writes adaptive_stage.json and .md to benchmarks/results/.
"""

import math
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from acncodec import bundled
from acncodec.coding.element_costs import posterior_offsets
from acncodec.coding.protocol import encode
from acncodec.coding.theory import LEAST_PROBABILITY
from acncodec.exact.grids import LOGIT_BITS, SPREAD_BITS, TONE_BITS
from acncodec.nets.model import Model
from acncodec.planning.schedule import Schedule, choose_lanes
from acncodec.planning.tour import plan_tour
from benchmarks.directory_sets import sheets, spread
from benchmarks.provenance import provenance, write_result

RESULTS = Path(__file__).parent / "results"
SETS = {"celeba32": (1000, 1000), "imagenet32": (5000, 500)}  # test images there are, and how many of them are coded
REACH, DECAY, EARLIER = 6, 0.85, 15.0  # of least squares: window, weight a pixel of distance, weight of earlier images
PRIOR = 200.0  # precision of mixing weights at the start
SHARES = (0.02, 0.05, 0.1, 0.2, 0.3)  # of least squares in linear mixtures


def margins(values: Tensor, weights: Tensor, means: Tensor, scales: Tensor) -> np.ndarray:
    """Log odds, nats, that each bit of values int64 [...] is what it is given those before: float32 [..., 8].

    Under mixtures of logistics [..., components].
    """

    def below(edge: Tensor) -> Tensor:
        p = (weights * torch.sigmoid((edge[..., None] - 0.5 - means) / scales)).sum(-1)
        return p.masked_fill(edge == 0, 0.0).masked_fill(edge == 256, 1.0) + edge * LEAST_PROBABILITY

    low, found = torch.zeros_like(values), []
    p_low, p_high = below(low), below(low + 256)
    for bit in range(7, -1, -1):
        p, is_set = below(low + (1 << bit)), (values >> bit & 1) == 1
        odds = torch.log(((p_high - p) / (p - p_low)).clamp(1e-6, 1e6))
        found.append(torch.where(is_set, odds, -odds))
        p_low, p_high = torch.where(is_set, p, p_low), torch.where(is_set, p_high, p)
        low = torch.where(is_set, low + (1 << bit), low)
    return torch.stack(found, -1).float().numpy()


def of_network(model: Model, images: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Margins float32 [N, H, W, 3, 8] of images under the network given latents int16 [N, D]."""
    found = np.empty((*images.shape, 8), np.float32)
    for part in (slice(start, start + 16) for start in range(0, len(images), 16)):
        pixels = torch.from_numpy(images[part])
        for colour, mixture in enumerate(model.networks.distributions(pixels, model.networks.tensor(z[part]))):
            weights = torch.softmax(mixture.logits.double() * 2.0**-LOGIT_BITS, -1)
            means, scales = mixture.means * 2.0**-TONE_BITS, torch.exp2(mixture.spreads.double() * 2.0**-SPREAD_BITS)
            found[part, ..., colour, :] = margins(pixels[..., colour].long(), weights, means, scales)
    return found


def of_predictions(images: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The same under logistics around predictions; their scale is the set's for pixels with such errors around them."""
    error = abs(images - predicted)
    near = sum(w * e for w, e in zip((2, 2, 1, 1, 0.5, 0.5), neighbours(error), strict=True)) / 7
    near += error[..., [0, 0, 1]] * [0, 0.2, 0.7]  # red's errors are five times green's and blue's
    key = (3 * np.log2(1 + 2 * near)).astype(np.int64) * 3 + np.arange(3)
    mean = np.bincount(key.ravel(), error.ravel()) / np.bincount(key.ravel()).clip(1)
    scales = torch.from_numpy((0.62 * mean).clip(0.15)[key])[..., None] * torch.tensor([1.0, 4.0])  # and outliers
    return margins(
        torch.from_numpy(images).long(), torch.tensor([0.98, 0.02]), torch.from_numpy(predicted)[..., None], scales
    )


def neighbours(x: np.ndarray) -> list[np.ndarray]:
    """Left, above, above left, above right, left by two, above by two of [N, 32, 32, C]; edges repeat what is known."""
    above = np.concatenate([np.full_like(x[:, :1], 128), x[:, :-1]], 1)
    left = np.concatenate([above[:, :, :1], x[:, :, :-1]], 2)
    above[:, 0] = left[:, 0]
    before, after = [0, *range(31)], [*range(1, 32), 31]
    return [left, above, above[:, :, before], above[:, :, after], left[:, :, before], above[:, before]]


def least_squares(images: np.ndarray, steps: list[slice]) -> np.ndarray:
    """Predictions float32 [N, H, W, 3] from the pixels around, fitted in a causal window and in earlier steps (as TMW)."""
    left, *others = neighbours(images.astype(np.float64))
    inputs = [np.stack([other - left for other in others], -1).reshape(*left.shape[:3], 15), images - left]
    known = torch.from_numpy(np.concatenate(inputs, -1))
    rows, columns = np.ogrid[-REACH:1, -REACH : REACH + 1]
    window = torch.from_numpy(DECAY ** (abs(rows) + abs(columns)) * ((rows < 0) | (columns < 0))).float()
    found, one = np.empty(images.shape, np.float32), torch.eye(18, dtype=torch.float64)
    total = 5e4 * one
    for step in steps:
        for number in range(step.start, step.stop):
            x = known[number]
            products = F.pad((x[..., None] * x[..., None, :]).float().permute(2, 3, 0, 1), (REACH, REACH, REACH, 0))
            near = F.conv2d(products.flatten(0, 1)[:, None], window[None, None]).view(18, 18, 32, 32).permute(2, 3, 0, 1)
            gram = near.double() + EARLIER * total / (1000 + step.start * 1024) + 1e-3 * one
            for n in range(15, 18):
                weights = torch.linalg.solve(gram[..., :n, :n], gram[..., :n, n])
                found[number, ..., n - 15] = left[number, ..., n - 15] + (weights * x[..., :n]).sum(-1).numpy()
        total = total + known[step].flatten(0, 2).T @ known[step].flatten(0, 2)
    return found.clip(0, 255)


def bits(margin: np.ndarray) -> np.ndarray:
    """Cost of each value by the margins of its bits."""
    return np.logaddexp(0, -margin).sum(-1) / math.log(2)


def mixed(steps: list[slice], inputs: list[np.ndarray], learnt: list[np.ndarray]) -> tuple[float, np.ndarray]:
    """Bits a value under a logistic mixture, and its weights [3, 8, inputs] at the end.

    After each step a Newton step, with the curvature of all so far, on the margins `learnt` in place of `inputs`.
    """
    weights = np.eye(1, len(inputs)).reshape(1, 1, -1).repeat(3, 0).repeat(8, 1)
    curvature, total = PRIOR * np.eye(len(inputs)), 0.0
    for step in steps:
        total += bits(sum(w * each[step] for w, each in zip(np.moveaxis(weights, -1, 0), inputs, strict=True))).sum()
        known = np.stack([each[step].reshape(-1, 3, 8) for each in learnt], -1)
        wrong = 1 / (1 + np.exp((known * weights).sum(-1)))
        curvature = curvature + np.einsum("ncb,ncbi,ncbj->cbij", wrong * (1 - wrong), known, known, optimize=True)
        slope = np.einsum("ncb,ncbi->cbi", wrong, known, optimize=True)
        weights = weights + np.linalg.solve(curvature, slope[..., None])[..., 0]
    return total / inputs[0][..., 0].size, weights


def toured(model: Model, name: str, count: int | None) -> tuple[np.ndarray, np.ndarray, list[slice]]:
    """Images uint8 [N, H, W, 3] of a set along a tour, at most `count`, their codes int16 [N, D], and steps."""
    there, used = SETS[name]
    images = sheets(name, "test")[spread(there, min(used, count or used))]
    codes = encode(model, images)
    schedule = Schedule(len(images), choose_lanes(len(images), images[0, ..., 0].size, 3, conditional=True))
    tour = plan_tour(codes, schedule)
    return images[tour], codes[tour], [slice(step.start, step.start + step.size) for step in schedule]


def measure(count: int | None) -> dict[str, dict[str, float]]:
    """Bits a value of both sets, by row of the table."""
    model, found, kept = bundled.find("photo-rgb"), {}, []
    for name in SETS:
        images, codes, steps = toured(model, name, count)
        z = (codes + posterior_offsets(torch.Size(codes.shape)).numpy()).astype(np.int16)
        now, later = of_network(model, images, z), of_network(model, images, codes)
        squares = of_predictions(images, least_squares(images, steps))
        shift = np.where(images[..., None] >> np.arange(7, -1, -1, np.uint8) & 1, np.float32(1), np.float32(-1))
        recalibrated, own = mixed(steps, [now, shift], [later, shift])
        adaptive, weights = mixed(steps, [now, squares], [later, squares])
        kept.append((now, squares, weights))
        linear = [-np.log2((1 - w) * 2.0 ** -bits(now) + w * 2.0 ** -bits(squares)).mean() for w in SHARES]
        found[name] = {
            "the network": bits(now).mean(),
            "the same, given codes in place of latents": bits(later).mean(),
            "recalibrated, fixed for the set itself": bits(own[..., 0] * now + own[..., 1] * shift).mean(),
            "recalibrated, adaptive": recalibrated,
            "least squares alone": bits(squares).mean(),
            "linear mixture, fixed for the set itself": min(linear),
            "logistic mixture, adaptive": adaptive,
            "logistic mixture, adaptive from latents: not decodable": mixed(steps, [now, squares], [now, squares])[0],
        }
    for each, (now, squares, _), (*_, w) in zip(found.values(), kept, reversed(kept), strict=True):
        each["logistic mixture, fixed for the other set"] = bits(w[..., 0] * now + w[..., 1] * squares).mean()
    return {name: {row: float(value) for row, value in each.items()} for name, each in found.items()}


def markdown(results: dict[str, Any]) -> str:
    sets = results["sets"]
    lines = ["# An adaptive last stage", "", "Bits a value of sets of test images under `photo-rgb`, without latents.", ""]
    lines += ["| stage | " + " | ".join(f"{name} |" for name in sets) + " |", "|---" * (1 + 2 * len(sets)) + "|"]
    for row in next(iter(sets.values())):
        of = [f"{each[row]:.4f} | {each[row] / each['the network'] - 1:+.2%}" for each in sets.values()]
        lines.append(f"| {row} | " + " | ".join(of) + " |")
    return "\n".join([*lines, "", *(f"- {key}: {value}" for key, value in results["provenance"].items())]) + "\n"


@click.command()
@click.option("--images", default=None, type=click.IntRange(min=32), help="At most so many images of each set.")
def main(images: int | None) -> None:
    """Measure both sets."""
    results = {"sets": measure(images), "provenance": provenance()}
    if not images:
        write_result(RESULTS / "adaptive_stage", results, markdown(results))
    click.echo(markdown(results))


if __name__ == "__main__":
    main()
