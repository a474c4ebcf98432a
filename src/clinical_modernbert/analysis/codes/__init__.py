"""In: encoders and code tables. Out: what pooled vectors of descriptions know, beside untrained shapes and bags of embeddings.

Next: a section of the report.
Flow: `questions` (what is asked of a table) -> `answers` (figures of each encoder) -> `section`; `maps` draws codes by chapter.
"""
