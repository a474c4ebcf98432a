"""In: a `DataFolder` with the files of a data set as its publishers distribute them. Out: `Splits`.

Next: `catalogue`. A module for each data set, a function for each task made of it.
"""
