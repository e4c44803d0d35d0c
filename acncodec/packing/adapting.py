"""Models fine-tuned to the directory that is being compressed, and sent with it: where that pays for itself."""

from collections.abc import Callable

from acncodec.nets.model import Model
from acncodec.packing.pricing import Choice, Pricing
from acncodec.progress import Advance, Progress
from acncodec.training.adapt import Adapted, adapt
from acncodec.training.trainer import Report

SAMPLES = 1 << 28  # of all pictures that are trained on
SECONDS = 60
LEAST_SHARE = 0.1  # of all samples, below which a model is left as it is


def choose_adapted(
    pricing: Pricing, models: list[Model], minutes: float, progress: Progress
) -> tuple[list[Choice], list[Model], dict[bytes, bytes]]:
    """As `Pricing.choose`, and with models adapted in so many minutes if that is smaller, with what
    is sent of them.

    Returns the choices, the models that they mean, and the adapted ones packed, by sha256.
    """
    choices, bits = pricing.choose(models, progress("price", pricing.count))
    adapted = _adapt(pricing, models, minutes, progress)
    if not adapted:
        return choices, models, {}
    more = [*models, *(each.model for each in adapted)]
    again, bits_again = pricing.choose(more, progress("price again", pricing.count))
    used = {plane.model for choice in again for plane in choice.content_class.planes}
    packed = {each.model.sha256: each.packed for i, each in enumerate(adapted, len(models)) if i in used}
    if bits_again + 8 * sum(map(len, packed.values())) >= bits:
        return choices, models, {}
    return again, more, packed


def _adapt(pricing: Pricing, models: list[Model], minutes: float, progress: Progress) -> list[Adapted]:
    """Each model that would code much of the contents, adapted to that; the time goes by the samples."""
    elements = pricing.elements_by_model(models, SAMPLES)
    sizes = {model: sum(group.size for group in groups) for model, groups in elements.items()}
    large = {model: size for model, size in sizes.items() if size >= LEAST_SHARE * sum(sizes.values())}
    found = []
    for model, size in large.items():
        seconds = SECONDS * minutes * size / sum(large.values())
        advance = progress("adapt", round(seconds))
        adapted = adapt(models[model], elements[model], seconds / SECONDS, _reporter(advance, seconds))
        found += [adapted] if adapted else []
    return found


def _reporter(advance: Advance, seconds: float) -> Callable[[Report], None]:
    """What tells `advance` of the seconds that have gone by."""
    told = 0

    def report(report: Report) -> None:
        nonlocal told
        advance(round(report.progress * seconds) - told)
        told = round(report.progress * seconds)

    return report
