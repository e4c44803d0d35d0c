"""Profile of one stage, by Python's cProfile.

    python -m benchmarks.profile encode|decode|plan|price|train [--model mnist-8bit] [--images 2000] [--sort tottime]

Test images of MNIST or CIFAR-10 go through the stage once to warm up and once under cProfile, whose table is printed. What
the compiled kernel and PyTorch do within one call is one line there; `perf record` sees inside.
"""

import cProfile
import pstats
from collections.abc import Callable

import click
import numpy as np

from acncodec import bundled
from acncodec.coding.protocol import GroupTask, alice, bob, encode
from acncodec.coding.stack import Stack
from acncodec.packing.model_choice import plane_bits
from acncodec.planning.schedule import Schedule, choose_lanes
from acncodec.planning.tour import plan_tour
from acncodec.training.data import split
from acncodec.training.trainer import Budget, Trainer
from benchmarks.speed import MODELS, QUICK, images_of

STAGES = ("encode", "decode", "plan", "price", "train")
TRAINING_STEPS = 30


def prepare(stage: str, name: str, count: int) -> Callable[[], object]:
    """What to profile."""
    model, images = bundled.find(name), images_of(name, count)
    n, height, width, colours = images.shape
    if stage == "price":
        return lambda: plane_bits(model, images, 0)
    if stage == "train":
        trainer = Trainer(model.arch, split(list(images)), Budget(steps=2 * TRAINING_STEPS))
        ticks = trainer.run(lambda report: None, every=0.0)
        return lambda: [next(ticks) for _ in range(TRAINING_STEPS - 1)]
    codes = encode(model, images)
    schedule = Schedule(n, choose_lanes(n, height * width, colours, conditional=True))
    if stage == "plan":
        return lambda: plan_tour(codes, schedule)
    order = plan_tour(codes, schedule)
    task = GroupTask(model, schedule, height, width, True, lambda done: None)
    seed = 64 + schedule.lanes * model.arch.code

    def encoding() -> np.ndarray:
        stack = Stack.seeded(seed)
        alice(stack, images[order], codes[order], task)
        return stack.finish(seed)[0]

    if stage == "encode":
        return encoding
    stack = Stack.seeded(seed)
    alice(stack, images[order], codes[order], task)
    words, _ = stack.finish(seed)
    return lambda: bob(Stack(words, seal=False), task)


@click.command()
@click.argument("stage", type=click.Choice(STAGES))
@click.option("--model", "name", default=QUICK, show_default=True, type=click.Choice(list(MODELS)))
@click.option("--images", default=2000, show_default=True, type=click.IntRange(min=64))
@click.option("--sort", default="tottime", show_default=True, type=click.Choice(["tottime", "cumtime"]))
@click.option("--lines", default=25, show_default=True)
def main(stage: str, name: str, images: int, sort: str, lines: int) -> None:
    """Print the profile of STAGE."""
    work = prepare(stage, name, images)
    work()
    profiler = cProfile.Profile()
    profiler.runcall(work)
    pstats.Stats(profiler).sort_stats(sort).print_stats(lines)


if __name__ == "__main__":
    main()
