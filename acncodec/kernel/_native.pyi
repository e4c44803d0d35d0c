"""The module built from native/kernel.c."""

numbers: dict[str, int]

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
def lend(team: int, /) -> None: ...
def dismiss(team: int, /) -> None: ...
