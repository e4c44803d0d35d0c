"""Rebuild every table and figure: python -m benchmarks.paper [--budget 5] [--size ours|paper] [--only STEP]...

The budget is minutes of training for each model of Figure 2, converted to a number of steps once. Trained models and
finished steps are kept, so an interrupted run continues. Needs `mnist/`, `cifar10/` and `imagenet32/` in the folder that
ACNCODEC_DATA names. Writes CSV, PNG and one tables.md to benchmarks/results/paper/, and the tables into docs/PAPER.md;
models and checkpoints go to the folder `runs/paper`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from acncodec import bundled
from acncodec.coding.protocol import encode
from acncodec.planning.schedule import Schedule
from acncodec.planning.tour import DEFAULT_EFFORT, plan_tour
from acncodec.training.data import TrainingSet, split
from benchmarks.data import BINARISE_SEEDS, binarise, mnist, mnist_labels
from benchmarks.directory_sets import cifar10, data_folder, sheets
from benchmarks.paper import context as contexts
from benchmarks.paper import figures, orders, tables
from benchmarks.paper.models import ACN, SIZES, VARIANTS, steps_within, trained
from benchmarks.provenance import provenance

RESULTS = Path(__file__).parent.parent / "results" / "paper"
ROOT = Path(__file__).parent.parent.parent
RUNS = ROOT / "runs" / "paper"
PAGE = ROOT / "docs" / "PAPER.md"
COUNTS = (100, 300, 1000, 3000, 10_000, 30_000, 60_000)
CONTEXT_IMAGES = 20_000


class Run:
    """State shared by the steps; images are read on first use."""

    def __init__(self, minutes: float, size: str, images: int | None, out: Path, steps: int | None) -> None:
        self.minutes, self.size, self.limit, self.out = minutes, size, images, out
        self._data: dict[str, Any] = {}
        self._steps = steps

    @property
    def steps(self) -> int:
        """Of every training; how many are within the minutes is measured when it is first asked for."""
        self._steps = self._steps or steps_within(self.minutes, self.training_set(), self.size)
        return self._steps

    def digits(self, part: Any) -> tuple[np.ndarray, np.ndarray]:
        """1-bit digits uint8 [N, 28, 28, 1] and their labels."""
        if part not in self._data:
            self._data[part] = binarise(mnist(part), BINARISE_SEEDS[part])[..., None], mnist_labels(part)
        images, labels = self._data[part]
        return images[: self.limit], labels[: self.limit]

    def training_set(self) -> TrainingSet:
        return split(list(self.digits("train")[0]))

    def model(self, name: str) -> Any:
        """A variant's model and the ages of its codes."""
        if name not in self._data:
            folder = RUNS if self.out == RESULTS else self.out / "runs"
            self._data[name] = trained(name, self.training_set(), self.steps, self.size, folder, _tell)
        return self._data[name]


def _tell(words: str) -> None:
    click.echo(f"  {words}", err=True)


def costs(run: Run) -> str:
    """Tables 1 and 2, Figure 2: costs of all models."""
    test, _ = run.digits("test")
    rows = []
    for name, variant in VARIANTS.items():
        rows.append(tables.measured(run.model(name)[0], variant, test))
        _tell(f"{name}: {rows[-1]['unordered']:.2f} nats unordered")
    figures.bars(rows, run.out / "costs.png")
    note = f"Nats an image, {len(test):,} test digits; {run.minutes:g} minutes, or {run.steps:,} steps, of training each."
    return tables.write([*rows, tables.paper_row()], run.out / "costs", "Costs of 1-bit digits", note)


def _bundled_sets(run: Run) -> dict[str, Callable[[Any], np.ndarray]]:
    """By bundled model, the images of one part of the data set that it is for."""
    return {
        "mnist-1bit": lambda part: run.digits(part)[0],
        "mnist-8bit": lambda part: mnist(part)[: run.limit, ..., None],
        "photo-rgb": lambda part: cifar10(part)[0][: run.limit],
    }


def bundled_costs(run: Run) -> str:
    """The same of the models that ship, on their own test sets."""
    rows = []
    for name, read in _bundled_sets(run).items():
        rows.append(tables.measured(bundled.find(name), VARIANTS[ACN], read("test")) | {"model": name})
    return tables.write(rows, run.out / "bundled", "Costs under the bundled models", "Nats an image, test sets.")


