"""What all tests share."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
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
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("public sample data (../shared/data) is not here")
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "-w", out, tree]
    subprocess.run(pip, check=True, timeout=120)
    return next(out.glob("*.whl"))
