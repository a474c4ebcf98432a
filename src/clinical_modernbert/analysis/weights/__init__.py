"""In: a model, its start weights, random restarts, documents. Out: what training changed, layer by layer, beside what chance changes.

Next: a section of the report.
Flow: `material` (who is compared, on which texts) -> `matrices`, `attention`, `similarity`, `words` (numbers) -> `figures` -> `section`.
"""
