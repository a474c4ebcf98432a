"""The commands and programs of docs/guides.md run, in its order."""

from pathlib import Path

import pytest

from clinical_modernbert.model import ModernBertConfig, ModernBertForMaskedLM, hf
from clinical_modernbert.model.init import initialize
from clinical_modernbert.tokenization import train
from documents import blocks, commands, read, run, run_command, write_brat_folder, write_notes

GUIDES = read("docs/guides.md")


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
    (folder / "hospital.yaml").write_text(blocks(GUIDES, "yaml")[0])
    return folder


def test_every_command_of_the_guides_runs(workplace: Path) -> None:
    for arguments in commands(GUIDES):
        assert run_command(workplace, arguments).strip(), arguments
    assert "**Credentialed.**" in (workplace / "hospital-model" / "README.md").read_text()


def test_the_python_of_the_guides_runs(workplace: Path) -> None:
    (program,) = blocks(GUIDES, "python")
    assert run(workplace, "-c", program + "assert [one.title for one in sections[0]] == ['history of present illness', 'plan']")
