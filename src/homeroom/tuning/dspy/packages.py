"""DSPy as an optional package: what is said when it is not there, and how it is kept from the network and the disk."""

from __future__ import annotations

import os
from importlib.util import find_spec

from homeroom.errors import MissingExtraError


def require_dspy(*, caches: bool = False) -> None:
    """Import DSPy as Homeroom uses it: offline (its price list is read from its own files) and without its pickled cache.

    Args:
        caches: Leave DSPy's caches as they are: the process is another program's.

    Raises:
        MissingExtraError: DSPy is not installed.
    """
    if find_spec("dspy") is None:
        raise MissingExtraError("Tuning with the method 'dspy'", "dspy", "dspy")
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # before the import: it is read there
    import dspy

    if not caches:
        dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
