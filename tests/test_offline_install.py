"""What docs/guides.md says of a machine without a network: an installation from a wheel house, and work with every socket refused."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from clinical_modernbert.inference import Encoder
from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, hf
from clinical_modernbert.model.init import initialize
from clinical_modernbert.tokenization import train
from documents import blocks, read, write_notes

OFFLINE = read("docs/guides.md").partition("## Without a network")[2]
REFUSE_SOCKETS = """
import sys

def refuse(event, _):
    if event.startswith("socket."):
        raise PermissionError(event)

sys.addaudithook(refuse)
"""
RUN = "from clinical_modernbert.cli.main import main; sys.exit(main(sys.argv[1:]))"


def needed(name: str, extra: str, known: set[str]) -> Iterator[Distribution]:
    """What an installed package asks for, directly or not, as it is installed here."""
    for requirement in map(Requirement, distribution(name).requires or []):
        found = canonicalize_name(requirement.name)
        if found not in known and (requirement.marker is None or requirement.marker.evaluate({"extra": extra})):
            known.add(found)
            yield distribution(found)
            for wanted in requirement.extras or {""}:
                yield from needed(found, wanted, known)


def write_wheel(installed: Distribution, folder: Path) -> None:
    """Pack an installed package again; what pip makes when it installs one is left out."""
    described = installed.read_text("WHEEL") or ""
    python, abi, platform = zip(*(tag.split("-") for tag in re.findall(r"^Tag: (.*)", described, re.MULTILINE)), strict=True)
    parts = [re.sub(r"[-.]+", "_", installed.name), installed.version, *(".".join(sorted(set(one))) for one in (python, abi, platform))]
    made = {"INSTALLER", "REQUESTED", "direct_url.json"}
    with zipfile.ZipFile(folder / f"{'-'.join(parts)}.whl", "w") as packed:
        for file in installed.files or []:
            if ".." not in file.parts and file.suffix != ".pyc" and not (file.parent.suffix == ".dist-info" and file.name in made):
                packed.write(installed.locate_file(file), file.as_posix())


@pytest.fixture(scope="module")
def offline(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `wheels/`, and with `env/`, into which the command of the guide has installed them."""
    folder = tmp_path_factory.mktemp("offline")
    (folder / "wheels").mkdir()
    shutil.copy(wheel, folder / "wheels")
    for installed in needed("clinical-modernbert", "serve", {"clinical-modernbert"}):
        write_wheel(installed, folder / "wheels")
    subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
    (command,) = (line for block in blocks(OFFLINE, "sh") for line in block.splitlines() if "--no-index" in line)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    environment = own | {"PATH": f"{folder / 'env' / 'bin'}:{os.environ['PATH']}", "PIP_CONFIG_FILE": os.devnull, "PIP_NO_COMPILE": "1"}
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    yield folder
    shutil.rmtree(folder)


def run(folder: Path, program: str, *arguments: str) -> str:
    """What a program prints in that installation, with every socket refused."""
    command = [folder / "env" / "bin" / "python", "-I", "-c", REFUSE_SOCKETS + program, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_wheel_house_is_all_that_an_installation_and_its_work_need(offline: Path) -> None:
    tokenizer = train([write_notes(offline)], 320)
    ends = {"bos_token_id": tokenizer.cls_id, "eos_token_id": tokenizer.sep_id, "pad_token_id": tokenizer.pad_id}
    special = ends | {"cls_token_id": tokenizer.cls_id, "sep_token_id": tokenizer.sep_id}
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = ModernBertForMaskedLM(ModernBertConfig(vocab_size=len(tokenizer), **shape, **special))
    initialize(model, 0)
    hf.save(model, offline / "my-model")
    tokenizer.save(offline / "my-model", 8192)

    assert str(offline) in run(offline, "import clinical_modernbert; print(clinical_modernbert.__file__)")
    with pytest.raises(AssertionError, match=r"PermissionError: socket"):
        run(offline, "import socket; socket.create_connection(('127.0.0.1', 9))")
    assert run(offline, RUN, "doctor")
    assert "120 vectors of 32" in run(offline, RUN, "embed", "my-model/", "notes.jsonl", "-o", "vectors.parquet")
    expected = Encoder.from_pretrained(offline / "my-model").encode(pl.read_ndjson(offline / "notes.jsonl")["text"].to_list())
    np.testing.assert_allclose(pl.read_parquet(offline / "vectors.parquet")["vector"].to_numpy(), expected, atol=1e-5)
    run(offline, "import clinical_modernbert.serving.server")
