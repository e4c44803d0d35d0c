"""Theoretical bits, in float64 and independent of the integer tables, agree with what the coder spends."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from conftest import KINDS, random_pixels, smooth_pixels, tiny_model
from scipy import stats

from acncodec.coding.protocol import GroupTask, alice, encode
from acncodec.coding.stack import Stack
from acncodec.coding.theory import LEAST_PROBABILITY, kl_bits, residual_bits, unconditional_kl_bits, value_bits
from acncodec.exact.grids import LATENT_BITS, LATENT_MAX, OFFSET_MAX, WIDTH_BITS, WIDTH_MIN
from acncodec.exact.tables import posterior_table
from acncodec.nets.heads import Logistics, Softmax
from acncodec.nets.model import UnconditionalPrior
from acncodec.nets.prior import Mixture
from acncodec.planning.schedule import Schedule

STEP = 2.0**-LATENT_BITS
UNIT_ROW = -WIDTH_MIN  # sigma = 1
DIMENSIONS = 5


def posterior() -> tuple[np.ndarray, np.ndarray]:
    """Offsets and their probabilities under the posterior, by scipy."""
    offsets = np.arange(-OFFSET_MAX, OFFSET_MAX + 1)
    q = stats.norm.pdf(offsets * STEP)
    return offsets, q / q.sum()


def sigma_of(rows: Sequence[int] | np.ndarray) -> np.ndarray:
    return 2.0 ** ((np.asarray(rows, dtype=float) + WIDTH_MIN) / 2**WIDTH_BITS)


def expected_kl(codes: np.ndarray, logits: np.ndarray, means: np.ndarray, rows: np.ndarray) -> float:
    """KL of each dimension summed, bits, by scipy: mixtures [D, M] in steps and table rows, logits in nats."""
    offsets, q = posterior()
    total = 0.0
    for d, code in enumerate(codes):
        z = (code + offsets)[:, None] * STEP
        weights = np.exp(logits[d]) / np.exp(logits[d]).sum()
        p = (weights * stats.norm.pdf(z, np.asarray(means[d]) * STEP, sigma_of(rows[d]))).sum(1) * STEP
        total += (q * np.log2(q / p)).sum()
    return total


def single(means: Sequence[int] | np.ndarray, rows: Sequence[int] | np.ndarray) -> Mixture:
    """Mixtures of one Gaussian: means [D] and table rows [D] -> one mixture [1, D, 1]."""
    shaped = [torch.tensor(np.asarray(v)).view(1, -1, 1).float() for v in (np.zeros(len(means)), means, rows)]
    return Mixture(*shaped)


@pytest.mark.parametrize("seed", range(5))
def test_kl_of_one_gaussian_is_scipys(seed: int) -> None:
    random = np.random.default_rng(seed)
    codes, means = random.integers(-64, 65, DIMENSIONS), random.integers(-LATENT_MAX, LATENT_MAX + 1, DIMENSIONS)
    rows = random.integers(0, 32, DIMENSIONS)
    found = float(kl_bits(torch.tensor(codes)[None], single(means, rows)))
    expected = expected_kl(codes, np.zeros((DIMENSIONS, 1)), means[:, None], rows[:, None])
    assert found == pytest.approx(expected, rel=1e-9)
    # And near the closed form for Gaussians that are neither cut nor on a grid.
    sigma, distance = sigma_of(rows), (codes - means) * STEP
    closed = (np.log(sigma) + (1 + distance**2) / (2 * sigma**2) - 0.5).sum() / math.log(2)
    assert found == pytest.approx(closed, rel=2e-3)


@pytest.mark.parametrize("seed", range(3))
def test_kl_of_a_mixture_is_scipys(seed: int) -> None:
    random = np.random.default_rng(seed)
    codes = random.integers(-64, 65, DIMENSIONS)
    shape = (DIMENSIONS, 3)
    logits, means, rows = (random.integers(a, b, shape) for a, b in ((-64, 65), (-80, 81), (0, 32)))
    mixture = Mixture(*(torch.tensor(v)[None].float() for v in (logits, means, rows)))
    found = float(kl_bits(torch.tensor(codes)[None], mixture))
    assert found == pytest.approx(expected_kl(codes, logits / 32, means, rows), rel=1e-9)


def test_kl_is_zero_if_prior_and_posterior_are_equal() -> None:
    codes = torch.tensor([[-64, -3, 0, 17, 64]])
    kl = float(kl_bits(codes, single(codes[0].numpy(), [UNIT_ROW] * DIMENSIONS)))
    assert 0 <= kl < 1e-4  # not quite 0: the posterior is cut at 4.5 deviations, the prior is not


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 200])
def test_kl_of_a_batch_is_that_of_each(count: int) -> None:
    random = np.random.default_rng(count)
    codes = torch.from_numpy(random.integers(-64, 65, (count, DIMENSIONS)))
    shape = (count, DIMENSIONS, 2)
    mixture = Mixture(*(torch.from_numpy(random.integers(a, b, shape)).float() for a, b in ((-9, 9), (-80, 81), (0, 32))))
    found = kl_bits(codes, mixture)
    each = [float(kl_bits(codes[i : i + 1], Mixture(*(part[i : i + 1] for part in mixture)))) for i in range(count)]
    assert found.shape == (count,)
    assert found.tolist() == pytest.approx(each, rel=1e-12)


def test_unconditional_estimate_is_right_on_average() -> None:
    """With one component p(z) is a Gaussian, for which the KL is known."""
    random = np.random.default_rng(0)
    means, rows = np.array([3, -20, 31]), np.array([10, 20, 25])
    codes = np.array([5, -30, 10])
    prior = UnconditionalPrior(
        torch.tensor([777], dtype=torch.int32),
        torch.tensor(means[None], dtype=torch.int16),
        torch.tensor(rows[None], dtype=torch.uint8),
    )
    offsets, q = posterior()
    n = 20_000
    z = codes + random.choice(offsets, (n, 3), p=q)
    estimates = unconditional_kl_bits(torch.tensor(np.tile(codes, (n, 1))), torch.tensor(z), prior).numpy()
    truth = float(kl_bits(torch.tensor(codes)[None], single(means, rows)))
    assert abs(estimates.mean() - truth) < 4 * estimates.std() / math.sqrt(n)


def test_posterior_table_is_the_posterior() -> None:
    table = posterior_table()
    assert np.abs(table / table.sum() - posterior()[1]).max() < 1e-6


@pytest.mark.parametrize("levels", [2, 256])
def test_residual_of_known_logits(levels: int) -> None:
    """Equal logits cost log2(levels) a pixel; 32 steps of logit are a factor of e."""
    pixels = torch.zeros((1, 2, 3, 1), dtype=torch.uint8)
    logits = torch.zeros((1, 2, 3, levels))
    assert float(residual_bits([Softmax(logits)], pixels)) == pytest.approx(6 * math.log2(levels))
    logits[..., 0] = 32
    found = float(residual_bits([Softmax(logits)], pixels))
    assert found == pytest.approx(6 * math.log2((math.e + levels - 1) / math.e))


def one_logistic(mean: float, scale: float, count: int) -> Logistics:
    """A mixture of one logistic, `mean` and `scale` in levels, for each of `count` values."""
    parts = 0.0, 4 * mean, round(32 * math.log2(scale))
    return Logistics(*(torch.full((count, 1), float(part)) for part in parts))


@pytest.mark.parametrize(("mean", "scale"), [(100, 8), (0.25, 1), (255, 2), (-50, 32), (300, 64), (17.5, 1 / 16)])
def test_value_of_a_logistic_is_scipys(mean: float, scale: float) -> None:
    edges = np.array([-np.inf, *np.arange(1, 256) - 0.5, np.inf])
    below, above = stats.logistic.cdf(edges, mean, scale), stats.logistic.sf(edges, mean, scale)
    p = np.where(edges[:-1] < mean, np.diff(below), -np.diff(above))  # whichever tail does not cancel
    values = torch.arange(256, dtype=torch.uint8)
    found = value_bits(one_logistic(mean, scale, 256), values).numpy()
    assert found == pytest.approx(-np.log2(p + LEAST_PROBABILITY), rel=1e-7, abs=1e-6)


def test_residual_of_a_mixture_of_logistics() -> None:
    """32 steps of logit are a factor of e, here too; colours add up."""
    parts = torch.tensor([[0.0, 32.0], [4 * 100.0, 4 * 200.0], [96.0, 96.0]])
    mixture = Logistics(*(part.expand(2, 1, 1, 2) for part in parts))
    share = math.e / (1 + math.e)
    at_mean = [1 - 2 * stats.logistic.cdf(-0.5 / 8), stats.logistic.cdf(100.5 / 8) - stats.logistic.cdf(99.5 / 8)]
    p = (1 - share) * at_mean[1] + share * at_mean[0] + LEAST_PROBABILITY
    pixels = torch.full((2, 1, 1, 3), 200, dtype=torch.uint8)
    assert residual_bits([mixture] * 3, pixels).tolist() == pytest.approx([-3 * math.log2(p)] * 2)


@pytest.mark.parametrize(("levels", "colours"), KINDS)
@pytest.mark.parametrize("conditional", [True, False])
def test_the_coder_spends_the_theoretical_bits(levels: int, colours: int, conditional: bool) -> None:
    model = tiny_model(levels, calm=True, colours=colours)
    pixels = random_pixels(1, 64, 6, 5, levels) if colours == 1 else smooth_pixels(1, 64, 6, 5)
    stack = Stack.seeded(300)
    tally = alice(
        stack, pixels, encode(model, pixels), GroupTask(model, Schedule(64, 4), 6, 5, conditional, lambda n: None)
    )
    assert tally.residual == pytest.approx(tally.residual_theory, rel=0.003, abs=2)
    assert stack.bits - Stack.seeded(300).bits == pytest.approx(tally.residual + tally.prior - tally.posterior, abs=1e-6)
    # Theory does not truncate the prior to the latents' range, the coder does: a few percent less with these wide priors.
    assert tally.prior - tally.posterior == pytest.approx(tally.latent_theory, rel=0.06)


def test_colours_of_smooth_images_cost_their_noise() -> None:
    """Slopes with little noise take the bits of the noise, not those of the values."""
    model, pixels = tiny_model(256, calm=True, colours=3), smooth_pixels(2, 16, 8, 8)
    z = torch.zeros(16, model.arch.code)
    bits = residual_bits(model.networks.distributions(torch.from_numpy(pixels), z), torch.from_numpy(pixels))
    assert float(bits.mean()) / pixels[0].size < 7
