"""Made-up notes with planted identifiers of HIPAA's eighteen kinds, and with what only looks like one.

Written without regard to the rules that are measured on them: many forms are such as people write and rules do not know. Surnames, towns
and streets are invented, numbers are of ranges that nobody has been given (telephone 555-01xx, social security 9xx) or are drawn.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

# {word}: drawn from WORDS or made by `_Draw`; ~ a digit, ^ a letter; what stands between « and » is planted.
FORMS = {
    "name": (
        ("titled", "Seen by Dr. «{last}» this morning."),
        ("titled", "Mrs. «{first} {last}» tolerated the procedure well."),
        ("titled, no full stop", "Plan discussed with Dr «{last}» of the renal team."),
        ("credentials", "Consult note by «{first} {last}», MD, reviewed."),
        ("credentials", "Wound care was done by «{first} ^. {last}», RN."),
        ("labelled", "Patient: «{first} {last}»\n"),
        ("labelled", "Attending: «{first} {last}»\n"),
        ("labelled, last name first", "NAME: «{LAST}, {FIRST}»\n"),
        ("signature", "Electronically signed by «{first} {last}»\n"),
        ("signature", "Dictated by: «{first} {last}»\n"),
        ("bare, ordinary first name", "«{ordinary} {last}» presented to the clinic with back pain."),
        ("bare, ordinary first name", "We spoke with «{ordinary} ^. {last}» about the risks."),
        ("bare, invented first name", "«{invented} {last}» was admitted with chest pain."),
        ("relative", "Her daughter «{first}» will bring the medication list."),
        ("relative", "His wife, «{first} {last}», was at the bedside."),
        ("first name alone", "«{first}» says that the pain is better today."),
        ("initial", "Case reviewed with «^. {last}» in the morning conference."),
        ("lower case", "pt «{lower_first} {lower_last}» called again, no answer."),
        ("lower case", "spoke w dr «{lower_last}» re transfer."),
        ("possessive", "The «{last}» family agrees with the plan."),
    ),
    "geographic": (
        ("street", "Home address is «~~~ {Street} Street»."),
        ("street", "Sent from «~~~~ N. {Street} Ave» by ambulance."),
        ("street, town and ZIP", "Address: «~~ {Street} Road, {Town}, OH ~~~~~»\n"),
        ("box", "Mail goes to «P.O. Box ~~~~»."),
        ("town and state", "She moved here from «{Town}, Ohio» last year."),
        ("town and state's letters", "He works in «{Town}, TX» as a welder."),
        ("lives in", "She lives in «{Town}» with two cats."),
        ("ZIP", "ZIP code: «~~~~~»\n"),
        ("county", "Followed by the «{Town} County» health department."),
        ("town alone", "Drove up from «{Town}» for the visit."),
        ("town alone", "Works at the mill outside «{Town}»."),
        ("lower case", "stays at «~~ {lower_street} street» w brother."),
        ("coordinates", "Found at «~~.~~~~~, -~~.~~~~~» by the rescue team."),
    ),
    "date": (
        ("month/day/year", "Admitted on «{m}/{d}/{yyyy}» through the emergency room."),
        ("month/day/year", "Last seen «{mm}/{dd}/{yy}» in clinic."),
        ("ISO", "Collected «{yyyy}-{mm}-{dd}» at bedside."),
        ("hyphens", "Date of discharge: «{mm}-{dd}-{yyyy}»\n"),
        ("dots", "Letter of «{d}.{m}.{yyyy}» received."),
        ("month day, year", "Surgery took place on «{month} {d}, {yyyy}» without events."),
        ("day month year", "First dose given «{d} {month} {yyyy}» at home."),
        ("day-Mon-year", "Echo of «{dd}-{mon}-{yyyy}» reviewed."),
        ("month and year", "Diagnosed in «{month} {yyyy}» after a fall."),
        ("month and day", "Returned to work on «{month} {d}» as planned."),
        ("month/day", "Sutures removed on «{m}/{d}» by the nurse."),
        ("month/year", "Last colonoscopy «{mm}/{yyyy}», normal."),
        ("digits behind a label", "DOB «{yyyy}{mm}{dd}»\n"),
        ("age over 89", "This «{old}-year-old» retired teacher lives alone."),
        ("age over 89", "Woman, «{old} y/o», found on the floor."),
        ("age over 89", "He is «{old} years of age» and walks with a cane."),
        ("age over 89 in words", "A «ninety-{unit}-year-old» man with syncope."),
        ("words", "Fell on the «{ordinal} of {month}» while gardening."),
        ("words", "Cast comes off «{lower_month} {d}th», she says."),
        ("holiday", "Symptoms began on «Christmas Eve» at dinner."),
    ),
    "phone": (
        ("hyphens", "Call «~~~-555-01~~» with results."),
        ("parentheses", "Phone: «(~~~) 555-01~~»\n"),
        ("dots", "Reach the daughter at «~~~.555.01~~» after six."),
        ("spaces", "Cell «~~~ 555 01~~» is best."),
        ("country code", "His son abroad: «+44 20 7946 0~~~» in the evening."),
        ("country code", "Home «+1 ~~~ 555 01~~» most days."),
        ("seven digits behind a label", "Phone: «555-01~~»\n"),
        ("seven digits", "She left «555-01~~» as a callback."),
        ("ten digits behind a label", "Tel: «~~~55501~~»\n"),
        ("pager", "Page the resident, pager «4~~~~», overnight."),
        ("odd separators", "Try «~~~ / 555 / 01~~» before noon."),
        ("odd separators", "Number given: «~~~–555–01~~» by the neighbor."),
    ),
    "fax": (
        ("label before", "Fax: «~~~-555-01~~»\n"),
        ("label before", "Records faxed to fax number «(~~~) 555-01~~» today."),
        ("label before", "Fax «~~~.555.01~~» for the pharmacy."),
        ("ten digits behind a label", "FAX# «~~~55501~~»\n"),
        ("label after", "Send to «~~~-555-01~~» (fax) please."),
        ("verb", "Results were faxed over to «555 01~~» yesterday."),
    ),
    "email": (
        ("plain", "Email «{lower_first}.{lower_last}@example.com» for forms."),
        ("plain", "Contact: «{lower_last}~~@mail.example.org»\n"),
        ("tag", "She prefers «{lower_first}+clinic@example.net» for reminders."),
        ("spelled out", "His address is «{lower_last} at example dot com» he said."),
    ),
    "ssn": (
        ("hyphens", "SSN: «9~~-~~-~~~~»\n"),
        ("hyphens", "Social security number «9~~-~~-~~~~» verified."),
        ("no label", "Registration shows «9~~-~~-~~~~» on file."),
        ("digits behind a label", "SSN «9~~~~~~~~» on the form."),
        ("spaces", "Social security «9~~ ~~ ~~~~» given by phone."),
        ("last four", "Last four of social are «~~~~» per husband."),
    ),
    "medical_record_number": (
        ("label", "MRN: «~~~~~~~»\n"),
        ("label", "MRN «0~~~~~~~» pulled."),
        ("label", "Medical Record Number: «^-~~~~-~~»\n"),
        ("label", "Unit No: «~~~-~~-~~»\n"),
        ("label", "Chart #«~~~~~~» was reviewed."),
        ("label", "Patient ID «~~~~~~~~» scanned at the door."),
        ("spaces", "med rec no «~~~ ~~~ ~~» on wristband."),
        ("no label", "Duplicate chart («~~~~~~~») was merged."),
    ),
    "health_plan_number": (
        ("label", "Member ID: «^^^~~~~~~~»\n"),
        ("label", "Medicare number «~^^~-^^~-^^~~» verified."),
        ("label", "Policy no. «~~~-~~~~-~» is active."),
        ("label", "Subscriber: «^~~~~~~~~»\n"),
        ("label", "Insurance ID# «~~~~~~~~~»\n"),
        ("other words", "Covered under her husband's plan («^^~~~~~~») until June."),
    ),
    "account_number": (
        ("label", "Account number: «~~~~~~~~~»\n"),
        ("label", "Acct# «~~-~~~~~~»\n"),
        ("label", "Billing No. «^~~~~~~» was opened."),
        ("card", "Copay charged to «4~~~ ~~~~ ~~~~ ~~~~» today."),
        ("other words", "The balance on «~~~~~~~» was waived."),
    ),
    "license_number": (
        ("label", "Driver's license: «^~~~-~~~~-~~~~»\n"),
        ("label", "DEA: «^^~~~~~~~»\n"),
        ("label", "NPI «1~~~~~~~~~» on the order."),
        ("label", "License No. «^^-~~~~~» expires soon."),
        ("label", "Certificate number «~~~~~-^» attached."),
        ("other words", "Holds commercial permit «^~~~~~~~» for trucks."),
    ),
    "vehicle_identifier": (
        ("VIN", "VIN «1^^~~~^^~^~~~~~~~»\n"),
        ("VIN", "Insurer notes vehicle «2^^^~~~^~~~~~~~~~» as totaled."),
        ("plate", "License plate «^^^-~~~~» reported by police."),
        ("plate", "Plate number: «~^^^~~~»\n"),
        ("other words", "Driving the red pickup «^^^ ~~~» when hit."),
    ),
    "device_identifier": (
        ("label", "Pacemaker serial number «^^~~~~~~»."),
        ("label", "Pump S/N: «~~~~~~~-^»\n"),
        ("label", "Device ID: «^^^-~~~~-~~»\n"),
        ("label", "Serial # «~~^~~~~~» recorded in the log."),
        ("network card", "Monitor «{mac}» lost its connection."),
        ("other words", "The generator, «^^^~~~~~», was interrogated."),
    ),
    "url": (
        ("scheme", "Photos at «https://share.example.com/{lower_last}/~~~» from the family."),
        ("scheme", "See «http://www.example.org/~{lower_last}» for her blog."),
        ("www", "He runs «www.{lower_last}-welding.example.net» as a business."),
        ("domain", "Posts on «{lower_last}family.com» daily."),
        ("spelled out", "Her page is «{lower_last} dot example dot com» she says."),
    ),
    "ip_address": (
        ("IPv4", "Telehealth visit from «10.~~.~~.1~~» by video."),
        ("IPv4", "Portal login at «192.0.2.~~» was refused."),
        ("IPv6", "Connected from «2001:db8:~~~~::~~~~» last time."),
        ("no dots", "Session from address «10-~~-~~-1~~» dropped."),
    ),
    "biometric_identifier": (
        ("label", "Fingerprint ID: «FP-~~~~~~»\n"),
        ("label", "Voiceprint template «VP~~~~~~» enrolled."),
        ("label", "Retinal scan hash «~^~~^~^~» stored."),
        ("label", "Biometric ID «^^~~~~~» used at check-in."),
        ("other words", "Right thumbprint is filed as «TP~~~~»."),
        ("other words", "Gait signature «G~~~~~» matched."),
    ),
    "photograph": (
        ("file", "Uploaded «IMG_~~~~.jpg» to the chart."),
        ("file", "Saved as «{lower_last}_~~.PNG» by the tech."),
        ("mention", "A «full-face photograph» was taken with consent."),
        ("mention", "«Facial photos» attached."),
        ("other words", "The «portrait of the patient» hangs in the binder."),
        ("other words", "Her «selfie» shows the rash."),
    ),
    "other_identifier": (
        ("label", "Accession number: «^~~-~~~~~»\n"),
        ("label", "Study ID «^^-~~~~-~» assigned."),
        ("label", "Passport: «^~~~~~~~»\n"),
        ("label", "Employee ID «~~~~~~» of the plant."),
        ("label", "Specimen no. «S~~-~~~~~» received."),
        ("UUID", "Record key «~~~a~~~f-~~b~-4~~~-a~~~-~~c~~~~d~~~~» was exported."),
        ("other words", "Known to the registry as «^^~~-~~»."),
        ("mark", "Tattoo reading «{LAST} ~~» on the left forearm."),
    ),
}

CLEAN = (
    "BP {sys}/{dia}, HR {small}, RR 16, SpO2 9{digit}% on 2 L.",
    "Temperature 98.{digit}, weight {small}.{digit} kg, BMI 2{digit}.{digit}.",
    "WBC 12.{digit}, Hgb 10.{digit}, platelets ~~~~~~, creatinine 1.~~.",
    "Sodium 13{digit}, potassium 4.{digit}, glucose 1~~, INR 2.{digit}.",
    "Arterial gas 7.3{digit}/4{digit}/8{digit} on 40% oxygen.",
    "Started metoprolol 25 mg p.o. b.i.d. and aspirin 81 mg daily.",
    "Heparin 5000 units subcutaneously every 8 hours.",
    "Vancomycin 1250 mg IV q12h for {digit} days.",
    "Take 1/2 tablet of warfarin on odd days.",
    "Vitamin B12 1000 mcg and vitamin D3 50000 units weekly.",
    "Epinephrine 1:100,000 with 2% lidocaine was injected.",
    "ICD-10 E11.{digit} and I50.2{digit}; CPT 992{digit}3.",
    "Strength 5/5 in all extremities, reflexes 2/4, 2/6 systolic murmur.",
    "GCS 15, Apgar 8/9, pain 7/10 on arrival.",
    "Parkinson disease, stable on carbidopa and levodopa.",
    "Foley catheter removed; Babinski sign absent; Murphy sign negative.",
    "History of Crohn disease since 200{digit} and Whipple procedure in 201{digit}.",
    "Hodgkin lymphoma, Ann Arbor stage II, treated in 201{digit}.",
    "Ringer's lactate was given, 2 liters.",
    "Closed with 4-0 Vicryl and 3-0 Prolene; a 10-mm trocar was placed.",
    "Disc protrusion at L4-L5 and L5-S1; T2-weighted images show edema.",
    "CA 19-9 was 15{digit}0 and CEA 3.{digit}; HER2 2+.",
    "Ejection fraction 45-50%, E/A ratio 0.8.",
    "The {adult}-year-old patient walks without help.",
    "Dr. ___ will see the patient on ___ at ___.",
    "Name: ___ Unit No: ___",
    "Mother has diabetes; father died of a stroke at 7{digit}.",
    "May need repeat imaging in six weeks.",
    "Alert and oriented x3, in no acute distress.",
    "St. Jude valve is well seated; a Medtronic lead is in place.",
    "Lyme disease and Norwalk virus were excluded.",
    "Hospital day {digit}, postoperative day {digit}.",
    "Past Medical History: Type 2 Diabetes Mellitus, Chronic Kidney Disease stage 3.",
    "Follow up with Cardiology and Infectious Disease in 2 weeks.",
    "Chest PA and lateral views show no infiltrate.",
    "MR angiography and CT of the abdomen were normal in 20{two}.",
    "Drank a pint a day for 30 years, quit in 199{digit}.",
    "Drug name: lisinopril; dose: 10 mg; route: p.o.",
    "Case discussed in tumor board; plan: chemotherapy with R-CHOP, 6 cycles.",
    "Serial troponins 0.0{digit}, 0.1{digit} and 0.2{digit}.",
)
"""What only looks like an identifier."""

NOBODYS = (
    "Poison control at 1-800-222-1222 was called.",
    "Handout printed from www.cdc.gov.",
    "Enrolled in NCT0~~~~~~~ at ClinicalTrials.gov.",
    "Guideline of March 2019 was followed.",
    "Vaccine given, lot number ^~~~~^^.",
    "Images were read with software version 4.2.{digit}.1.",
    "Pump model ^^~~~ was returned.",
    "Austin Moore prosthesis on the left; Charles Bonnet syndrome suspected.",
    "Takes St. John's wort; feeds with Dr. Brown's bottle.",
    "Order: heparin 25000 units in 500 mL.",
    "Moved to Room 4{digit}2, bed 1; case 2 of 3 today.",
    "Vitals 98.6 72 18 {sys}/{dia} 97 at 0800, 98.2 80 16 {sys}/{dia} 96 at 1200.",
    "Dilution 1/2/4, pupils 3/3, PHQ-9 12/27, Hodges score 90/100.",
    "Pathology: pT2N0M0, margins 0.4/0.5/1.2 cm.",
    "Symptoms began 95 years after the first report by James Parkinson in 1817.",
    "Insulin on sliding scale: 150-200 2 units, 201-250 4 units, 251-300 6 units.",
    "Medical record reviewed 2019 through 2021; patient 100% compliant.",
)
"""Forms of identifiers that are nobody's, and harder look-alikes."""

