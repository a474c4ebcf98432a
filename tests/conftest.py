"""What all tests share."""

import logging
import os
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # files of tests run side by side, and bits depend on the number of threads


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `gpu` where there is no CUDA device."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(autouse=True)
def _log_as_imported() -> None:
    """Undo what a call of the command line did to the package's log, in a test or in what tests of a module share."""
    logger = logging.getLogger("clinical_modernbert")
    logger.setLevel(logging.NOTSET)
    logger.handlers = []
    logger.propagate = True


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Public sample data beside the repository, described in its own README; absent in a clone elsewhere."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("public sample data (../shared/data) is not here")
    return folder