def together(run: Run) -> str:
    """The same of training and test images in one tour, as in the paper's other tables."""
    rows = []
    for name, read in _bundled_sets(run).items():
        images = np.concatenate([read("train"), read("test")])
        rows.append({**tables.measured(bundled.find(name), VARIANTS[ACN], images), "model": name, "images": len(images)})
        _tell(f"{name}: {rows[-1]['ordered']:.2f} nats ordered")
    note = "Nats an image; the models know all but the test images."
    return tables.write(rows, run.out / "together", "Training and test images in one tour", note)


def classification(run: Run) -> str:
    """Table 3 and section 4.2: digits told by a linear classifier."""
    train, labels = run.digits("train")
    test, truth = run.digits("test")
    train, labels = train[: tables.PROBE_IMAGES], labels[: tables.PROBE_IMAGES]
    features = tables.plain_features(train, test)
    for name, variant in VARIANTS.items():
        if variant.latents:
            features[f"codes of {variant.title}"] = tables.code_features(run.model(name)[0], variant, train, test)
    whole = bundled.find("mnist-1bit")
    features["codes of the bundled mnist-1bit"] = tables.code_features(whole, VARIANTS[ACN], train, test)
    rows = tables.classified(features, labels, truth, (1,))
    rows.append({"features": "codes of the paper's ACN", "top 1": tables.PAPER["codes"]})
    note = f"Share of test digits told by logistic regression on {len(train):,} training digits."
    return tables.write(rows, run.out / "classification", "Linear classification of digits", note)


def colour_classification(run: Run) -> str:
    """Sections 4.2 and 4.3: the same of CIFAR-10 and the stand-in for ImageNet, with the bundled `photo-rgb`."""
    text = ""
    model = bundled.find("photo-rgb")
    folder = data_folder() / "imagenet32"
    small = {part: np.load(folder / f"{part}_labels.npy") for part in ("train", "test")}
    sets = {
        "cifar10": (*cifar10("train"), *cifar10("test")),
        "imagenet32": (sheets("imagenet32", "train"), small["train"], sheets("imagenet32", "test"), small["test"]),
    }
    for name, (train, labels, test, truth) in sets.items():
        most = min(run.limit or tables.PROBE_IMAGES, tables.PROBE_IMAGES, len(labels))
        train, labels, test, truth = train[:most], labels[:most], test[: len(truth)][: run.limit], truth[: run.limit]
        features = tables.plain_features(train, test)
        features["codes of photo-rgb"] = tables.code_features(model, VARIANTS[ACN], train, test)
        rows = tables.classified(features, labels, truth, tables.TOPS)
        note = f"As above, on {len(train):,} training images; {len(np.unique(labels))} classes."
        text += tables.write(rows, run.out / f"classification-{name}", f"Linear classification of {name}", note) + "\n"
    return text


def pictures(run: Run) -> str:
    """Figures 1 and 3 to 14."""
    test, labels = run.digits("test")
    model = bundled.find("mnist-1bit")
    figures.imagined(model, test, run.out, "digits")
    figures.neighbours(model, test, run.out / "digits-neighbours.png")
    same = figures.code_space(model, test, labels, run.out, "digits")
    figures.kl_along(model, test, run.out / "digits-kl.png")
    colour = bundled.find("photo-rgb")
    photographs, kinds = (part[: run.limit] for part in cifar10())
    figures.imagined(colour, photographs, run.out, "photographs")
    figures.neighbours(colour, photographs, run.out / "photographs-neighbours.png")
    same_photographs = figures.code_space(colour, photographs, kinds, run.out, "photographs")
    grey = bundled.find("mnist-8bit")
    figures.imagined(grey, mnist("test")[: run.limit, ..., None], run.out, "grey-digits")
    rows = [{"set": "digits", **same}, {"set": "photographs", **same_photographs}]
    return tables.write(rows, run.out / "tours", "Tours and labels", "Share of images, along the improved tour.")


def algorithm(run: Run) -> str:
    """Algorithm 1: how old stored codes are."""
    rows = []
    for name, variant in VARIANTS.items():
        if variant.latents:
            ages = run.model(name)[1]
            rows.append({"model": variant.title, **{key.replace("codes_", "codes "): v for key, v in ages.items()}})
    note = (
        "Root mean square distances a dimension, in deviations of the posterior: stored codes from fresh ones; fresh ones "
        "from such of another batch, which standardising alone brings about; and codes of different images."
    )
    return tables.write(rows, run.out / "staleness", "How old stored codes are", note)


