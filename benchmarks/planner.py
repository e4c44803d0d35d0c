"""Cost and quality of planning: seconds, memory, squared step and KL, for the greedy tour and for every effort.

    python -m benchmarks.planner [--data FOLDER] [--largest 1000000]

Codes are those that the bundled model mnist-1bit gives to MNIST, and synthetic ones: 200 clusters in D dimensions, each a
Gaussian of 8 directions of its own (deviation 6) and noise in all (deviation 2) around a centre (deviation 14), rounded to
the latent grid and clamped; seed 0. Every case runs in a process of its own. Writes planner.md, .json and .png to
benchmarks/results/.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import faiss
import numpy as np
import torch

from acncodec import bundled
from acncodec.coding.protocol import encode
from acncodec.coding.theory import kl_bits
from acncodec.exact.grids import CODE_MAX
from acncodec.planning.greedy import greedy_tour
from acncodec.planning.neighbours import nearest
from acncodec.planning.schedule import Schedule
from acncodec.planning.tour import plan_tour, tour_cost
from benchmarks.data import BINARISE_SEEDS, Split, binarise, mnist
from benchmarks.provenance import provenance, write_result

RESULTS = Path(__file__).parent / "results"
MODEL = "mnist-1bit"
GREEDY = 0  # in the place of an effort: the exact greedy tour, whatever the number of codes
CASES: list[tuple[str, int, list[int]]] = [  # codes, lanes, efforts
    ("mnist-100", 1, [GREEDY, 2, 5, 9]),
    ("mnist-1000", 8, [GREEDY, 2, 5, 7]),
    ("mnist-10000", 1, [GREEDY, 2, 3, 4, 5, 6, 7, 8]),
    ("mnist-10000", 64, [GREEDY, 2, 3, 4, 5, 6, 7, 8]),
    ("mnist-60000", 64, [GREEDY, 2, 5, 6]),
    ("synthetic-100-16", 1, [GREEDY, 5]),
    ("synthetic-1000-16", 8, [GREEDY, 5]),
    ("synthetic-10000-16", 64, [GREEDY, 2, 5]),
    ("synthetic-60000-16", 64, [GREEDY, 2, 5]),
    ("synthetic-60000-128", 64, [GREEDY, 2, 5]),
    ("synthetic-200000-16", 512, [2, 5]),
    ("synthetic-1000000-16", 512, [2, 5]),
]
LANES = {"mnist-10000": [1, 16, 64, 128, 256, 512], "mnist-60000": [1, 16, 64, 128, 256, 512]}
PAIRS = 5000  # of which KL and squared distance are compared
NEAR = 40  # a pair is a code and one of so many nearest


def synthetic(count: int, dimensions: int) -> np.ndarray:
    """Clustered codes int16 [count, dimensions], as the module describes them."""
    random = np.random.RandomState(0)
    clusters, directions = 200, 8
    centres = 14 * random.standard_normal((clusters, dimensions))
    spans = random.standard_normal((clusters, directions, dimensions)) * 6 / np.sqrt(directions)
    owner = random.randint(clusters, size=count)
    codes = np.empty((count, dimensions), np.int16)
    for cluster in range(clusters):
        rows = np.flatnonzero(owner == cluster)
        inner = random.standard_normal((len(rows), directions)) @ spans[cluster]
        noise = 2 * random.standard_normal((len(rows), dimensions))
        codes[rows] = np.clip(np.rint(centres[cluster] + inner + noise), -CODE_MAX, CODE_MAX)
    return codes


def mnist_codes(count: int, data: str | None) -> np.ndarray:
    """Codes int16 [count, D] of the first test images, or of training images where there are not so many."""
    split: Split = "test" if count <= 10_000 else "train"
    images = binarise(mnist(split, data), BINARISE_SEEDS[split])[:count]
    return encode(bundled.find(MODEL), images[..., None])


def make_codes(name: str, data: str | None) -> np.ndarray:
    """The codes that a case names: mnist-N or synthetic-N-D."""
    kind, *sizes = name.split("-")
    return mnist_codes(int(sizes[0]), data) if kind == "mnist" else synthetic(int(sizes[0]), int(sizes[1]))


def kl_of(codes: np.ndarray, parents: np.ndarray, children: np.ndarray) -> np.ndarray:
    """Bits of children given parents, both indices [M]: float64 [M]."""
    parts = []
    for start in range(0, len(parents), 1024):
        mixture = bundled.find(MODEL).networks.mixture(torch.from_numpy(codes[parents[start : start + 1024]]).float())
        parts.append(kl_bits(torch.from_numpy(codes[children[start : start + 1024]]), mixture).numpy())
    return np.concatenate(parts)


def kl_along(codes: np.ndarray, order: np.ndarray, schedule: Schedule) -> float:
    """Mean bits of a child given its parent."""
    parents = np.concatenate([step.parents for step in schedule])[1:]
    return float(kl_of(codes, order[parents], order[1:]).mean())


def follows(codes: np.ndarray) -> dict[str, Any]:
    """How KL follows squared distance, over PAIRS pairs of near codes: correlations and means by tenths."""
    random = np.random.RandomState(0)
    distances, found = nearest(codes, codes, NEAR + 1)
    parents, ranks = random.randint(len(codes), size=PAIRS), random.randint(1, NEAR + 1, size=PAIRS)
    squares, children = distances[parents, ranks], found[parents, ranks]
    there, back = kl_of(codes, parents, children), kl_of(codes, children, parents)
    tenths = np.array_split(np.argsort(squares, kind="stable"), 10)
    return {
        "pairs": PAIRS,
        "correlation": float(np.corrcoef(squares, there)[0, 1]),
        "correlation_with_reverse": float(np.corrcoef(there, back)[0, 1]),
        "tenths": [(float(squares[t].mean()), float(there[t].mean()), float(there[t].std())) for t in tenths],
    }


def measure(path: str, lanes: int, effort: int, threads: int) -> dict[str, float]:
    """Seconds, peak memory in MB, the same before planning, and squared step of one tour; it is kept beside `path`."""
    faiss.omp_set_num_threads(threads)
    codes = np.load(path)
    schedule = Schedule(len(codes), lanes)
    before = peak_memory()
    start = time.perf_counter()
    order = greedy_tour(codes, schedule) if effort == GREEDY else plan_tour(codes, schedule, effort)
    seconds = time.perf_counter() - start
    np.save(Path(path).with_suffix(".order.npy"), order)
    held = peak_memory()
    return {"seconds": seconds, "MB": held, "MB_before": before, "step": tour_cost(codes, order, schedule)}


def peak_memory() -> float:
    """Most memory that this process has held, in MB. (What getrusage says is the parent's where that held more.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def run(name: str, codes: np.ndarray, lanes: int, effort: int, folder: Path, threads: int) -> dict[str, Any]:
    """One case in a process of its own."""
    path = folder / "codes.npy"
    np.save(path, codes)
    command = [sys.executable, "-m", "benchmarks.planner", "--case", str(path), str(lanes), str(effort)]
    done = subprocess.run([*command, "--threads", str(threads)], capture_output=True, text=True, check=True)
    row: dict[str, Any] = {"codes": name, "count": len(codes), "dimensions": codes.shape[1]}
    row |= {"lanes": lanes, "effort": "greedy" if effort == GREEDY else effort, **json.loads(done.stdout)}
    if name.startswith("mnist"):
        row["kl"] = kl_along(codes, np.load(path.with_suffix(".order.npy")), Schedule(len(codes), lanes))
    click.echo(json.dumps(row), err=True)
    return row


def table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| codes | D | lanes | effort | seconds | peak MB | mean squared step | KL, bits |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        kl = f"{row['kl']:.3f}" if "kl" in row else ""
        cells = [row["codes"], row["dimensions"], row["lanes"], row["effort"]]
        cells += [f"{row['seconds']:.2f}", f"{row['MB']:.0f}", f"{row['step']:.2f}", kl]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return [*lines, ""]


def markdown(results: dict[str, Any]) -> str:
    """The result page."""
    lines = ["# Planning: time, memory, and what it gives", ""]
    lines += [f"- {key}: {value}" for key, value in results["provenance"].items()]
    lines += [f"- threads: {results['threads']}", ""]
    lines += [" ".join((__doc__ or "").split("\n\n")[2].split()), ""]
    lines += [
        "Peak memory is the whole process's, with the codes and the libraries loaded (MB before planning: in the JSON)."
    ]
    lines += ["*greedy* looks at all codes that are left at every step.", "", "## Tours", "", *table(results["tours"])]
    lines += ["## Lanes", "", "Squared step and KL include the ramps at both ends.", "", *table(results["lanes"])]
    proxy = results["proxy"]
    lines += ["## Squared distance for KL", ""]
    lines += [
        f"{proxy['pairs']} pairs of an MNIST test code and one of its {NEAR} nearest: correlation "
        f"{proxy['correlation']:.3f}; of KL with the KL the other way round {proxy['correlation_with_reverse']:.3f}.",
        "",
        "| squared distance | KL, bits | deviation |",
        "|---|---|---|",
    ]
    lines += [f"| {square:.0f} | {kl:.2f} | {deviation:.2f} |" for square, kl, deviation in proxy["tenths"]]
    return "\n".join(lines) + "\n"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Seconds and memory against N, for the synthetic codes of 16 dimensions."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.5))
    rows = [row for row in rows if row["codes"].startswith("synthetic") and row["dimensions"] == 16]
    for effort in ("greedy", 2, 5):
        chosen = [row for row in rows if row["effort"] == effort]
        counts = [row["count"] for row in chosen]
        title = "greedy" if effort == "greedy" else f"effort {effort}"
        left.loglog(counts, [row["seconds"] for row in chosen], "o-", label=title)
        right.loglog(counts, [row["MB"] - row["MB_before"] for row in chosen], "o-", label=title)
    left.set(xlabel="codes of 16 dimensions", ylabel="seconds")
    right.set(xlabel="codes of 16 dimensions", ylabel="peak memory beyond the codes', MB")
    left.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


@click.command()
@click.option("--data", default=None, help="Folder that holds mnist/; else as in benchmarks.data.")
@click.option("--largest", default=1_000_000, show_default=True, help="Leave out cases of more codes.")
@click.option("--threads", default=2, show_default=True, help="Threads of faiss.")
@click.option("--case", nargs=3, type=(str, int, int), default=None, hidden=True)
def main(data: str | None, largest: int, threads: int, case: tuple[str, int, int] | None) -> None:
    """Measure planning and write benchmarks/results/planner.*."""
    if case:
        click.echo(json.dumps(measure(*case, threads)))
        return
    names = dict.fromkeys([name for name, _, _ in CASES if int(name.split("-")[1]) <= largest])
    results: dict[str, Any] = {"provenance": provenance(), "threads": threads, "tours": [], "lanes": []}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            codes = make_codes(name, data)
            for lanes, efforts in [(lanes, efforts) for other, lanes, efforts in CASES if other == name]:
                for effort in efforts:
                    results["tours"].append(run(name, codes, lanes, effort, Path(folder), threads))
            for lanes in LANES.get(name, []):
                for effort in (GREEDY, 5):
                    results["lanes"].append(run(name, codes, lanes, effort, Path(folder), threads))
        results["proxy"] = follows(make_codes("mnist-10000", data))
    RESULTS.mkdir(exist_ok=True)
    write_result(RESULTS / "planner", results, markdown(results))
    draw(results["tours"], RESULTS / "planner.png")


if __name__ == "__main__":
    main()
