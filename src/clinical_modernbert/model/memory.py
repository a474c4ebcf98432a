"""How this process gets its memory from the system."""

import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of `mallopt`, from glibc's malloc.h."""


def keep_pages() -> None:
    """Take large tensors in huge pages and keep freed ones for the next tensor: fresh pages cost more than the work done in them.

    Linux with glibc only, else nothing happens. Best called before torch makes its first large tensor, which fixes the size of its pages.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_MMAP_THRESHOLD, 2**30)
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
