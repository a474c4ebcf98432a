"""In: data sets as their publishers distribute them, encoder folders. Out: fine-tuned models, scores with intervals, tables of results.

Next: `analysis`, `cli`, `api`.
"""
