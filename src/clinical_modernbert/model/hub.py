"""The name of a model -> a folder: one that is there, or one of Hugging Face's hub by its id."""

import re
from pathlib import Path

from clinical_modernbert.errors import CheckpointError

_ID = re.compile(r"[\w.-]+/[\w.-]+")
_WANTED = ["*.json", "*.safetensors", "*/config.json", "*.model", "*.txt"]
"""What a model is made of here; pickles and code are not fetched."""


def folder_of(name: Path | str) -> Path:
    """`name` itself if there is such a folder; of a hub id `organisation/name` its folder in the hub's cache, fetched if it is not there.

    Where `HF_HUB_OFFLINE=1` is set, nothing is fetched.

    Raises:
        CheckpointError: it can neither be found nor fetched.
    """
    folder = Path(name)
    if folder.exists() or not _ID.fullmatch(str(name)):
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(name), allow_patterns=_WANTED))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise CheckpointError(
            f"{name} is no folder, and cannot be had from the hub ({type(error).__name__}). "
            f"Correct the path, or where there is a network run: hf download {name}"
        ) from None
