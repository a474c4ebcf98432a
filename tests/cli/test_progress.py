import io
import logging
import sys

import pytest

from clinical_modernbert.cli.progress import amount, bar, lines, progress


def test_a_line_now_and_then_and_one_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "clinical_modernbert")
    times = iter([0, 10, 31, 40, 62, 70])
    with lines("Reading", 100, "files", clock=lambda: next(times), seconds=30) as advance:
        for _ in range(4):
            advance(10)
    assert [record.message for record in caplog.records] == [
        "Reading: 20 of 100 files, 0.645/s, 124 s left",
        "Reading: 40 of 100 files, 0.645/s, 93 s left",
        "Reading: 40 files, 0.571/s, 70 s",
    ]


def test_quiet_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "clinical_modernbert")
    with progress("Reading", 2) as advance:
        advance(2)
    assert caplog.records == []


def test_a_bar_shows_amount_and_rest_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with bar("Reading", 4, "files") as advance:
        advance(2)
    assert "2 of 4 files" in terminal.getvalue()


def test_an_unknown_total_has_no_remaining_time() -> None:
    assert amount(1000, None, "documents", 4) == "1,000 documents, 250/s, 4 s"


def test_what_an_earlier_run_did_is_shown_and_not_taken_for_speed() -> None:
    assert amount(900, 1000, "documents", 4, before=700) == "900 of 1,000 documents, 50/s, 2 s left"


def test_nothing_done_yet_divides_by_nothing() -> None:
    assert amount(0, 5, "", 0) == "0 of 5, 0/s"
