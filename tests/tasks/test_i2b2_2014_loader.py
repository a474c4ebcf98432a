"""i2b2/UTHealth 2014: invented notes in the official XML."""

from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks.examples import LabelledText
from clinical_modernbert.tasks.loaders import i2b2_2014
from clinical_modernbert.tasks.reading.data_folder import DataFolder

DEID = """<?xml version="1.0" encoding="UTF-8" ?>
<deIdi2b2>
<TEXT><![CDATA[Record date: 2099-01-02
Seen by Dr. Testname.]]></TEXT>
<TAGS>
<DATE id="P0" start="13" end="23" text="2099-01-02" TYPE="DATE" comment="" />
<NAME id="P1" start="36" end="44" text="Testname" TYPE="DOCTOR" comment="" />
</TAGS>
</deIdi2b2>
"""
RISK = """<?xml version='1.0' encoding='UTF-8'?>
<root>
  <TEXT><![CDATA[High BP. Takes Pillum. Quit smoking.]]></TEXT>
  <TAGS>
    <HYPERTENSION id="DOC0" time="before DCT" indicator="mention"/>
    <HYPERTENSION id="DOC1" time="during DCT" indicator="mention"/>
    <MEDICATION id="DOC2" time="before DCT" type1="beta blocker" type2=""/>
    <SMOKER id="DOC3" status="past"/>
    <PHI id="DOC4" TYPE="NAME"/>
  </TAGS>
</root>
"""


def write(folder: Path, content: str, kind: str, test: str) -> DataFolder:
    for place, name in ((f"training-{kind}-Gold-Set1", "100-01"), (f"training-{kind}-Gold-Set2", "200-01"), (test, "300-02")):
        (folder / place).mkdir()
        (folder / place / f"{name}.xml").write_text(content)
    return DataFolder(folder, "Apply.")


def test_deidentification_gives_spans_by_type_and_keeps_patients_together(tmp_path: Path) -> None:
    splits = i2b2_2014.deid(write(tmp_path, DEID, "PHI", "testing-PHI-Gold-fixed"))
    (test,) = splits.test
    assert (test.id, test.group, test.spans) == ("300-02", "300", (Span(13, 23, "DATE"), Span(36, 44, "DOCTOR")))
    assert {text.group for text in [*splits.train, *splits.dev]} == {"100", "200"}


def test_risk_factors_are_the_tags_of_a_note_with_their_fields(tmp_path: Path) -> None:
    splits = i2b2_2014.risk_factors(write(tmp_path, RISK, "RiskFactors", "testing-RiskFactors-Gold"))
    assert splits.test == [
        LabelledText(
            "300-02",
            "High BP. Takes Pillum. Quit smoking.",
            (
                "hypertension|mention|before dct",
                "hypertension|mention|during dct",
                "medication|beta blocker|before dct",
                "smoker|past",
            ),
            group="300",
        )
    ]
    assert splits.counted["tag of no risk factor"] == 3


def test_half_of_the_training_files_is_an_error(tmp_path: Path) -> None:
    folder = write(tmp_path, DEID, "PHI", "testing-PHI-Gold-fixed")
    (tmp_path / "training-PHI-Gold-Set2").rename(tmp_path / "other")
    with pytest.raises(DataError, match=r"no \.xml files in a folder training-PHI-Gold-Set2 \(.*\)\. Apply\."):
        i2b2_2014.deid(DataFolder(tmp_path, "Apply."))
    assert folder.path == tmp_path
