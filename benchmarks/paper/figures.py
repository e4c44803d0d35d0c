"""The paper's figures: bars, sheets of images, and maps of code space."""

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from acncodec.analysis.costs import NATS
from acncodec.analysis.samples import Dice, daydream, reconstruct, sample
from acncodec.analysis.sheets import sheet
from acncodec.coding.protocol import encode
from acncodec.coding.theory import kl_bits
from acncodec.nets.model import Model
from acncodec.planning.neighbours import nearest
from acncodec.planning.schedule import Schedule
from acncodec.planning.tour import DEFAULT_EFFORT, plan_tour

SHEET_IMAGES = 100
COOL = 0.7  # the other temperature of samples
DREAMS, DREAM_STEPS = 12, 19
QUERIES, LISTED = 10, 9  # of Figure 14
TOUR_SHEET = 400
DPI = 120


def plots() -> Any:
    """Matplotlib, drawing to files."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def bars(rows: list[dict[str, Any]], path: Path) -> None:
    """Figure 2: residual and KL of every model, nats an image, ordered and not."""
    pyplot = plots()
    figure, axis = pyplot.subplots(figsize=(9, 5.5), layout="constrained")
    names: list[str] = []
    places: list[float] = []
    place = 0.0
    for row in rows:
        for how in ("unordered", "ordered"):
            if row.get(how) is None:
                continue
            place += 0.8 if how == "ordered" else 1.2
            axis.bar(place, row["residual"], 0.7, color="#35618f", label=None if names else "residual")
            axis.bar(place, row[how] - row["residual"], 0.7, bottom=row["residual"], color="#e0953c")
            axis.text(place, row[how] + 0.3, f"{row[how]:.1f}", ha="center", fontsize=8)
            names.append(row["model"] + ("\nordered" if how == "ordered" else ""))
            places.append(place)
    axis.bar(places[0], 0, color="#e0953c", label="KL")
    axis.set_xticks(places, names, rotation=40, ha="right", fontsize=8)
    least = min(row["residual"] for row in rows)
    axis.set_ylim(bottom=0.85 * least, top=1.08 * max(row["unordered"] for row in rows))
    axis.set_ylabel("nats an image (the axis does not start at 0)")
    axis.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=DPI)
    pyplot.close(figure)


def imagined(model: Model, images: np.ndarray, folder: Path, name: str) -> None:
    """Figures 4 to 13: real images, samples at two temperatures, reconstructions from codes, and daydreams (Figure 1)."""
    _, height, width, _ = images.shape
    levels = model.arch.levels
    sheet(images[:SHEET_IMAGES], levels).save(folder / f"{name}-real.png")
    for suffix, temperature in (("", 1.0), ("-cool", COOL)):
        drawn = sample(model, SHEET_IMAGES, height, width, Dice(0, temperature))
        sheet(drawn, levels).save(folder / f"{name}-samples{suffix}.png")
    kept = images[: SHEET_IMAGES // 2]
    pairs = np.stack([kept, reconstruct(model, kept, Dice(1))], 1).reshape(-1, *images.shape[1:])
    sheet(pairs, levels, columns=10).save(folder / f"{name}-reconstructions.png")
    first = images[:DREAMS]
    dream = [first, *islice(daydream(model, first, Dice(2)), DREAM_STEPS)]
    rows = np.stack(dream, 1).reshape(-1, *images.shape[1:])
    sheet(rows, levels, columns=len(dream)).save(folder / f"{name}-daydreams.png")


def neighbours(model: Model, images: np.ndarray, path: Path) -> None:
    """Figure 14: an image, the nearest others in code space, and below those in pixel space."""
    codes = encode(model, images)
    pixels = images.reshape(len(images), -1).astype(np.float32)
    rows = []
    for query in range(QUERIES):
        by_code = nearest(codes[query : query + 1], codes, LISTED + 1)[1][0]
        by_pixel = np.argsort(np.square(pixels - pixels[query]).sum(1), kind="stable")[: LISTED + 1]
        for found in (by_code, by_pixel):
            others = [i for i in found if i != query][:LISTED]
            rows.append(images[[query, *others]])
    sheet(np.concatenate(rows), model.arch.levels, columns=LISTED + 1).save(path)


def code_space(model: Model, images: np.ndarray, labels: np.ndarray, folder: Path, name: str) -> dict[str, float]:
    """Figure 3 and more: codes on their first two principal axes, the tour over them, along it the KL, and its images."""
    pyplot = plots()
    codes = encode(model, images)
    pca = PCA(2, random_state=0).fit(codes)
    plane = pca.transform(codes)
    figure, axis = pyplot.subplots(figsize=(6.5, 6), layout="constrained")
    for label in np.unique(labels):
        axis.scatter(*plane[labels == label].T, s=3, color=pyplot.get_cmap("tab10")(int(label) % 10), label=str(label))
    axis.legend(markerscale=4, frameon=False, ncols=2, fontsize=8)
    axis.set_xlabel(f"first component, {pca.explained_variance_ratio_[0]:.0%} of the variance")
    axis.set_ylabel(f"second component, {pca.explained_variance_ratio_[1]:.0%}")
    figure.savefig(folder / f"{name}-codes.png", dpi=DPI)
    pyplot.close(figure)

    tour = plan_tour(codes, Schedule(len(codes), 1), DEFAULT_EFFORT)
    figure, axis = pyplot.subplots(figsize=(6.5, 6), layout="constrained")
    part = plane[tour[: min(len(tour), 1500)]]
    axis.plot(*part.T, linewidth=0.4, color="grey")
    axis.scatter(*part.T, s=4, c=np.arange(len(part)), cmap="viridis")
    axis.set_title(f"the first {len(part):,} images of the tour, from dark to bright", fontsize=10)
    figure.savefig(folder / f"{name}-tour.png", dpi=DPI)
    pyplot.close(figure)
    shown = tour[:TOUR_SHEET]
    sheet(images[shown], model.arch.levels, columns=25).save(folder / f"{name}-tour-images.png")
    same = float((labels[tour[1:]] == labels[tour[:-1]]).mean())
    return {"same label as the one before on the tour": same}


def lines(series: dict[str, tuple[list[float], list[float]]], labels: tuple[str, str], path: Path, log: bool) -> None:
    """Some curves in one figure."""
    pyplot = plots()
    figure, axis = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    for name, (x, y) in series.items():
        axis.plot(x, y, marker="o", markersize=3, label=name)
    if log:
        axis.set_xscale("log")
    axis.set_xlabel(labels[0])
    axis.set_ylabel(labels[1])
    axis.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=DPI)
    pyplot.close(figure)


def kl_along(model: Model, images: np.ndarray, path: Path) -> None:
    """KL from one image to the next along the greedy and the improved tour, running means, nats."""
    codes = encode(model, images)
    series: dict[str, tuple[list[float], list[float]]] = {}
    for title, effort in (("greedy tour", 1), ("improved tour", DEFAULT_EFFORT)):
        tour = plan_tour(codes, Schedule(len(codes), 1), effort)
        child, parent = (model.networks.tensor(codes[index]) for index in (tour[1:], tour[:-1]))
        each = kl_bits(child, model.networks.mixture(parent)).numpy() * NATS
        window = max(1, len(each) // 60)
        means = np.convolve(each, np.full(window, 1 / window), "valid")[::window]
        series[title] = ((np.arange(len(means)) * float(window)).tolist(), means.tolist())
    lines(series, ("images sent", "KL, nats an image"), path, log=False)
