"""In: encoders, abstracts in several languages, texts of other domains. Out: tokens and bits that each costs, what was forgotten.

Next: a section of the report.
Flow: `material` (texts by language and name) -> `hiding` (which words are hidden) -> `loss` (bits of them) -> `answers` -> `section`.
"""
