"""Progress bars on stderr, when it is a terminal."""

import sys
from collections.abc import Callable

from tqdm import tqdm

LABELS = {
    "read": "reading",
    "price": "pricing",
    "adapt": "adapting",
    "price again": "pricing anew",
    "encode": "encoding",
    "decode": "decoding",
}


class Bars:
    """One bar at a time; call it as the codec's `Progress`. Use as a context manager."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def __enter__(self) -> "Bars":
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def __call__(self, stage: str, total: int) -> Callable[[int], None]:
        self._close()
        self._bar = tqdm(
            total=total or None,
            desc=LABELS[stage],
            unit="",
            file=sys.stderr,
            disable=not sys.stderr.isatty(),
            leave=False,
        )
        return self._bar.update

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
