import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.corpus.normalise import normalise, text_hash


def test_line_structure_is_kept():
    assert normalise("HISTORY:\r\n  - cough\r\n\r\n\r\n  - fever\t x\r") == "HISTORY:\n  - cough\n\n\n  - fever\t x\n"


def test_every_form_of_removed_identifier_becomes_one():
    assert normalise("Dr. [**Last Name (STitle) 12**], seen ____ by _____; [**2101-1-1**]") == "Dr. ___, seen ___ by ___; ___"


def test_an_unclosed_bracket_is_text():
    assert normalise("x [** y") == "x [** y"


@given(st.text())
def test_text_without_placeholders_changes_by_nfc_and_line_ends_alone(text):
    expected = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    if "___" not in expected and "[**" not in expected:
        assert normalise(text) == expected


@given(st.text())
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)


def test_hash_ignores_white_space_at_the_ends_alone():
    assert text_hash(" a b\n") == text_hash("a b")
    assert text_hash("a  b") != text_hash("a b")