def order(run: Run) -> str:
    """Savings from order in real files."""
    train, _ = run.digits("train")
    model = bundled.find("mnist-1bit")
    rows = []
    for count in (n for n in COUNTS if n <= len(train)):
        rows.append(orders.file_bits(model, train[:count, ..., 0]))
        _tell(f"{count:,} images: {rows[-1]['along a tour']:.2f} bits along a tour, {rows[-1]['unordered']:.2f} unordered")
    keys = ("unordered", "along a tour", "multiset bound")
    x = [row["images"] for row in rows]
    figures.lines(
        {key: (x, [row[key] for row in rows]) for key in keys}, ("images", "bits an image"), run.out / "order.png", log=True
    )
    note = "Bits an image of whole files, training digits (known to the model: what counts is how the columns differ)."
    text = tables.write(rows, run.out / "order", "What order is worth", note)
    test, _ = run.digits("test")
    found = orders.tours(model, test)
    return text + "\n" + tables.write(found, run.out / "efforts", "KL along tours, by effort", "Nats a test digit.")


def context(run: Run) -> str:
    """A prior given several earlier codes."""
    model = bundled.find("mnist-1bit")
    tours = []
    for part, most in (("train", CONTEXT_IMAGES), ("test", None)):
        codes = encode(model, run.digits(part)[0][:most])
        tours.append(codes[plan_tour(codes, Schedule(len(codes), 1), DEFAULT_EFFORT)])
    rows = [contexts.context_row(name, model.arch, *tours) for name in contexts.contexts(tours[1])]
    note = (
        "What latents of the test digits cost along their tour on a real stack, an image, under priors of integers "
        "that were trained on a tour of training digits; popped again, and the stack was back at its seed."
    )
    return tables.write(rows, run.out / "context", "A prior that knows more of the past", note)


STEPS: dict[str, Callable[[Run], str]] = {
    step.__name__: step
    for step in (costs, bundled_costs, together, classification, colour_classification, pictures, algorithm, order, context)
}
TRAINED = {step.__name__ for step in (costs, classification, algorithm)}  # that compare models trained here


@click.command()
@click.option("--budget", default=5.0, show_default=True, help="Minutes to train each model.")
@click.option("--size", type=click.Choice(sorted(SIZES)), default="ours", show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(STEPS)), help="These steps, anew.")
@click.option("--images", type=click.IntRange(min=200), help="Only so many of each set, to try it.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default="benchmarks/results/paper")
def main(budget: float, size: str, only: tuple[str, ...], images: int | None, out: Path) -> None:
    """Run the steps that are not done yet."""
    out.mkdir(parents=True, exist_ok=True)
    state = out / "state.json"
    settings = {"budget": budget, "size": size, "images": images}
    done = json.loads(state.read_text()) if state.exists() else {}
    if done.get("settings") != settings:
        done = {"settings": settings, "steps": {}}
    run = Run(budget, size, images, out, done.get("training steps"))
    due = [name for name in STEPS if (name in only if only else name not in done["steps"])]
    if TRAINED & set(due):
        done["training steps"] = run.steps  # kept before the first training, which may be cut short
        state.write_text(json.dumps(done, indent=1) + "\n")
    for name in due:
        click.echo(name, err=True)
        done["steps"][name] = {"text": STEPS[name](run), "provenance": provenance()}
        state.write_text(json.dumps(done, indent=1) + "\n")
        (out / "tables.md").write_text(_document(done))
        if out == RESULTS:
            PAGE.write_text(filled(PAGE.read_text(), done))


def _shown(done: dict[str, Any], name: str) -> str:
    """A step's tables, and when and where they were made."""
    of = done["steps"][name]["provenance"]
    return f"{done['steps'][name]['text'].rstrip()}\n\n{of['date']}, commit {of['commit']}, {of['machine']}\n"


def filled(page: str, done: dict[str, Any]) -> str:
    """The page with the tables of all steps between its marks, `<!-- STEP -->` and `<!-- end -->`."""
    for name in done["steps"]:
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        if mark:
            page = before + mark + "\n" + _shown(done, name) + "\n" + "<!-- end -->" + rest.partition("<!-- end -->")[2]
    return page


def _document(done: dict[str, Any]) -> str:
    parts = ["# The paper's tables, made anew", ""]
    parts += [_shown(done, name) for name in STEPS if name in done["steps"]]
    parts += [f"`python -m benchmarks.paper --budget {done['settings']['budget']:g} --size {done['settings']['size']}`", ""]
    return "\n".join(parts)


if __name__ == "__main__":
    main()
