"""In: a code as tables spell it. Out: the code with its dot, and the codes above it that it spells. Next: readers of code tables."""

from collections.abc import Mapping


def with_dot(code: str, digits_before: int) -> str:
    """`E119` -> `E11.9`; a code that has its dot, or is a category, stays."""
    return code if "." in code or len(code) <= digits_before else f"{code[:digits_before]}.{code[digits_before:]}"


def diagnosis(code: str, version: int) -> str:
    """An ICD-9-CM or ICD-10-CM diagnosis code with its dot; ICD-9's external causes have four characters before it."""
    return with_dot(code, 4 if version == 9 and code.startswith("E") else 3)


def above(system: str, code: str) -> list[str]:
    """The codes that a code spells on the way up, nearest first; none in systems whose codes do not nest.

    Example:
        >>> above("ICD-10-CM", "E11.319"), above("ICD-10-PCS", "0016070")
        (['E11.31', 'E11.3', 'E11'], ['001'])
    """
    if system == "ICD-10-PCS":
        return [code[:3]] if len(code) > 3 else []
    category, _, detail = code.partition(".")
    if system not in ("ICD-9-CM", "ICD-10-CM") or not detail:
        return []
    return [*(f"{category}.{detail[:length]}" for length in range(len(detail) - 1, 0, -1)), category]


def parents(system: str, code: str, names: Mapping[tuple[str, str], str]) -> tuple[tuple[str, str], ...]:
    """The nearest code above that the table names, else the nearest that there can be: one ending in `X` only fills a gap."""
    spelled = above(system, code)
    known = [(parent, names[system, parent]) for parent in spelled if (system, parent) in names]
    return tuple((known or [(parent, "") for parent in spelled if not parent.endswith("X")])[:1])
