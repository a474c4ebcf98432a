"""In: an ICD code as tables spell it. Out: the code with its dot, the title of its chapter. Next: readers of code tables."""

from bisect import bisect_right

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


def with_dot(code: str, digits_before: int) -> str:
    """`E119` -> `E11.9`; a code that has its dot, or is a category, stays."""
    return code if "." in code or len(code) <= digits_before else f"{code[:digits_before]}.{code[digits_before:]}"


def diagnosis(code: str, version: int) -> str:
    """An ICD-9-CM or ICD-10-CM diagnosis code with its dot; ICD-9's external causes have four characters before it."""
    return with_dot(code, 4 if version == 9 and code.startswith("E") else 3)


def chapter(code: str, version: int) -> str:
    """Title of the chapter of a diagnosis code; empty for what stands before the first chapter."""
    chapters = _ICD9 if version == 9 else _ICD10
    position = bisect_right([start for start, _ in chapters], code.partition(".")[0])
    return chapters[position - 1][1] if position else ""
