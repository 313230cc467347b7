"""Data sets of rated pictures: rows, labels, predictions, official splits. Torch-free.

`sets` is the table of layouts, one file each; `check` says what is wrong with a set, `parts` cuts it by `duplicates` into
train, choose and report. `published` holds figures of others with their sources, `assets` the shipped portrait. Ratings are
never changed here.
"""
