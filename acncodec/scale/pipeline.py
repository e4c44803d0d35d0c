"""Builds an archive of many parts from a source of any size: list, codes, fit, exchange, code, index, then the manifest.

Every task's result is a file in the work folder that depends only on the source, the models and the options. So the archive
is the same whichever processes ran the tasks, in whatever order, and however often one was repeated.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from acncodec.archive import manifest as manifests
from acncodec.archive.atomic import write_atomically
from acncodec.archive.container import FEATURE_PARTS, write_container
from acncodec.archive.header import ModelReference
from acncodec.archive.limits import MAX_PARTS
from acncodec.archive.manifest import Manifest, Part
from acncodec.archive.partial import remove_left_over
from acncodec.bundled import SUFFIX
from acncodec.errors import AcnError, InputError, OutputError
from acncodec.images.scan import Collisions, Listing
from acncodec.packing.compress import Options
from acncodec.progress import Progress
from acncodec.reading.info import join
from acncodec.reading.parts import MANIFEST, Parts
from acncodec.scale import names, stages
from acncodec.scale.engines import Engine
from acncodec.scale.shards import absolute, shards
from acncodec.scale.stages import Job, part_name, result_name, shard_name
from acncodec.scale.work import FOLDER, Work


@dataclass(frozen=True)
class Made:
    """A finished archive of many parts: its size in bytes, what went in, and the other fields of `acncodec.Compressed`."""

    size: int
    files: int
    source_bytes: int
    unmodelled: int
    unreadable: int
    not_stored: list[tuple[bytes, str]]
    collisions: Collisions
    info: dict[str, Any]


def compress_parts(
    source: str,
    target: Path,
    *,
    parts: int,
    models: tuple[str, ...],
    auto: bool,
    options: Options,
    engine: Engine,
    progress: Progress,
    resume: bool = False,
    verify: bool = True,
    device: str = "auto",
) -> Made:
    """Compress a source (see `shards`) into the directory `target`: parts, and a manifest once all of them are complete.

    With `resume`, tasks that earlier work in `target` completed are skipped. Raises InputError, OutputError,
    ExactnessError; completed work is then kept for a resume.
    """
    if not 1 <= parts <= MAX_PARTS:
        raise InputError(f"an archive has 1 to {MAX_PARTS:,} parts, not {parts}")
    if options.adapt:
        raise InputError("models can only be adapted to an archive of one file; train a model for the whole source instead")
    _refuse_occupied(target, options.overwrite, resume)
    source, target = absolute(source), target.absolute()
    models = tuple(str(Path(name).absolute()) if name.endswith(SUFFIX) else name for name in models)
    work = Work(target)
    known = tuple(model.sha256 for model in stages.models_of(models, auto, device))
    job = Job(work, parts, replace(options, overwrite=True), models, auto, known, verify, device)
    work.begin(_settings(source, job), resume)
    if not work.has("notes.json"):
        try:
            _list(source, work, progress)
        except InputError:
            work.end()  # nothing to resume: the next run starts over
            raise
    count = work.json("notes.json")["shards"]
    numbers = range(count)
    tell = _Stages(work, engine, progress)
    tell.run("codes", stages.codes, [(job, i, count) for i in numbers], lambda i: f"codes/{i:06}.npz")
    if not work.has("partition.npz"):
        stages.fit(job, count)
    tell.run("exchange", stages.exchange, [(job, i, count) for i in numbers], lambda i: f"exchange/{i:06}.json")
    tell.run("code", stages.code, [(job, i, count) for i in range(parts)], result_name)
    results = [work.json(result_name(i)) for i in range(parts)]
    manifest = _manifest(job, results)
    tasks = names.tasks(manifest.buckets, sum(result["places"] for result in results))
    indexing = [(work, parts, manifest.buckets, tasks, i) for i in range(tasks)]
    tell.run("index", names.index, indexing, names.index_name)
    clashes = names.clashes(work, [part.name for part in manifest.parts], tasks)
    sections = [("MANI", manifests.encode(manifest))]
    sections += [("NIDX", bucket) for i in range(tasks) for bucket in names.buckets_of(work, i)]
    chunks = write_container(sections, FEATURE_PARTS)
    made = _made(work, results, count, clashes, sum(map(len, chunks)))
    return replace(made, size=_publish(work, manifest, chunks))


def _refuse_occupied(target: Path, overwrite: bool, resume: bool) -> None:
    """Raise OutputError if `target` holds something that must not be overwritten."""
    if target.exists() and not target.is_dir():
        raise OutputError(f"'{target}' is a file; an archive of many parts is a directory")
    found = {path.name for path in target.iterdir()} if target.exists() else set()
    if overwrite or (resume and FOLDER in found):
        return
    if resume and MANIFEST in found:
        raise OutputError(f"the archive in '{target}' is finished; there is nothing to resume")
    if FOLDER in found:
        raise OutputError(f"'{target}' holds an unfinished archive; give --resume to continue it, or --force to start over")
    if found:
        raise OutputError(f"'{target}' exists already and is not empty; give --force to overwrite an archive in it")


def _settings(source: str, job: Job) -> dict[str, Any]:
    """What must be the same to resume work; models by hash, since a name may refer to another file tomorrow."""
    hashes = [each.hex() for each in job.sha256]
    options = {key: value for key, value in asdict(job.options).items() if key != "way"}
    return {"source": source, "parts": job.parts, "models": hashes, "options": options, "verify": job.verify}


def _list(source: str, work: Work, progress: Progress) -> None:
    """Cut the source into shards, one at a time, so that no list of all files is needed."""
    advance = progress("list", 0)
    notes, count = Listing(), 0
    for shard in shards(source, work.target, notes):
        work.put_json(shard_name(count), shard)
        count += 1
        advance(1)
    left_out = [[os.fsdecode(name), why] for name, why in notes.skipped]
    unreadable = [[os.fsdecode(name), why] for name, why in notes.unreadable]
    empty = [os.fsdecode(name) for name in notes.empty]
    work.put_json("notes.json", {"shards": count, "skipped": left_out, "unreadable": unreadable, "empty": empty})


class _Stages:
    """Runs the tasks of a stage that are not done yet."""

    def __init__(self, work: Work, engine: Engine, progress: Progress) -> None:
        self._work, self._engine, self._progress = work, engine, progress

    def run(
        self, stage: str, function: Callable[..., None], tasks: list[tuple[Any, ...]], result: Callable[[int], str]
    ) -> None:
        advance = self._progress(stage, len(tasks))
        left = [task for i, task in enumerate(tasks) if not self._work.has(result(i))]
        advance(len(tasks) - len(left))
        self._engine.run(function, left, advance, networks=stage in ("codes", "code"))


def _manifest(job: Job, results: list[dict[str, Any]]) -> Manifest:
    models = sorted({(name, sha256) for result in results for name, sha256 in result["models"]})
    keys = ("size", "files", "images", "pictures", "sections")
    parts = [
        Part(name=part_name(i), sha256=bytes.fromhex(result["sha256"]), **{key: result[key] for key in keys})
        for i, result in enumerate(results)
    ]
    named = sum(result["named"] for result in results)
    mark = "-" * (1 + max(result["dashes"] for result in results))
    return Manifest(job.options.names, [ModelReference(n, bytes.fromhex(s)) for n, s in models], parts, mark, named)


def _made(work: Work, results: list[dict[str, Any]], count: int, collisions: Collisions, manifest_bytes: int) -> Made:
    notes = work.json("notes.json")
    late = [item for i in range(count) for item in work.json(f"exchange/{i:06}.json")["unreadable"]]
    unreadable = [(os.fsencode(name), why) for name, why in [*notes["unreadable"], *late]]
    skipped = [(os.fsencode(name), why) for name, why in notes["skipped"]]
    return Made(
        size=0,
        files=sum(result["files"] for result in results),
        source_bytes=sum(result["source_bytes"] for result in results),
        unmodelled=sum(result["unmodelled"] for result in results),
        unreadable=len(unreadable),
        not_stored=skipped + unreadable,
        collisions=collisions,
        info=join([result["info"] for result in results], manifest_bytes),
    )


def _publish(work: Work, manifest: Manifest, chunks: list[bytes]) -> int:
    """Move the parts into place, write the manifest, and remove the work. Returns the total size in bytes."""
    if not work.has("before.json"):
        work.put_json("before.json", sorted(_parts_before(work.target) - {part.name for part in manifest.parts}))
    before = work.json("before.json")
    remove_left_over(work.target / MANIFEST)
    try:
        with contextlib.suppress(FileNotFoundError):
            (work.target / MANIFEST).unlink()  # of an archive being overwritten: never beside parts of another
        for part in manifest.parts:
            place = work.target / part.name
            if work.has(part.name):  # else it was moved before an interruption
                work.path(part.name).replace(place)
            if not place.is_file() or place.stat().st_size != part.size:
                raise work.unusable(part.name, "missing, or of another size")
        for name in before:
            (work.target / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write '{work.target}': {error.strerror}") from error
    size = write_atomically(work.target / MANIFEST, chunks, overwrite=True)
    work.end()
    return size + sum(part.size for part in manifest.parts)


def _parts_before(target: Path) -> set[str]:
    """The parts of an archive that is being overwritten."""
    try:
        with Parts(target) as found:
            return {part.name for part in found.manifest.parts} if found.manifest else set()
    except AcnError:
        return set()
