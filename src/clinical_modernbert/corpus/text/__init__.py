"""In: the text of one document. Out: the same text normalised, its sections, language, faults and identifiers; pure functions.

Next: `corpus` runs them over shards, keeps what they find as metadata and counts what they drop.
"""
