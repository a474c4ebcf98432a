"""Text -> where its sections begin and what they are called. A pure function; the headers stay in the text."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """A header at `start` and what follows, up to the next header at `end`; `title` in lower case, one word for all its spellings."""

    title: str
    start: int
    end: int


# Of notes, then of abstracts and articles: the title, its other spellings.
_SPELLINGS = """
chief complaint: chief complaints, presenting complaint, reason for visit, reason for consultation, reason for consult, reason for
  admission
clinical history: history, clinical indication, clinical information, clinical data
history of present illness: hpi, present illness, history of presenting illness, history of the present illness, interval history
past medical history: pmh, pmhx, medical history, past history, significant past medical history
past surgical history: psh, pshx, surgical history, past medical and surgical history
family history: family medical history, fhx
social history: shx, personal and social history, family and social history, habits
allergies: allergy, drug allergies, medication allergies, adverse drug reactions, allergies and adverse reactions
medications: medication, meds, current medications, current meds, medication list
admission medications: medications on admission, home medications, medications prior to admission, preadmission medications, meds on
  admission, medications at home
discharge medications: medications on discharge, medications at discharge, medications upon discharge
immunizations: immunization history, immunisations, vaccinations
review of systems: ros, systems review, review of system
vital signs: vitals
physical examination: physical exam, physical, physical findings, admission physical exam, general physical examination
discharge examination: discharge physical exam, discharge physical examination, physical exam on discharge, discharge exam
mental status examination: mental status exam, mental status
laboratory data: labs, laboratory, lab data, lab results, laboratory results, laboratory studies, laboratory findings, pertinent labs
pertinent results: diagnostic studies, diagnostic data, diagnostic results, studies
imaging: imaging studies, radiology, radiographic studies, radiologic studies, x-rays
assessment: clinical assessment, diagnostic impression, diagnostic impressions
assessment and plan: assessment & plan, assessment/plan, a/p, a&p, impression and plan, impression/plan, impression and recommendations
plan: treatment plan, plan of care, disposition and plan
recommendations: recommendation
impression: impressions, final impression, clinical impression
hospital course: brief hospital course, course in hospital, summary of hospital course, hospital course by problem, clinical course
emergency department course: ed course, emergency room course, emergency department course by problem
diagnosis: diagnoses, final diagnosis, final diagnoses, principal diagnosis, clinical diagnosis, secondary diagnoses
admission diagnosis: admission diagnoses, admitting diagnosis, admitting diagnoses, diagnosis on admission, diagnoses on admission
discharge diagnosis: discharge diagnoses, diagnosis on discharge, diagnoses on discharge, diagnosis at discharge
discharge condition: condition on discharge, condition at discharge, condition
discharge disposition: disposition
discharge instructions: instructions, patient instructions, instructions to patient
follow-up: followup, follow up, follow-up instructions, followup instructions, follow up instructions, follow-up plan
transitional issues:
preoperative diagnosis: preoperative diagnoses, pre-operative diagnosis, pre-operative diagnoses, preop diagnosis, preoperative diagnosis
  (es)
postoperative diagnosis: postoperative diagnoses, post-operative diagnosis, post-operative diagnoses, postop diagnosis, postoperative
  diagnosis (es)
procedure: procedures, procedures performed, procedure performed, operation, operations, operation performed, operations performed,
  operative procedure, operative procedures, name of procedure, title of operation, title of procedure, major surgical or invasive
  procedure
procedure in detail: description of procedure, description of the procedure, description of operation, procedure details, procedure
  detail, details of procedure, details of the procedure, procedure description, operative course, operative technique, operation in
  detail, operative procedure in detail
indications: indication, indications for procedure, indications for the procedure, indication for procedure, indications for operation,
  indications for surgery, indication for surgery, reason for exam, reason for examination, reason for study
anesthesia: anaesthesia, type of anesthesia, anesthetic
estimated blood loss: ebl, blood loss
complications: intraoperative complications
specimens: specimen, specimens removed, specimens sent
drains:
examination: exam, type of exam, type of study
comparison: comparisons
technique: procedure and technique
findings: operative findings, intraoperative findings, findings at operation, findings at surgery
subjective:
objective: objectives, aim, aims, purpose
abstract:
background: introduction, background and aims, background and purpose, background and objectives, background and objective
methods: method, materials and methods, material and methods, patients and methods, subjects and methods, methods/design, methodology,
  study design, design
setting: settings, design and setting, study setting
participants: patients, subjects, study population
interventions: intervention
main outcome measures: main outcome measure, main outcomes and measures, outcome measures, primary outcome, measurements
results: result, main results, methods and results, results and discussion
discussion: comment
conclusions: conclusion, interpretation, conclusions and relevance, authors' conclusions, summary and conclusions
case presentation: case report, case history, case description
trial registration: clinical trial registration, registration
limitations: strengths and limitations
funding: funding sources, sources of funding
acknowledgements: acknowledgments, acknowledgement, acknowledgment
"""
_TITLES = {
    spelling: title
    for title, _, others in (entry.partition(":") for entry in re.split(r"\n(?! )", _SPELLINGS.strip()))
    for spelling in (title, *(" ".join(other.split()) for other in others.split(",")))
}

# A line is entered at its start or, in the MTSamples set, behind a comma that stands for a line end.
_CANDIDATE = re.compile(
    r"(?P<lead>\n[ \t]*(?:\#{1,6}[ ]|\*\*)?|,)(?P<words>[A-Z][A-Za-z/&'() -]{1,60}+)(?:\*\*)?(?P<end>:|(?=\n|\Z))",
)
_PROSE_BELOW = re.compile(r"\s*\n[^\n]*[a-z]")
_ONE_VALUE = "date name number physician surgeon assistant anesthesiologist time by dob id no sex age"
_FIELD = frozenset(_ONE_VALUE.split())
"""Words of a header that holds one value, not a section."""


def sections(text: str) -> list[Section]:
    r"""The sections of a clinical note, a structured abstract or an article, in order; text before the first one belongs to none.

    A header stands at the start of a line and is

    - one of the known titles in capitals or with a capital letter, followed by a colon or alone on its line (`Brief Hospital Course:`);
    - two to six other words in capitals followed by a colon, or alone on their line above text that is not in capitals.

    It rather misses a header than takes a line of text for one: other single words (`HEENT:`), other titles in lower case and fields such
    as `DATE OF ADMISSION:` are none.

    Example:
        >>> [section.title for section in sections("HPI: cough.\nBrief Hospital Course:\nUneventful.")]
        ['history of present illness', 'hospital course']
    """
    heads = [(title, found.start("words") - 1) for found in _CANDIDATE.finditer("\n" + text) if (title := _title(found))]
    starts = [start for _, start in heads]
    return [Section(title, start, end) for (title, start), end in zip(heads, (*starts[1:], len(text)), strict=False)]


def _title(found: re.Match[str]) -> str | None:
    printed = found["words"].strip(" -")
    words = printed.lower().split()
    capitals = printed.isupper()
    if found["lead"] == "," and not (capitals and found["end"]):
        return None
    if known := _TITLES.get(" ".join(words)):
        return known
    if not capitals or not 2 <= len(words) <= 6 or not _FIELD.isdisjoint(words):
        return None
    return " ".join(words) if found["end"] or _PROSE_BELOW.match(found.string, found.end()) else None
