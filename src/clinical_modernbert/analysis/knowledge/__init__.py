"""In: models that fill masks, code tables, held-out text. Out: what of the tables they know, and how well they know clinical words.

Next: a section of the report.
Flow: `questions` (what is asked of a table) -> `answers`; `words`, `word_ranks` (clinical against common words) -> `findings`, `section`.
"""
