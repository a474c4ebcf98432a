"""In: a masked model, its corpus, references. Out: what the model tells of its training text: secrets, persons, documents, rare strings.

Next: a section of the report.
Flow: `hiding` (tokens are hidden, their losses read) -> `exposure` of planted secrets, `persons` and conditions, `membership` of documents;
`vocabulary` counts who a token was learnt from; `section`, with `figures`, says what came of it.
"""
