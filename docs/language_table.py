"""The table of `docs/guides.md` on training in other languages, from what `benchmarks/language.py` wrote."""

from typing import Any

import speed

NAMES = {
    "eng": "English, the same abstracts",
    "english notes": "English case texts",
    "deu": "German",
    "fra": "French",
    "ita": "Italian",
    "rus": "Russian",
    "spa": "Spanish",
    "zho": "Chinese",
}
"""What people call a row."""


def language_section() -> str:
    """What was run, and what it gave."""
    found = speed.read("language")
    settings, old, new = found["settings"], *(found["fertility"][f"{which} vocabulary"] for which in ("old", "new"))
    fits = [f"{figure}, {which} vocabulary" for figure in ("bytes a token", "tokens a word") for which in ("old", "new")]
    head = ["", *fits, "bits a byte before", *(f"change: {way}" for way in found["change"])]
    rows = [
        [
            NAMES[name],
            *(_number(which[name].get(figure)) for figure in ("bytes_per_token", "tokens_per_word") for which in (old, new)),
            _number(found["bits_per_byte"]["before"][name]["value"]),
            *(_change(changes[name]) for changes in found["change"].values()),
        ]
        for name in sorted(NAMES, key=lambda name: name in ("eng", "english notes"))
        if name in old
    ]
    tokens = f"{settings['first_tokens'] / 1e6:.1f}M tokens of English went on for {settings['more_tokens'] / 1e3:.0f}k"
    about = (
        f"`benchmarks/language.py`; {found['articles']} articles of PubMed with an abstract in seven languages, each of them set aside "
        f"once while the others ({_kilobytes(found, settings['folds'])} kB in six languages) were trained on; a model of "
        f"{found['parameters'] / 1e6:.1f}M parameters after {tokens}; {settings['vocab_size']:,} ids in both vocabularies; "
        "one thread. Bits a byte of hidden words; below a change its 95% interval over articles:\n\n"
    )
    return about + speed.table(head, rows)


def _kilobytes(found: dict[str, Any], folds: int) -> str:
    others = sum(size for name, size in found["bytes"].items() if name not in ("eng", "english notes"))
    return f"{others * (1 - 1 / folds) / 1e3:.0f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _change(cell: dict[str, float]) -> str:
    return f"{cell['value']:+.2f}<br>{cell['low']:+.2f} to {cell['high']:+.2f}"
