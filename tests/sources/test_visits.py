from datetime import UTC, date, datetime
from typing import Any

import pytest

from clinical_modernbert.sources.document import Rejection
from clinical_modernbert.sources.visits import Diagnosis, VisitCodes, concept, identifier, iso_time

IDS = [(42, "42"), ("42", "42"), (42.0, "42"), (" 42.0 ", "42"), ("a.0", "a.0"), (None, ""), ("", ""), (float("nan"), "")]


@pytest.mark.parametrize(("value", "expected"), IDS)
def test_an_id_has_one_spelling(value: object, expected: str) -> None:
    assert identifier(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2180-05-07 00:00:00", "2180-05-07T00:00:00"),
        ("2020-01-02T03:04:05.123Z", "2020-01-02T03:04:05.123000+00:00"),
        ("2020-01-02 03:04:05.0000000", "2020-01-02T03:04:05"),
        ("2020-01-02", "2020-01-02"),
        ("2020-01", "2020-01"),
        ("2020", "2020"),
        (datetime(2020, 1, 2, 3, 4, tzinfo=UTC), "2020-01-02T03:04:00+00:00"),
        (date(2020, 1, 2), "2020-01-02"),
        *((value, None) for value in ("", None, "2020-13", "soon", "2020-01-32", 5, [], "2020-01-02 25:00:00")),
    ],
)
def test_a_time_is_iso_8601_or_none(value: object, expected: str | None) -> None:
    assert iso_time(value) == expected


@pytest.mark.parametrize(
    ("code", "version", "expected"),
    [
        *(("E119", 10, "ICD-10-CM:E11.9"), (" e11.9 ", 10, "ICD-10-CM:E11.9"), ("I10", 10, "ICD-10-CM:I10")),
        *(("S72001A", 10, "ICD-10-CM:S72.001A"), ("4019", 9, "ICD-9-CM:401.9")),
        *(("E8500", 9, "ICD-9-CM:E850.0"), ("V4581", 9, "ICD-9-CM:V45.81")),
        *(("44054006", 10, None), ("44054006", 9, None), ("", 10, None), ("E11.9", 9, None), ("Diabetes", 10, None), ("250.", 9, None)),
    ],
)
def test_a_concept_has_its_dot_or_is_none(code: str, version: Any, expected: str | None) -> None:
    assert concept(code, version) == expected


def test_a_visit_has_its_concepts_by_rank_each_once(caplog: pytest.LogCaptureFixture) -> None:
    rejected = Rejection("c.csv", "row 1", "not UTF-8")
    items = [("1", "I10", 2), ("2", "J189", 1), ("1", "E119", 1), ("1", "E11.9", 3), ("", "I10", 1), ("1", "none", 1)]
    codes = VisitCodes([*(Diagnosis(visit, code, 10, rank) for visit, code, rank in items), rejected], "c.csv")
    assert codes.of("1") == ["ICD-10-CM:E11.9", "ICD-10-CM:I10"]
    assert codes.of("2", "1") == ["ICD-10-CM:J18.9", "ICD-10-CM:E11.9", "ICD-10-CM:I10"]
    assert codes.of("3") == codes.of("") == codes.of() == []
    assert "c.csv: 3 diagnoses are left out" in caplog.text


def test_no_diagnoses_are_no_codes() -> None:
    assert VisitCodes([], "nothing").of("1") == []
