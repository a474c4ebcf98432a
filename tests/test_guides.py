"""The commands and programs of docs/guides.md run, in its order."""

import json
import random
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, hf
from clinical_modernbert.model.init import initialize
from clinical_modernbert.tokenization import train
from documents import blocks, commands, read, run, run_command, write_brat_folder, write_notes
from running_server import running

GUIDES = read("docs/guides.md")
GERMAN = "Beginn Lisinopril Bluthochdruck Husten Fieber Entlassung Aufnahme Kontrolle Schmerz Brust Leber Herz stabil akut seit Tag"
ANOTHER_LANGUAGE = re.search(r"## Training in another language\n.*?(?=\n## )", GUIDES, re.DOTALL)[0]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guides")
    tokenizer = train([write_notes(folder)], 320)
    special = {"pad_token_id": tokenizer.pad_id, "cls_token_id": tokenizer.cls_id, "bos_token_id": tokenizer.cls_id}
    special |= {"sep_token_id": tokenizer.sep_id, "eos_token_id": tokenizer.sep_id}
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
    model = ModernBertForMaskedLM(ModernBertConfig(vocab_size=len(tokenizer), **shape, **special))
    initialize(model, 0)
    hf.save(model, folder / "my-model")
    tokenizer.save(folder / "my-model", 8192)
    write_brat_folder(folder)
    for name, config in zip(("hospital", "audit", "german"), blocks(GUIDES, "yaml"), strict=True):
        (folder / f"{name}.yaml").write_text(config.replace("{per_count: 5}", "{per_count: 1, counts: [64]}"))
    german = [" ".join(random.Random(i).choices(GERMAN.split(), k=30)) for i in range(130)]
    for name, texts in (("german", german[:120]), ("set-aside", german[120:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return folder


def test_every_command_of_the_guides_runs(workplace: Path) -> None:
    (served,) = (arguments for arguments in commands(GUIDES) if arguments[0] == "serve")
    for arguments in commands(GUIDES.replace(ANOTHER_LANGUAGE, "")):
        if arguments != served:
            assert run_command(workplace, arguments).strip(), arguments
    with running(workplace / served[1], log=workplace / "log") as server:
        (asked,) = re.findall(r"^curl .*", GUIDES, re.MULTILINE)
        answer = subprocess.check_output(shlex.split(asked.replace("http://127.0.0.1:8000", server.url)), timeout=30)
    assert all({"start", "end", "label", "score", "text"} == span.keys() for span in json.loads(answer))
    assert "**Credentialed.**" in (workplace / "hospital-model" / "README.md").read_text()


def test_every_command_on_another_language_runs(workplace: Path) -> None:
    for arguments in commands(ANOTHER_LANGUAGE):
        assert run_command(workplace, arguments).strip(), arguments
    after = json.loads((workplace / "german-report" / "metrics.json").read_text())["languages"]
    assert set(after) == {"german", "english"}
    assert set(after["german"]["bytes_per_token"]) == {"model", "my-model"}


def test_the_python_of_the_guides_runs(workplace: Path) -> None:
    (program,) = blocks(GUIDES, "python")
    assert run(workplace, "-c", program + "assert [one.title for one in sections[0]] == ['history of present illness', 'plan']")