_WORDS = """
invented: Zorblat Quenby Flimra Tovash Brindolf Velmira Plonka Xandrel Gwimby Oskarin Drusvel Mopsarine
ordinary: Mary John Susan Robert Linda Carlos Maria James Dorothy Kevin Ngozi Priya Wei Fatima
last: Quimblewick Flonkerton Snorvald Brundlemeyer Tworfle O'Zibble McPlonk Drizzleby-Smoot Vanterpoolsky Grubnik Yztal Pomfrelle
Town: Zorbville Flonk_Falls Quimbleton Snorvald_Heights Port_Drizzle Grubnikburg Mopsfield
Street: Flonk Zorble Quimby Snorval Drizzle Grubnik Old-Mops
month: January February March April May June July August September October November December
unit: one two three four five six seven eight nine
ordinal: first second third fourth tenth twelfth twentieth twenty-second
"""
WORDS = {name: [word.replace("_", " ") for word in words.split()] for name, words in re.findall(r"(\w+): (.*)", _WORDS)}


@dataclass(frozen=True)
class Planted:
    """An identifier: its kind, how it is written, where it stands."""

    kind: str
    form: str
    start: int
    end: int


@dataclass(frozen=True)
class Note:
    text: str
    planted: tuple[Planted, ...]


def notes(count: int, seed: int) -> Iterator[Note]:
    """`count` notes of two to eight planted identifiers between twice as many sentences of CLEAN, every third with one of NOBODYS."""
    chance = random.Random(seed)
    forms = [(kind, form, sentence) for kind, kinds_forms in FORMS.items() for form, sentence in kinds_forms]
    by_kind = {kind: [item for item in forms if item[0] == kind] for kind in FORMS}
    for _ in range(count):
        dirty = [chance.choice(by_kind[chance.choice(list(FORMS))]) for _ in range(chance.randint(2, 8))]
        others = [*chance.choices(CLEAN, k=2 * len(dirty)), *chance.sample(NOBODYS, chance.randrange(3) == 0)]
        parts = [*dirty, *(("", "", sentence) for sentence in others)]
        chance.shuffle(parts)
        yield _note(parts, chance)


