"""The name of a model -> a folder: one that is there, or by its id one of Hugging Face's cache. Nothing is fetched."""

import re
from pathlib import Path

from clinical_modernbert.errors import CheckpointError

_ID = re.compile(r"[\w.-]+/[\w.-]+")


def folder_of(name: Path | str) -> Path:
    """`name` itself if there is such a folder; of a hub id `organisation/name` its folder in Hugging Face's cache.

    A mistyped path looks like an id, and must not reach a network.

    Raises:
        CheckpointError: it is neither.
    """
    folder = Path(name)
    if folder.exists() or not _ID.fullmatch(str(name)):
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(name), local_files_only=True))
    except (LocalEntryNotFoundError, OSError, ValueError):
        raise CheckpointError(
            f"{name} is no folder, and no model of this id lies in Hugging Face's cache. "
            f"Correct the path, or where there is a network run: hf download {name}"
        ) from None
