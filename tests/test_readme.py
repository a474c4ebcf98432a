"""The README's commands run, in its order, on files that a user could have; its numbers are those of benchmarks/results."""

import gzip
import json
import re
from pathlib import Path

import pytest
import yaml

from documents import ROOT, blocks, commands, read, run, run_command, write_brat_folder, write_notes

README = read("README.md")
CITATION = """<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID Version="1">{0}</PMID><Article><Journal><JournalIssue><PubDate>
<Year>2020</Year></PubDate></JournalIssue></Journal><ArticleTitle>Trial number {0}.</ArticleTitle><Abstract><AbstractText>Result {0} of the
trial.</AbstractText></Abstract><Language>eng</Language></Article></MedlineCitation></PubmedArticle></PubmedArticleSet>"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A folder with the files that the README's corpus.yaml names."""
    folder = tmp_path_factory.mktemp("readme")
    with gzip.open(folder / "notes.jsonl.gz", "wt") as file:
        file.write(write_notes(folder))
    (folder / "mimic-iv-note" / "note").mkdir(parents=True)
    header = "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text\n"
    for name, kind in (("discharge", "DS"), ("radiology", "RR")):
        with gzip.open(folder / "mimic-iv-note" / "note" / f"{name}.csv.gz", "wt") as file:
            file.write(header + "".join(f'{i}-{kind}-1,{i},2{i},{kind},1,,,"Name: ___\nNote {i}, {kind}."\n' for i in range(40)))
    (folder / "baseline").mkdir()
    for i in range(30):
        (folder / "baseline" / f"{i}.xml").write_text(CITATION.format(1000 + i))
    write_brat_folder(folder)
    config = next(block for block in blocks(README, "yaml") if block.startswith("sources:"))
    (folder / "corpus.yaml").write_text(config)
    return folder


def test_every_command_of_the_readme_runs(workplace):
    names = [arguments[0] for arguments in commands(README)]
    first, used = ["corpus", "pretrain", "export"], ["fill-mask", "embed", "index", "search", "finetune", "tag"]
    assert names == [*first, *used, "config", "pretrain", "pretrain", "tokenizer"]
    for arguments in commands(README):
        assert run_command(workplace, arguments).strip()
    sources = {source["type"] for source in yaml.safe_load((workplace / "corpus.yaml").read_text())["sources"]}
    manifest = json.loads((workplace / "corpus" / "manifest.json").read_text())
    assert len(manifest["sources"]) == len(sources)
    assert manifest["refused"] == []
    assert manifest["access"] == "credentialed"
    assert "**Credentialed.**" in (workplace / "my-model" / "README.md").read_text()


def test_the_python_of_the_readme_runs(workplace):
    program = next(block for block in blocks(README, "python") if "cmb.pretrain" in block)
    rehearsal = "from clinical_modernbert import recipes\nreal = recipes.get\nrecipes.get = lambda name: real(name).limited(6000)\n"
    (workplace / "python").mkdir()
    (workplace / "python" / "baseline").symlink_to(workplace / "baseline")
    run(workplace / "python", "-c", rehearsal + program + "assert (run.model / 'README.md').exists()")


def test_the_make_targets_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {line.split()[1] for block in blocks(README, "bash") for line in block.splitlines() if line.startswith("make ")} <= targets


def test_what_the_readme_shows_is_what_the_quickstart_printed():
    result = json.loads((ROOT / "benchmarks" / "results" / "quickstart.json").read_text())
    assert result["printed"].strip() in README
    assert result["example"].strip() in README
    assert result["example_output"].strip() in README
    summary = result["summary"]
    assert f"(MRR {summary['mrr_masked']:.2f} against {summary['mrr_untrained']:.2f})" in README
    assert f"{summary['mrr_ratio']:.1f} times as well as those ({summary['mrr_aligned']:.2f})" in README
    assert f"took {result['seconds'] / 60:.0f} minutes and {result['peak_memory_gib']:.1f} GiB" in README


def test_the_open_models_figures_are_those_of_its_results():
    encoders = json.loads((ROOT / "benchmarks" / "results" / "open_model_alignment.json").read_text())["codes"]["HPO"]["encoders"]
    ours, yardstick = encoders["model"], next(figures for name, figures in encoders.items() if "minilm" in name)
    assert f"{ours['mrr']['value']:.2f} on these questions" in README
    assert f"has {yardstick['mrr']['value']:.2f};" in README
    assert f"(AUC {ours['pair_auc']['value']:.2f} against {yardstick['pair_auc']['value']:.2f})" in README
    masked = json.loads((ROOT / "benchmarks" / "results" / "open_model.json").read_text())
    context, parameters = masked["context"]["after_long_rows"], masked["summary"]["parameters"]
    assert f"{parameters / 1e6:.1f}M parameters trained on public text" in README
    assert f"worth {context['gain']:.2f} nats" in README
    assert f"cost {context['loss_512']:.2f} with windows of 512 tokens\nand {context['loss_8192']:.2f} with 8,192" in README


def test_relative_links_of_the_documents_lead_somewhere():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
