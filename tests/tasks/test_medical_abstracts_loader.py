"""Medical Abstracts, in the CSV files of its repository."""

from pathlib import Path

import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.tasks.loaders import medical_abstracts
from clinical_modernbert.tasks.reading.data_folder import DataFolder


def write(folder: Path, test: str) -> DataFolder:
    rows = "".join(f'1,"Abstract {id}, ""quoted"". "\n5,"Abstract {id}, ""quoted"". "\n' for id in range(40))
    (folder / "medical_tc_labels.csv").write_text("condition_label,condition_name\n1,neoplasms\n5,general pathological conditions\n")
    (folder / "medical_tc_train.csv").write_text("condition_label,medical_abstract\n" + rows)
    (folder / "medical_tc_test.csv").write_text("condition_label,medical_abstract\n" + test)
    return DataFolder(folder, "")


def test_classes_have_their_names_and_quotes_are_read(tmp_path: Path) -> None:
    splits = medical_abstracts.medical_abstracts(write(tmp_path, '1,"Lumps, ""many"" of them. "\n'))
    (example,) = splits.test
    assert (example.text, example.labels) == ('Lumps, "many" of them. ', ("neoplasms",))


def test_an_abstract_of_two_classes_is_in_one_part(tmp_path: Path) -> None:
    splits = medical_abstracts.medical_abstracts(write(tmp_path, "1,One.\n"))
    train, dev = ({example.text for example in part} for part in (splits.train, splits.dev))
    assert (len(splits.train) + len(splits.dev), len(train) + len(dev)) == (80, 40)
    assert dev


@pytest.mark.parametrize(("row", "reason"), [("9,One.\n", "a class that"), ('1,"One.\n', "quotes that do not close")])
def test_a_damaged_row_is_refused(tmp_path: Path, row: str, reason: str) -> None:
    with pytest.raises(DataError, match=rf"{reason}.*medical_tc_test\.csv, line [1-3]\)"):
        medical_abstracts.medical_abstracts(write(tmp_path, row))
