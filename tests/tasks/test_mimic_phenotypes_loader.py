"""Phenotypes of MIMIC-III: invented notes and annotations in the official tables."""

import gzip
from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.tasks.examples import LabelledText
from clinical_modernbert.tasks.loaders.mimic_phenotypes import PHENOTYPES, phenotypes
from clinical_modernbert.tasks.reading.data_folder import DataFolder

NOTES = """"ROW_ID","SUBJECT_ID","HADM_ID","CHARTDATE","CHARTTIME","STORETIME","CATEGORY","DESCRIPTION","CGID","ISERROR","TEXT"
174,22532,167853,2151-08-04,,,"Discharge summary","Report",,,"A made-up
note."
175,22533,167854,2151-08-04,,,"Nursing","Report",,,"Another."
176,22534,167855,2151-08-04,,,"Nursing","Report",,,"Not annotated."
"""


def write(folder: Path) -> DataFolder:
    columns = [name.upper() for name in PHENOTYPES]
    header = ",".join(["HADM_ID", "SUBJECT_ID", "ROW_ID", *columns, "NONE", "UNSURE", "BATCH.ID", "OPERATOR"])

    def row(patient: str, note: str, *marked: str) -> str:
        marks = ["1" if name in marked else "0" for name in [*columns, "NONE", "UNSURE"]]
        return ",".join(["1", patient, note, *marks, "1", "XX"])

    rows = [row("22532", "174", "DEMENTIA", "OBESITY"), row("22532", "174", "OBESITY"), row("22533", "175", "NONE"), row("1", "9")]
    (folder / "ACTdb102003.csv").write_text("\n".join([header, *rows]) + "\n")
    (folder / "NOTEEVENTS.csv.gz").write_bytes(gzip.compress(NOTES.encode()))
    return DataFolder(folder, "Apply.")


def test_a_note_has_what_half_of_its_annotators_marked(tmp_path: Path) -> None:
    splits = phenotypes(write(tmp_path))
    everything = sorted([*splits.train, *splits.dev, *splits.test], key=lambda example: example.id)
    assert everything == [
        LabelledText("174", "A made-up\nnote.", ("dementia", "obesity"), group="mimic3:22532"),
        LabelledText("175", "Another.", (), group="mimic3:22533"),
    ]
    assert splits.counted == {"note on which annotators differ": 1, "annotated note that is not there": 1}


def test_a_table_without_a_phenotype_is_an_error(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (tmp_path / "ACTdb102003.csv").write_text("ROW_ID,OBESITY\n1,1\n")
    with pytest.raises(DataError, match=r"no 'advanced\.cancer' column"):
        phenotypes(folder)
