"""In: encoders and code tables. Out: what pooled vectors of descriptions know, beside untrained shapes and bags of embeddings.

Next: a section of the report.
Flow: `questions` (what is asked of a table) -> `answers` (figures of each encoder), `by_layer` (of each of its layers) -> `section`;
`gem`, `correspondence` (right answers across systems) -> `alignment` (ICD-9-CM and ICD-10-CM); `maps` draws codes by chapter.
"""
