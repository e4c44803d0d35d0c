"""acncodec: lossless compression of directories of images with associative compression networks."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acncodec.access import AcnDataset, Images
    from acncodec.access import open_images as open
    from acncodec.api import Compressed, Model, compress, decompress

__version__ = "0.1.0"
__all__ = ["AcnDataset", "Compressed", "Images", "Model", "compress", "decompress", "open"]


def __getattr__(name: str) -> Any:
    """What programs use, imported when it is asked for: torch takes seconds to load."""
    if name not in __all__:
        raise AttributeError(f"module 'acncodec' has no attribute '{name}'")
    from acncodec import access, api

    return access.open_images if name == "open" else getattr(access if hasattr(access, name) else api, name)
