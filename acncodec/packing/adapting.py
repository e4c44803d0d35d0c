"""Fine-tuning of models to the images being compressed (--adapt), used if it makes the archive smaller, models included."""

from collections.abc import Callable

from acncodec.nets.model import Model
from acncodec.packing.method_choice import Choice, MethodChoice
from acncodec.progress import Advance, Progress
from acncodec.training.adapt import Adapted, adapt
from acncodec.training.trainer import Report

SAMPLES = 1 << 28  # to train on, at most
SECONDS = 60
LEAST_SHARE = 0.1  # of all samples, below which a model is not adapted


def choose_adapted(
    methods: MethodChoice, models: list[Model], minutes: float, progress: Progress
) -> tuple[list[Choice], list[Model], dict[bytes, bytes]]:
    """`MethodChoice.choose`, also with models adapted for `minutes`; the smaller result, counting these models' bytes.

    Returns the choices, the models that their classes index, and the adapted ones packed, by sha256.
    """
    choices, bits = methods.choose(models, progress("price", methods.count))
    adapted = _adapt(methods, models, minutes, progress)
    if not adapted:
        return choices, models, {}
    more = [*models, *(each.model for each in adapted)]
    again, bits_again = methods.choose(more, progress("price again", methods.count))
    used = {plane.model for choice in again for plane in choice.content_class.planes}
    packed = {each.model.sha256: each.packed for i, each in enumerate(adapted, len(models)) if i in used}
    if bits_again + 8 * sum(map(len, packed.values())) >= bits:
        return choices, models, {}
    return again, more, packed


def _adapt(methods: MethodChoice, models: list[Model], minutes: float, progress: Progress) -> list[Adapted]:
    """Adapt each model that would code at least LEAST_SHARE of the samples; time is shared in proportion."""
    elements = methods.elements_by_model(models, SAMPLES)
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
    """A training callback that calls `advance` with the seconds passed."""
    told = 0

    def report(report: Report) -> None:
        nonlocal told
        advance(round(report.progress * seconds) - told)
        told = round(report.progress * seconds)

    return report
