"""i2b2 2006: invented records in the official XML."""

from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.tasks.loaders import i2b2_2006
from clinical_modernbert.tasks.reading.data_folder import DataFolder

DEID = """<?xml version="1.0"?>
<ROOT>
<RECORD ID="{id}">
<TEXT>
Seen by <PHI TYPE="DOCTOR">Testname</PHI> .
</TEXT>
</RECORD>
</ROOT>
"""
SMOKING = (
    '<ROOT>\n<RECORD ID="{id}"><SMOKING STATUS="PAST SMOKER"></SMOKING><TEXT>He quit .</TEXT></RECORD>\n'
    '<RECORD ID="9{id}"><TEXT>Nothing .</TEXT></RECORD>\n</ROOT>\n'
)


def write(folder: Path, prefix: str, record: str) -> DataFolder:
    (folder / f"{prefix}_surrogate_train_all_version2.xml").write_text(record.format(id=1))
    (folder / f"{prefix}_surrogate_test_all_groundtruth_version2.xml").write_text(record.format(id=2))
    (folder / f"{prefix}_surrogate_test_all_version2.xml").write_text("without annotations")
    return DataFolder(folder, "Apply.")


def test_deidentification_gives_spans_by_their_type(tmp_path: Path) -> None:
    splits = i2b2_2006.deid(write(tmp_path, "deid", DEID))
    (train,), (test,) = [*splits.train, *splits.dev], splits.test
    assert (train.id, test.id, test.text, test.spans) == ("1", "2", "\nSeen by Testname .\n", (Span(9, 17, "DOCTOR"),))


def test_smoking_gives_one_status_of_a_record_and_counts_records_without(tmp_path: Path) -> None:
    splits = i2b2_2006.smoking(write(tmp_path, "smokers", SMOKING))
    (test,) = splits.test
    assert (test.id, test.text, test.labels) == ("2", "He quit .", ("past smoker",))
    assert splits.counted["not one smoking status"] == 2


def test_a_file_without_records_is_an_error_without_text(tmp_path: Path) -> None:
    folder = write(tmp_path, "deid", DEID)
    (tmp_path / "deid_surrogate_train_all_version2.xml").write_text("<ROOT>\n<TEXT>Testname</TEXT>\n</ROOT>")
    with pytest.raises(DataError, match=r"no RECORD with an ID and a TEXT \(.*train_all_version2\.xml, line 2, TEXT\)\. Apply\."):
        i2b2_2006.deid(folder)
