"""Export of a training to a model file: integer weights, the unconditional prior by EM, and a training record."""

import numpy as np
import torch
from torch import Tensor

from acncodec.exact.grids import LATENT_BITS
from acncodec.nets.model import UnconditionalPrior, dump_model, quantise_prior
from acncodec.nets.networks import Networks
from acncodec.training.data import batch_length
from acncodec.training.objective import sample_offsets
from acncodec.training.trainer import Trainer

COMPONENTS = (2, 8, 32, 128)  # numbers to try; the best on held-out codes is used
FIT_IMAGES = 20_000  # posterior samples to fit on; more change the mixture little


def export(trainer: Trainer, networks: Networks, name: str, record: dict[str, object]) -> bytes:
    """The plain model file's bytes for exact networks of a training."""
    record = {
        "images": trainer.data.count,
        "steps": trainer.step,
        "batch": trainer.batch,
        "epochs": round(trainer.epoch + trainer.position / len(trainer.data.batches(trainer.batch, torch.Generator())), 2),
        "minutes": round(trainer.seconds / 60, 1),
        **record,
    }
    return dump_model(name, networks, fit_unconditional(networks, trainer), record)


def fit_unconditional(networks: Networks, trainer: Trainer) -> UnconditionalPrior:
    """p(z): a mixture of diagonal Gaussians fitted by EM to posterior samples (ACN, section 3.1)."""
    from sklearn.mixture import GaussianMixture  # takes a second to import

    generator = torch.Generator().manual_seed(0)
    train = _samples(networks, trainer.data.train, generator)
    held_out = _samples(networks, trainer.data.held_out, generator)
    best, best_score = None, -np.inf
    for components in COMPONENTS:
        if best is not None and components * 10 > len(train):
            break
        mixture = GaussianMixture(components, covariance_type="diag", reg_covar=1e-3, max_iter=50, random_state=0)
        score = mixture.fit(train).score(held_out)
        if score > best_score:
            best, best_score = mixture, score
    assert best is not None  # the first number of components is always tried
    return quantise_prior(best.weights_, best.means_, np.sqrt(best.covariances_))


def _samples(networks: Networks, groups: list[Tensor], generator: torch.Generator) -> np.ndarray:
    """One posterior sample an image, float64 [N, code], in units of the posterior's deviation."""
    parts = []
    for group in groups:
        for batch in group[:FIT_IMAGES].split(batch_length(group)):
            codes = networks.encode(batch)
            parts.append((codes + sample_offsets(codes, generator)) * 2.0**-LATENT_BITS)
    return torch.cat(parts).double().numpy()
