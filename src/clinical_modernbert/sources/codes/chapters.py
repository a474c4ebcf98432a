"""In: a code and its system. Out: the title of the chapter or section that the code's range belongs to. Next: `delimited`."""

from bisect import bisect_right
from collections.abc import Mapping
from types import MappingProxyType

_ICD9 = (
    ("001", "Infectious and parasitic diseases"),
    ("140", "Neoplasms"),
    ("240", "Endocrine, nutritional and metabolic diseases, and immunity disorders"),
    ("280", "Diseases of the blood and blood-forming organs"),
    ("290", "Mental disorders"),
    ("320", "Diseases of the nervous system and sense organs"),
    ("390", "Diseases of the circulatory system"),
    ("460", "Diseases of the respiratory system"),
    ("520", "Diseases of the digestive system"),
    ("580", "Diseases of the genitourinary system"),
    ("630", "Complications of pregnancy, childbirth, and the puerperium"),
    ("680", "Diseases of the skin and subcutaneous tissue"),
    ("710", "Diseases of the musculoskeletal system and connective tissue"),
    ("740", "Congenital anomalies"),
    ("760", "Certain conditions originating in the perinatal period"),
    ("780", "Symptoms, signs, and ill-defined conditions"),
    ("800", "Injury and poisoning"),
    ("E000", "Supplementary classification of external causes of injury and poisoning"),
    ("V01", "Supplementary classification of factors influencing health status and contact with health services"),
)
_ICD9_PROCEDURES = (
    ("00", "Procedures and interventions, not elsewhere classified"),
    ("01", "Operations on the nervous system"),
    ("06", "Operations on the endocrine system"),
    ("08", "Operations on the eye"),
    ("17", "Other miscellaneous diagnostic and therapeutic procedures"),
    ("18", "Operations on the ear"),
    ("21", "Operations on the nose, mouth, and pharynx"),
    ("30", "Operations on the respiratory system"),
    ("35", "Operations on the cardiovascular system"),
    ("40", "Operations on the hemic and lymphatic system"),
    ("42", "Operations on the digestive system"),
    ("55", "Operations on the urinary system"),
    ("60", "Operations on the male genital organs"),
    ("65", "Operations on the female genital organs"),
    ("72", "Obstetrical procedures"),
    ("76", "Operations on the musculoskeletal system"),
    ("85", "Operations on the integumentary system"),
    ("87", "Miscellaneous diagnostic and therapeutic procedures"),
)
_ICD10 = (
    ("A00", "Certain infectious and parasitic diseases"),
    ("C00", "Neoplasms"),
    ("D50", "Diseases of the blood and blood-forming organs and certain disorders involving the immune mechanism"),
    ("E00", "Endocrine, nutritional and metabolic diseases"),
    ("F01", "Mental, Behavioral and Neurodevelopmental disorders"),
    ("G00", "Diseases of the nervous system"),
    ("H00", "Diseases of the eye and adnexa"),
    ("H60", "Diseases of the ear and mastoid process"),
    ("I00", "Diseases of the circulatory system"),
    ("J00", "Diseases of the respiratory system"),
    ("K00", "Diseases of the digestive system"),
    ("L00", "Diseases of the skin and subcutaneous tissue"),
    ("M00", "Diseases of the musculoskeletal system and connective tissue"),
    ("N00", "Diseases of the genitourinary system"),
    ("O00", "Pregnancy, childbirth and the puerperium"),
    ("P00", "Certain conditions originating in the perinatal period"),
    ("Q00", "Congenital malformations, deformations and chromosomal abnormalities"),
    ("R00", "Symptoms, signs and abnormal clinical and laboratory findings, not elsewhere classified"),
    ("S00", "Injury, poisoning and certain other consequences of external causes"),
    ("U00", "Codes for special purposes"),
    ("V00", "External causes of morbidity"),
    ("Z00", "Factors influencing health status and contact with health services"),
)
_ICD10_PCS = (
    ("0", "Medical and Surgical"),
    ("1", "Obstetrics"),
    ("2", "Placement"),
    ("3", "Administration"),
    ("4", "Measurement and Monitoring"),
    ("5", "Extracorporeal or Systemic Assistance and Performance"),
    ("6", "Extracorporeal or Systemic Therapies"),
    ("7", "Osteopathic"),
    ("8", "Other Procedures"),
    ("9", "Chiropractic"),
    ("B", "Imaging"),
    ("C", "Nuclear Medicine"),
    ("D", "Radiation Therapy"),
    ("F", "Physical Rehabilitation and Diagnostic Audiology"),
    ("G", "Mental Health"),
    ("H", "Substance Abuse Treatment"),
    ("X", "New Technology"),
)
_HCPCS = (  # level I, which is CPT, by its numbers; level II by its letters
    ("00100", "Anesthesia"),
    ("10004", "Surgery"),
    ("70010", "Radiology"),
    ("80047", "Pathology and laboratory"),
    ("90281", "Medicine"),
    ("99202", "Evaluation and management"),
    ("A0000", "Transport services including ambulance"),
    ("A4000", "Medical and surgical supplies"),
    ("A9000", "Administrative, miscellaneous and investigational"),
    ("B4000", "Enteral and parenteral therapy"),
    ("C1000", "Outpatient prospective payment system"),
    ("D0000", "Dental procedures"),
    ("E0000", "Durable medical equipment"),
    ("G0000", "Temporary procedures and professional services"),
    ("H0000", "Alcohol and drug abuse treatment services"),
    ("J0000", "Drugs administered other than oral method"),
    ("J8499", "Oral drugs"),
    ("J9000", "Chemotherapy drugs"),
    ("K0000", "Temporary codes for durable medical equipment"),
    ("L0000", "Orthotic procedures and devices"),
    ("L5000", "Prosthetic procedures"),
    ("M0000", "Medical services"),
    ("P0000", "Pathology and laboratory services"),
    ("Q0000", "Temporary codes"),
    ("R0000", "Diagnostic radiology services"),
    ("S0000", "Temporary national codes (non-Medicare)"),
    ("T1000", "National codes established for state Medicaid agencies"),
    ("U0000", "Clinical laboratory tests"),
    ("V0000", "Vision services"),
    ("V5000", "Hearing services"),
)
_CPT_ENDINGS: Mapping[str, str] = MappingProxyType(
    {
        "F": "Performance measurement",
        "M": "Pathology and laboratory",
        "T": "Emerging technology, services and procedures",
        "U": "Pathology and laboratory",
    }
)
SYSTEMS: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {"ICD-9-CM": _ICD9, "ICD-10-CM": _ICD10, "ICD-10-PCS": _ICD10_PCS, "HCPCS": _HCPCS}
)
"""First code and title of each chapter, by coding system; of ICD-9-CM those of the diagnoses."""


def chapter(system: str, code: str) -> str:
    """Title of the chapter of a code, with its dot; empty for another system, and for what stands before the first chapter.

    Example:
        >>> chapter("ICD-9-CM", "250.00"), chapter("ICD-9-CM", "25.00")
        ('Endocrine, nutritional and metabolic diseases, and immunity disorders', 'Operations on the nose, mouth, and pharynx')
    """
    category = code.partition(".")[0]
    titles = SYSTEMS.get(system, ())
    if system == "ICD-9-CM" and len(category) == 2:  # the procedures of volume 3
        titles = _ICD9_PROCEDURES
    if system == "HCPCS" and code[:-1].isdecimal() and code[-1] in _CPT_ENDINGS:
        return _CPT_ENDINGS[code[-1]]
    position = bisect_right([start for start, _ in titles], category)
    return titles[position - 1][1] if position else ""
