import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.corpus.text.normalise import PLACEHOLDER, normalise

PIECES = [
    "[**",
    "**]",
    "[**a 1**]",
    "_",
    "__",
    "___",
    "____",
    "[NAME]",
    "[NAME",
    "<PERSON>",
    "{{NAME}}",
    "XXXX",
    "X",
    "48,",
    " ",
    "\r",
    "\n",
    "a",
    "e",
]
PIECES += ["\u0301", "\u200b", "\ufeff", "\x85", "\x93", "\u2028", "\ud800", "\u2126", "1", ",", " syndrome"]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.text())
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)


@given(
    st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zs", "Zl", "Zp"), include_characters=" \n\t", exclude_characters="_[<{X"))
)
def test_other_text_changes_by_nfc_alone(text):
    assert normalise(text) == unicodedata.normalize("NFC", text)


def test_line_structure_is_kept():
    assert normalise("HISTORY:\r\n  - cough\r\n\r\n\r\n  - fever\t x\r") == "HISTORY:\n  - cough\n\n\n  - fever\t x\n"
    assert normalise("page 1\fpage 2\x0bline\u2028line") == "page 1\npage 2\nline\nline"


def test_every_form_of_removed_identifier_becomes_one():
    assert normalise("Dr. [**Last Name (STitle) 12**], seen ____ by _____; [**2101-1-1**]") == "Dr. ___, seen ___ by ___; ___"
    assert normalise("[PERSONALNAME] <PERSON> {{NAME}} [PATIENT_12] XXXX-year-old, XXXXX.") == "___ ___ ___ ___ ___-year-old, ___."
    assert normalise("[**First Name 1**][**Last Name 2**]") == PLACEHOLDER


@pytest.mark.parametrize(
    "text", ["x [** y", "48,XXXX", "XXXX syndrome", "(XXXX)", "[AGE]", "[PHI]", "[ID]", "<0.05>", "MXXXXL", "a <b> c", "__init"]
)
def test_what_is_no_placeholder_stays(text):
    assert normalise(text) == text


def test_characters_without_a_shape_go_and_spaces_become_plain():
    assert normalise("\ufeffzero\u200bwidth\u00a0and\u2009thin\u3000\x00\x07.") == "zerowidth and thin ."


def test_joiners_of_persian_and_emoji_stay():
    text = "می\u200cخواهم \U0001f469\u200d\u2695\ufe0f"
    assert normalise(text) == text


def test_quotes_of_wrongly_decoded_text_come_back():
    assert normalise("patient\x92s \x93own\x94 words \x96 quoted") == "patient’s “own” words – quoted"


def test_a_lone_surrogate_can_be_written_afterwards():
    assert normalise("a\ud800b") == "a\ufffdb"
    assert normalise("a\udfff").encode()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", ["[**", "[** ", "**]", "_", "X", "[", "<", "{{", "\r", "\u200b", "e\u0301", "[**[NAME]"])
def test_hostile_text_takes_seconds_at_most(piece):
    began = time.process_time()
    normalise(piece * (2_000_000 // len(piece)))
    assert time.process_time() - began < 10
