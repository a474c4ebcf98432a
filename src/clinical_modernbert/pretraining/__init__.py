"""In: `PackedBatch`es and a recipe. Out: a run folder: metrics, checkpoints, and the model of the last one.

Next: `export` adds the card, `inference` uses the model.
Flow: `settings` (what a recipe may say) -> `run` (folder, data, model) -> `loop` (steps) -> `checkpoint` (whole or not at all).
"""
