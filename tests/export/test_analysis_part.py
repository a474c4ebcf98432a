"""What a report of the analysis found stands in the exported card, and only in the card of the weights that it is of."""

import json
from pathlib import Path

import pytest

from clinical_modernbert.cli.main import main
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.export.analysis_part import read_analysis, with_analysis
from clinical_modernbert.export.hf import export_hf
from clinical_modernbert.model import hf


@pytest.fixture(scope="module")
def report(run, corpus, tmp_path_factory) -> Path:
    """The report of one section on the run's model, with its corpus."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "other.jsonl").write_text("".join(json.dumps({"text": f"Wind and weather of day {i}, mild."}) + "\n" for i in range(8)))
    options = [
        "--corpus",
        str(corpus.folder),
        "--texts",
        f"weather={folder / 'other.jsonl'}",
        "--device",
        "cpu",
        "-o",
        str(folder / "made"),
    ]
    assert main(["analyze", "languages", str(run.model), *options, "--reference", str(run.model), "-q"]) == 0
    return folder / "made"


def test_the_card_repeats_the_findings_with_the_access_of_their_corpus(run, report, tmp_path):
    assert main(["export", "hf", str(run.model), "-o", str(tmp_path / "model"), "--report", str(report), "-q"]) == 0
    card = (tmp_path / "model" / "README.md").read_text()
    part = card.partition("\n## Analysis\n")[2].partition("\n## ")[0]
    said = json.loads((report / "metrics.json").read_text())
    assert said["weights_sha256"] in part
    assert "whose access is **credentialed**" in part
    (finding,) = said["sections"][0]["findings"]
    assert "(+0.000 bits a byte" in finding["reading"]
    assert finding["reading"] in part
    assert "What this cannot show" in part
    assert card.index("## Evaluation") < card.index("## Analysis") < card.index("## Intended use") < card.index("## Limits")
    assert "our-notes | CC0 <test> & more | credentialed" in card


def test_a_report_of_other_weights_is_refused_in_one_line_before_anything_is_written(run, report, tmp_path, capsys):
    other = tmp_path / "metrics.json"
    said = json.loads((report / "metrics.json").read_text())
    other.write_text(json.dumps(said | {"weights_sha256": "0" * 64}))
    assert main(["export", "hf", str(run.model), "-o", str(tmp_path / "model"), "--report", str(other)]) == 1
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("error: the report is of other weights")
    assert "000000000000" in error
    assert "cmbert analyze" in error
    assert not (tmp_path / "model").exists()


def test_what_is_no_report_is_said_so(run, tmp_path):
    for name, text in (("empty.json", ""), ("list.json", "[]"), ("old.json", '{"format_version": 1, "codes": {}}')):
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match=r"no report of `cmbert analyze`"):
            export_hf(run.model, tmp_path / "model", report=tmp_path / name)
    with pytest.raises(ConfigError, match="no report"):
        export_hf(run.model, tmp_path / "model", report=tmp_path)


def test_a_newer_report_takes_the_place_of_an_older_one_and_markup_stays_text(run, report):
    analysis = read_analysis(report, hf.weights_sha256(run.model))
    once = with_analysis("# A card\n\n## Use\nSo.\n\n## Limits\nMany.\n", analysis)
    assert with_analysis(once, analysis) == once
    assert once.endswith("\n## Use\nSo.\n\n## Limits\nMany.\n")
    assert with_analysis("# Another's card\n", analysis).count("## Analysis") == 1
    told = analysis.sections[0]
    wild = type(analysis)(analysis.weights_sha256, "1", None, [type(told)("<b>T</b>", [("a", "x\n## Use\n<img src=x>")], "")])
    part = with_analysis("# A card\n", wild)
    assert "<img" not in part
    assert part.count("\n## ") == 1
