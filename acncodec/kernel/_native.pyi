"""The module built from native/kernel.c."""

import numpy as np

numbers: dict[str, int]
sources_sha256: str

def instructions() -> dict[str, int]: ...
def run(
    team: int,
    program: int,
    phases: int,
    groups: int,
    operations: int,
    kind: int,
    lanes: int,
    size: int,
    row: int,
    rows: int,
    first: int,
    last: int,
    /,
) -> None: ...
def pop_row(
    team: int,
    programs: np.ndarray,
    kind: int,
    size: int,
    row: int,
    width: int,
    first: int,
    last: int,
    lanes: int,
    padded: int,
    colours: int,
    base: int,
    frequencies: int,
    digits: int,
    values: int,
    second: np.ndarray,
    stacks: np.ndarray,
    slice: int,
    unit: int,
    /,
) -> None: ...
def push(
    words: np.ndarray, count: int, state: int, values: np.ndarray, frequencies: np.ndarray, symbols: int, /
) -> tuple[int, int]: ...
def pop(
    words: np.ndarray, count: int, state: int, values: np.ndarray, frequencies: np.ndarray, symbols: int, /
) -> tuple[int, int]: ...
def lend(team: int, /) -> None: ...
def dismiss(team: int, /) -> None: ...
def find_candidates(
    memory: np.ndarray, images: np.ndarray, row: int, column: int, colours: int, found: np.ndarray, /
) -> None: ...
def find_completions(
    memory: np.ndarray, images: np.ndarray, prefixes: np.ndarray, known: int, found: np.ndarray, /
) -> None: ...
def learn_pixels(memory: np.ndarray, images: np.ndarray, row: int, column: int, colours: int, last: bool, /) -> None: ...
def whole_candidates(
    memory: np.ndarray, images: np.ndarray, height: int, width: int, colours: int, found: np.ndarray, /
) -> None: ...
def learn_images(memory: np.ndarray, images: np.ndarray, height: int, width: int, colours: int, /) -> None: ...
