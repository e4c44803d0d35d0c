"""Fuzzing of the reader: mutated archives with valid checksums.

    python -m benchmarks.fuzz [--cases 100000] [--seed 0] [--first 0]

Every case takes one of a few small archives of tiny pictures under tiny models, or the manifest of one of three parts,
mutates one section or the list of sections, recomputes the checksums, and reads all of it, in order and by name. Allowed
outcomes are the original files, other files, or an error of the package; never another exception, a hang, a crash of the
process, or pictures that do not fit an unchanged digest. A case depends only on the seed and its number, so that
`--first N --cases 1` repeats it. Writes fuzz.json and fuzz.md to benchmarks/results/;
ends with exit code 1 if any case failed. An interrupted run continues after its last finished CHUNK of cases when it is
started again with the same seed and code.
"""

import json
import multiprocessing
import resource
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any
from unittest import mock

import click
import numpy as np
import torch

from acncodec.archive import block as blocks
from acncodec.archive.block import Block
from acncodec.archive.classes import Class
from acncodec.archive.container import FEATURE_MODELS, FEATURE_PARTS, FEATURE_STACKS, write_container
from acncodec.block.codec import Order
from acncodec.errors import AcnError
from acncodec.nets.model import Model
from acncodec.progress import Advance
from acncodec.reading import reader
from benchmarks.fuzz_cases import Material, make_material, mutate, read_all
from benchmarks.provenance import provenance, write_result

RESULTS = Path(__file__).parent / "results"
WORKERS = 2
CHUNK = 25_000  # cases, whose result is kept if the run is interrupted
CASE_SECONDS = 5  # of the processor
STUCK_SECONDS = 300  # without a word from a worker, by the clock: no alarm reaches it, it is killed
SAME, SOME, OTHER = "the same files", "some of these files", "other files"
FOREIGN, WRONG, HANG, CRASH = "foreign exception", "wrong pixels", "hang", "crash"
FAILURES = (FOREIGN, WRONG, HANG, CRASH)

Decode = Callable[[Block, list[Class], Order, list[Model], Advance], list[np.ndarray]]


class Watch:
    """Wraps the reader's decoding of blocks: records pictures that do not fit their digest, decodes nothing twice.

    A digest's pictures are those that were decoded first, which must be those of the archive that has not been changed.
    """

    def __init__(self, decode: Decode = reader.decode_block, known: dict[bytes, list[np.ndarray]] | None = None) -> None:
        self.wrong = False
        self.known = {} if known is None else known  # by digest
        self._decode = decode
        self._done: dict[tuple[object, ...], list[np.ndarray]] = {}

    def __call__(
        self, block: Block, classes: list[Class], order: Order, models: list[Model], advance: Advance
    ) -> list[np.ndarray]:
        used = tuple((i, classes[i]) for i, _ in block.classes)
        key = blocks.encode(block), used, order.classes.tobytes(), tuple(model.sha256 for model in models)
        if key not in self._done:
            pictures = self._decode(block, classes, order, models, advance)
            known = self.known.setdefault(block.digest, pictures)
            same = [a.shape == b.shape and (a == b).all() for a, b in zip(known, pictures, strict=False)]
            if len(known) != len(pictures) or not all(same):
                self.wrong = True
                return pictures
            self._done[key] = pictures
        return self._done[key]


class LateError(BaseException):
    """A case has taken too long; not caught by `except Exception`."""


