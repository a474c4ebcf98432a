"""What names and places are made of."""

UPPER = "A-ZÀ-ÖØ-Þ"
_LETTERS = r"[^\W\d_]{1,29}"
CAPITALISED = rf"[{UPPER}](?:['’](?=[{UPPER}]))?{_LETTERS}(?:(?:['’](?=[{UPPER}])|-){_LETTERS}){{0,2}}"
"""A pattern of one word with a capital letter: `Quimby`, `O'Quimby`, `Quimby-Flonk`, `QUIMBY`."""

_NOT_A_NAME = """
the this that these his her their our he she they it patient pt none self unknown same na not no yes see per and or is was will has had in
on at for with to from as if who what all any each new old right left normal stable negative positive alive deceased denies reports date
age sex unit medical service services room number history physical past chief present family social review vital discharge admission
by once both an then after during before there upon because following when while
cardiology radiology surgery medicine neurology oncology orthopedics orthopaedics anesthesia pathology emergency nursing internal general
hospital clinic team department staff resident fellow intern practitioner manager specialist assistant university center institute national
college park foundation inc corp ltd llc co solutions laboratories
dr mr mrs ms prof name mrn
abc abcd xyz xy xx xxx xxxx xxxxx sample
"""
NOT_NAMES = frozenset(_NOT_A_NAME.split())
"""Words in lower case that no name begins or ends with; the last line are stand-ins that texts made public write instead of one."""
