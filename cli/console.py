"""Messages and progress on stderr: -q, -v and --progress."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import click
from tqdm import tqdm

LABELS = {
    "read": "reading",
    "price": "choosing methods",
    "adapt": "adapting",
    "price again": "choosing methods again",
    "encode": "encoding",
    "decode": "decoding",
    "peers": "other codecs",
    "list": "listing",
    "codes": "finding codes",
    "exchange": "exchanging images",
    "code": "making parts",
    "index": "indexing names",
}
PROGRESS = ("auto", "none", "plain")
PLAIN_SECONDS = 2.0  # between two lines
ROUNDING = 1e-6  # error of sums of fractions
LEAST_SHARE = 0.02  # of the work, below which no remaining time is estimated


@dataclass
class Settings:
    """Verbosity and style of progress of this process's command, set by its options."""

    level: int = 0  # -1 quiet, 1 verbose
    progress: str = "auto"


settings = Settings()


def say(words: str) -> None:
    """Print what a command does or has done; not under -q."""
    if settings.level >= 0:
        with tqdm.external_write_mode(sys.stderr):  # not into a bar
            click.echo(f"acncodec: {words}", err=True)


def write(line: str) -> None:
    """Print a line of a table or of a log; not under -q."""
    if settings.level >= 0:
        click.echo(line, err=True)


def warn(words: str) -> None:
    """Print what was left out or lost; always."""
    click.echo(f"acncodec: {words}", err=True)


def detail(words: str) -> None:
    """Print under -v only."""
    if settings.level > 0:
        click.echo(f"acncodec: {words}", err=True)


def shows_progress() -> bool:
    """Whether commands that log progress line by line should do so."""
    return settings.level >= 0 and settings.progress != "none"


class Bars:
    """Progress bars, one stage at a time: a `Progress` and a context manager."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._stage, self._total, self._done = "", 0, 0.0
        self._start = self._last = 0.0

    def __enter__(self) -> "Bars":
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def __call__(self, stage: str, total: int) -> Callable[[float], None]:
        self._close()
        self._stage, self._total, self._done = LABELS[stage], total, 0.0
        self._start = self._last = time.monotonic()
        plain = settings.progress == "plain"
        shown = shows_progress() and not plain and sys.stderr.isatty()
        self._bar = tqdm(total=total or None, desc=LABELS[stage], unit="", file=sys.stderr, disable=not shown, leave=False)
        return self._plain if plain and shows_progress() else self._count

    def _count(self, more: float) -> None:
        """Move the bar by whole units."""
        self._done += more
        if self._bar is not None:
            self._bar.update(int(self._done + ROUNDING) - self._bar.n)

    def _plain(self, more: float) -> None:
        """Print a line every PLAIN_SECONDS, for logs."""
        self._done += more
        now = time.monotonic()
        if now - self._last < PLAIN_SECONDS:
            return
        self._last = now
        if not self._total:
            say(f"{self._stage}: {self._done:,.0f}")
            return
        share = self._done / self._total
        left = f", {(now - self._start) * (1 / share - 1):.0f} s left" if share >= LEAST_SHARE else ""
        say(f"{self._stage}: {share:.0%} of {self._total:,}{left}")

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
            detail(f"{self._stage}: {self._done:,.0f} in {time.monotonic() - self._start:.1f} s")
