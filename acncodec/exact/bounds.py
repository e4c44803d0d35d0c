"""The bound under which float32 matrix products of integers are exact in any order of summation."""

import torch

from acncodec.errors import BoundError

# float32 holds every integer of magnitude up to 2^24; below that no partial sum is ever rounded.
EXACT_LIMIT = 1 << 24


def worst_sums(weight: torch.Tensor, bias: torch.Tensor, row_bounds: torch.Tensor) -> torch.Tensor:
    """Largest |partial sum| that each output of a linear map can reach: float64 [out].

    `weight` [in, out], `bias` [out], `row_bounds` [in]: the largest |activation| of every input.
    """
    return row_bounds.double() @ weight.double().abs() + bias.double().abs()


def check_bound(name: str, weight: torch.Tensor, bias: torch.Tensor, row_bounds: torch.Tensor) -> None:
    """Raise BoundError unless max|activation| * sum|weights| + |bias| < 2^24 for every output of the map."""
    for part in (weight, bias):
        if not bool(torch.isfinite(part).all()) or not torch.equal(part, part.round()):
            raise BoundError(f"the linear map '{name}' has weights that are not integers; export the model again")
    worst = float(worst_sums(weight, bias, row_bounds).max())
    if worst >= EXACT_LIMIT:
        raise BoundError(
            f"the linear map '{name}' can reach {worst:.0f}, beyond the exact range of float32 (2^24); "
            "such a model cannot be used for coding"
        )
