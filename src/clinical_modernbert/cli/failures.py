"""What went wrong, in one line that says what to do."""

import errno
import os

from clinical_modernbert.errors import ClinicalModernBertError, errno_of

REMEDIES = {
    errno.ENOSPC: "Free some disk space or choose another folder with -o.",
    errno.EDQUOT: "Free some of your quota or choose another folder with -o.",
    errno.ENOENT: "Check the path.",
    errno.EACCES: "Change the permissions or choose another path.",
    errno.EPERM: "Change the permissions or choose another path.",
    errno.EROFS: "Choose a path on a disk that can be written.",
    errno.EEXIST: "Choose another path or pass --overwrite.",
    errno.ENOTDIR: "A file stands where a folder is needed; choose another path.",
    errno.EISDIR: "Give the path of a file, not of a folder.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n).",
    errno.ENOMEM: "Close other programs or lower the batch size.",
}
OTHER = "Check the path and the disk."


def describe(error: BaseException) -> str:
    """`WHAT (WHERE). WHAT TO DO` for any error.

    The message of an unexpected one is left out, because it may quote a document.
    """
    if isinstance(error, ClinicalModernBertError):
        return " ".join(str(error).split())
    number = errno_of(error)
    if number is not None:
        where = getattr(error, "filename", None)
        return f"{os.strerror(number).lower()} ({where or 'while reading or writing'}). {REMEDIES.get(number, OTHER)}"
    if isinstance(error, ModuleNotFoundError):
        return f"the package {error.name!r} is not installed (Python). Run `cmbert doctor` to see what is missing."
    if type(error).__name__ == "OutOfMemoryError":
        return "the device is out of memory (CUDA). Lower rows_per_micro_batch, or set checkpoint_activations=true."
    return f"unexpected {type(error).__name__} (a fault of cmbert, not of yours). Run again with -v for the traceback."
