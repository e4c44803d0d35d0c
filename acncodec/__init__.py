"""acncodec: lossless compression of directories of images with associative compression networks."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acncodec.access import AcnDataset, Images
    from acncodec.access import open_images as open

__version__ = "0.1.0"
__all__ = ["AcnDataset", "Images", "open"]


def __getattr__(name: str) -> Any:
    """`open`, `Images` and `AcnDataset`, imported when they are asked for: torch takes seconds to load."""
    if name not in __all__:
        raise AttributeError(f"module 'acncodec' has no attribute '{name}'")
    from acncodec import access

    return getattr(access, {"open": "open_images"}.get(name, name))
