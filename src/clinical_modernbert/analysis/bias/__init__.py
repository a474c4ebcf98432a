"""In: an encoder, sentences about groups of people, perhaps a fine-tuned task. Out: what differs when only the group does.

Next: a section of the report.
Flow: `templates` (what is asked) -> `scoring` (log-probabilities) -> `associations`; `vectors` (effect sizes); `flips` (a task's answers);
`findings` and `section` say what was found.
"""
