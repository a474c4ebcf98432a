"""In: models that fill masks, held-out documents, invented notes. Out: how far a model's context reaches, and what it is worth.

Next: a section of the report.
Flow: `texts` (what is read) -> `available`, `edges`, `facts`, `needles` (one measurement each) -> `figures`, `section`.
"""
