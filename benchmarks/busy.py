"""Times of commands on a busy machine, by the wait policy of OpenMP's threads.

    python -m benchmarks.busy [--rounds 3]

Compresses, restores and checks 100 of the sample's digits under each setting, alone and while as many processes as there
are cores compute, one round after another. Writes busy.json and busy.md to benchmarks/results/.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfile
from typing import Any

import click
import numpy as np

from acncodec import bundled
from benchmarks.provenance import provenance, write_result

RESULTS = Path(__file__).parent / "results"
IMAGES = 100
SETTINGS = {
    "as the command chooses": {},
    "OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"},
    "OMP_WAIT_POLICY=active": {"OMP_WAIT_POLICY": "active"},
}
PROGRAM = [sys.executable, "-c", "from acncodec.cli.main import main; main()"]
STEPS = {
    "compress": ["compress", "-f", "in", "a.acn"],
    "decompress": ["decompress", "-f", "a.acn", "out"],
    "test": ["test", "a.acn"],
}


@contextmanager
def other_work(processes: int) -> Iterator[None]:
    """This many processes that compute."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def seconds(step: list[str], folder: Path, setting: dict[str, str]) -> float:
    """Time of one command."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OMP_")}
    start = time.perf_counter()
    subprocess.run([*PROGRAM, *step, "-q"], cwd=folder, env=environment | setting, check=True)
    return time.perf_counter() - start


def measure(rounds: int, folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """The median of all rounds in seconds: by load, setting and command."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for load, processes in (("alone", 0), ("beside other work", os.cpu_count() or 1)):
        with other_work(processes):
            for _ in range(rounds):
                for name, setting in SETTINGS.items():
                    for command, step in STEPS.items():
                        times = found.setdefault(load, {}).setdefault(name, {}).setdefault(command, [])
                        times.append(seconds(step, folder, setting))
    return {
        load: {
            name: {command: float(np.median(times)) for command, times in each.items()} for name, each in settings.items()
        }
        for load, settings in found.items()
    }


def markdown(result: dict[str, Any]) -> str:
    """The result page."""
    lines = ["# Commands beside other programs", ""]
    lines += [f"- {key}: {value}" for key, value in result["provenance"].items()]
    lines += [
        "",
        f"{IMAGES} digits, seconds, the median of {result['rounds']} rounds; in brackets by the best setting.",
        "",
    ]
    lines += ["| | setting | " + " | ".join(STEPS) + " |", "|---" * (2 + len(STEPS)) + "|"]
    for load, settings in result["seconds"].items():
        best = {command: min(each[command] for each in settings.values()) for command in STEPS}
        for name, each in settings.items():
            row = [f"{each[command]:.2f} ({each[command] / best[command]:.2f})" for command in STEPS]
            lines.append(f"| {load} | {name} | " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1), help="Of all settings.")
@click.option("--output", default=RESULTS, type=click.Path(path_type=Path), help="Folder for the results.")
def main(rounds: int, output: Path) -> None:
    """Time the commands and write the tables."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in").mkdir()
        for number, path in enumerate(sorted((bundled.SAMPLE / "bilevel").rglob("*.png"))[:IMAGES]):
            copyfile(path, Path(folder) / "in" / f"{number}.png")
        found = measure(rounds, Path(folder))
    result = {"provenance": provenance(), "rounds": rounds, "seconds": found}
    page = markdown(result)
    click.echo(page)
    write_result(output / "busy", result, page)


if __name__ == "__main__":
    main()
