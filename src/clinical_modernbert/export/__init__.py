"""In: a run, or a model folder. Out: what others load and read: a Hugging Face folder, its model card, a report of the run.

Next: `tasks`, `serving`, and every other tool.
"""
