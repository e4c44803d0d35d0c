"""The compiled module, if it was built, and the numbers that it must have in common with this package."""

from acncodec.exact import grids
from acncodec.kernel import buffers, copies, operations, programs
from acncodec.nets import architecture, planes

try:
    from acncodec.kernel import _native as native
except ImportError:  # not built, as there was no compiler
    native = None  # type: ignore[assignment]

__all__ = ["NUMBERS", "compare", "native"]

_NAMES = {
    programs: (
        *("WORDS", "MAX_TAPS", "REQUANTISE", "GATE", "RAW", "PRODUCT", "PREDICT", "TELL", "GREY", "AROUND"),
        *("LOGISTICS", "SOFTMAX", "LOGISTICS_BITS", "SOFTMAX_BITS", "LARGEST", "FIND", "OFFER", "FIND_REST", "OFFER_REST"),
    ),
    buffers: ("ROWS", "GROUP_MAX", "MAX_OUTS"),
    operations: ("TANH_TABLE",),
    architecture: ("CANDIDATES", "COMPLETIONS"),
    copies: ("CONTEXTS", "SHARED", "PREFIXES", "IMAGE_BYTES", "MEMORY_BYTES"),
    planes: ("PLANE_MAX", "ERROR_SCALE", "MIDDLE"),
    grids: (
        *("UNIT", "STREAM_MAX", "TONE_BITS", "SPREAD_MIN", "SPREAD_MAX", "STEEPNESS_BITS", "SLOPE_MAX"),
        *("BASE", "CUMULATIVE_BITS", "FREQUENCY_FLOOR"),
    ),
}
NUMBERS = {name: getattr(module, name) for module, names in _NAMES.items() for name in names}
NUMBERS["GATE_SHIFT"] = grids.STREAM_BITS + 1  # tanh * (1 + tanh) / 2


def compare(compiled: dict[str, int]) -> None:
    """Raise ImportError unless the compiled module has the same numbers."""
    if other := sorted(name for name, _ in NUMBERS.items() ^ compiled.items()):
        raise ImportError(f"the compiled kernel is of another version ({', '.join(other)}): install acncodec again")


if native is not None:
    compare(getattr(native, "numbers", {}))