def peak_rss() -> int:
    """The most memory that this process has had, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@dataclass(frozen=True)
class Case:
    """How a case ended: `outcome` is a constant of this file or an error's class; `rss` the process's peak so far, KiB."""

    number: int
    tag: str
    outcome: str
    detail: str
    seconds: float
    rss: int


def run_case(material: list[Material], folder: Path, seed: int, number: int, watch: Watch) -> Case:
    """Make and read one case, in the folder of `make_material`."""
    random = np.random.default_rng([seed, number])
    original, tag, sections = mutate(material, random)
    path = folder / "case"
    carries = any(tag == "MODL" for tag, _ in sections)
    features = FEATURE_PARTS if original.named else FEATURE_STACKS | FEATURE_MODELS * carries
    path.write_bytes(b"".join(write_container(sections, features)))
    watch.wrong, detail, start = False, "", time.process_time()
    signal.setitimer(signal.ITIMER_PROF, CASE_SECONDS)
    try:
        found = read_all(
            path, sorted(folder.glob("*.safetensors")), bool(random.integers(2)), original.files if original.named else ()
        )
        outcome = _compare(found, original)
    except AcnError as error:
        outcome = type(error).__name__
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # Rust's panics are no `Exception` either
        outcome, detail = HANG if isinstance(error, LateError) else FOREIGN, traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if watch.wrong:
        outcome = WRONG
    return Case(number, tag, outcome, detail, time.process_time() - start, peak_rss())


def _compare(found: tuple[dict[bytes, bytes], list[bytes]], original: Material) -> str:
    files, empty = found
    if files == original.files and empty == original.empty:
        return SAME
    return SOME if files.items() <= original.files.items() and set(empty) <= set(original.empty) else OTHER


def work(connection: Connection, folder: Path, seed: int, numbers: list[int]) -> None:
    """A process of its own: send None once all is ready, then every case as it ends."""

    def late(*_: object) -> None:
        raise LateError

    torch.set_num_threads(1)
    signal.signal(signal.SIGPROF, late)
    watch = Watch()
    with mock.patch("acncodec.reading.reader.decode_block", watch):
        material = make_material(folder)
        connection.send(None)
        for number in numbers:
            connection.send(run_case(material, folder, seed, number, watch))


class Worker:
    """A process that runs some cases, and is replaced if a case kills it."""

    def __init__(self, seed: int, numbers: list[int]) -> None:
        self._seed, self.left = seed, numbers
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # torch's threads do not outlive a fork
        self._folder = tempfile.TemporaryDirectory()
        self.connection, theirs = context.Pipe(duplex=False)
        arguments = theirs, Path(self._folder.name), self._seed, self.left
        self._process = context.Process(target=work, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        self._heard, self._ready = time.monotonic(), False

    def listen(self) -> Case | None:
        """The next message of the process, or that it is dead or stuck."""
        stuck = time.monotonic() - self._heard > STUCK_SECONDS
        if not stuck and not self.connection.poll():
            return None
        try:
            case = None if stuck else self.connection.recv()
        except EOFError:
            return self._replace(CRASH)
        if stuck:
            self._process.kill()
            return self._replace(HANG)
        self._heard, self._ready = time.monotonic(), True
        self.left = self.left[case is not None :]
        return case

    def _replace(self, outcome: str) -> Case:
        self._process.join()
        self._folder.cleanup()
        if not self._ready:
            raise RuntimeError("a worker died before its first case")
        number, self.left = self.left[0], self.left[1:]
        case = Case(number, "?", outcome, f"the process ended with {self._process.exitcode}", 0.0, 0)
        self.close() if not self.left else self._start()
        return case

    def close(self) -> None:
        self._process.join()
        self._folder.cleanup()


def run(seed: int, numbers: range) -> Iterator[Case]:
    """All cases, as they end."""
    workers = [Worker(seed, list(numbers[i::WORKERS])) for i in range(min(WORKERS, len(numbers)))]
    while workers:
        wait([worker.connection for worker in workers], timeout=1)
        for worker in list(workers):
            case = worker.listen()
            if case is not None:
                yield case
            if not worker.left:
                worker.close()
                workers.remove(worker)


@dataclass
class Summary:
    """Outcomes by mutated section, and details of the first failure at each place."""

    cases: int = 0
    seconds: float = 0.0
    slowest_case_seconds: float = 0.0
    peak_rss_mib: float = 0.0
    first_rss_mib: float = 0.0  # after the first case
    by_section: dict[str, dict[str, int]] = field(default_factory=dict)
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def outcomes(self) -> dict[str, int]:
        """In all sections, the most frequent first."""
        total: Counter[str] = Counter()
        for counts in self.by_section.values():
            total.update(counts)
        return dict(total.most_common())

    def add(self, cases: Iterable[Case]) -> None:
        start = time.perf_counter()
        for case in cases:
            self.cases += 1
            counts = self.by_section.setdefault(case.tag, {})
            counts[case.outcome] = counts.get(case.outcome, 0) + 1
            self.slowest_case_seconds = max(self.slowest_case_seconds, case.seconds)
            self.peak_rss_mib = max(self.peak_rss_mib, case.rss / 1024)  # 0 of a process that died
            self.first_rss_mib = self.first_rss_mib or case.rss / 1024
            if case.outcome in FAILURES:
                # One of each place: what a traceback says beside it differs from case to case.
                place = "\n".join(line for line in case.detail.splitlines() if line.startswith("  File "))[-600:]
                self.failures.setdefault(f"{case.outcome} {place}", {"count": 0, **asdict(case)})["count"] += 1
        self.seconds += time.perf_counter() - start


def markdown(result: dict[str, Any]) -> str:
    """The result page."""
    columns = list(result["outcomes"]) + [each for each in FAILURES if each not in result["outcomes"]]
    rows = {**{tag: result["by_section"][tag] for tag in sorted(result["by_section"])}, "all": result["outcomes"]}
    lines = ["# Archives that are wrong behind right checksums", ""]
    lines += [f"- {key}: {value}" for key, value in result["provenance"].items()]
    lines += [
        "",
        f"{result['cases']:,} cases from seed {result['seed']}, number {result['first']} on, in {WORKERS} processes: "
        f"{result['cases'] / result['seconds']:.0f} cases a second, the slowest {result['slowest_case_seconds']:.2f} s, "
        f"peak memory of a process {result['peak_rss_mib']:.0f} MiB, after its first case {result['first_rss_mib']:.0f}.",
        "",
        "| section that was changed | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    lines += [f"| {tag} | " + " | ".join(f"{row.get(each, 0):,}" for each in columns) + " |" for tag, row in rows.items()]
    for each in result["failures"].values():
        lines += ["", f"## {each['outcome']}, {each['count']} times, first in case {each['number']} ({each['tag']})", ""]
        lines += ["```", each["detail"].rstrip(), "```"]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--cases", default=100_000, show_default=True, type=click.IntRange(min=1), help="How many.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Another one gives other cases.")
@click.option("--first", default=0, show_default=True, type=click.IntRange(min=0), help="Number of the first case.")
@click.option("--output", default=RESULTS, type=click.Path(path_type=Path), help="Folder for the results.")
def main(cases: int, seed: int, first: int, output: Path) -> None:
    """Run the cases and write the outcomes."""
    output.mkdir(parents=True, exist_ok=True)
    partial = output / f"fuzz-{seed}-{first}.partial.json"
    run_by = provenance()
    summary = _resumed(partial, run_by["commit"])
    while summary.cases < cases:
        start = first + summary.cases
        summary.add(run(seed, range(start, min(start + CHUNK, first + cases))))
        partial.write_text(json.dumps({"commit": run_by["commit"], "summary": asdict(summary)}))
    result = {"provenance": run_by, "seed": seed, "first": first, **asdict(summary), "outcomes": summary.outcomes}
    page = markdown(result)
    click.echo(page)
    write_result(output / "fuzz", result, page)
    partial.unlink(missing_ok=True)
    if result["failures"]:
        raise click.exceptions.Exit(1)


def _resumed(partial: Path, commit: str) -> Summary:
    """Results of an interrupted run of the same code; empty if there is none."""
    try:
        found = json.loads(partial.read_text())
    except FileNotFoundError:
        return Summary()
    return Summary(**found["summary"]) if found["commit"] == commit else Summary()


if __name__ == "__main__":
    main()