def _note(parts: list[tuple[str, str, str]], chance: random.Random) -> Note:
    text, planted = "", []
    for kind, form, sentence in parts:
        if sentence.endswith("\n") and text and not text.endswith("\n"):
            text = text.rstrip() + "\n"
        before, *rest = re.split("[«»]", _fill(sentence, chance))
        text += before
        if rest:
            planted.append(Planted(kind, form, len(text), len(text) + len(rest[0])))
            text += rest[0] + rest[1]
        text += "" if text.endswith("\n") else chance.choice((" ", " ", "\n"))
    return Note(text, tuple(planted))


def _fill(sentence: str, chance: random.Random) -> str:
    filled = sentence.format_map(_Draw(chance))
    filled = re.sub("~", lambda _: chance.choice("0123456789"), filled)
    return re.sub(r"\^", lambda _: chance.choice("ABCDEFGHJKLMNPRSTUVWXYZ"), filled)


class _Draw(dict[str, str]):
    """The word for each `{word}` of a sentence."""

    def __init__(self, chance: random.Random) -> None:
        month, day = chance.randint(1, 12), chance.randint(1, 28)
        year = chance.randint(1940, 2024)
        first, last = chance.choice(WORDS[chance.choice(("invented", "ordinary"))]), chance.choice(WORDS["last"])
        name, street = WORDS["month"][month - 1], chance.choice(WORDS["Street"])
        super().__init__(
            {"first": first, "FIRST": first.upper(), "lower_first": first.lower(), "ordinary": chance.choice(WORDS["ordinary"])}
            | {
                "last": last,
                "LAST": last.upper(),
                "lower_last": last.lower().replace("'", ""),
                "invented": chance.choice(WORDS["invented"]),
            }
            | {
                "Street": street,
                "lower_street": street.lower(),
                "Town": chance.choice(WORDS["Town"]),
                "ordinal": chance.choice(WORDS["ordinal"]),
            }
            | {"m": f"{month}", "mm": f"{month:02}", "d": f"{day}", "dd": f"{day:02}", "yyyy": f"{year}", "yy": f"{year % 100:02}"}
            | {
                "month": name,
                "mon": name[:3],
                "lower_month": name.lower(),
                "two": f"{chance.randint(10, 24)}",
                "unit": chance.choice(WORDS["unit"]),
            }
            | {"old": f"{chance.randint(90, 104)}", "adult": f"{chance.randint(18, 88)}", "small": f"{chance.randint(55, 99)}"}
            | {"mac": ":".join(f"{chance.randrange(256):02x}" for _ in range(6))}
            | {"sys": f"{chance.randint(100, 180)}", "dia": f"{chance.randint(55, 95)}", "digit": f"{chance.randint(1, 9)}"}
        )
