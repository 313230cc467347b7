"""Results of one or several predictors on one set of labels, as text, JSON, CSV, LaTeX, HTML and SVG.

`study` computes once what all forms print. Forms compute nothing of their own: a figure that is new belongs to
`pqa.evaluation`.
"""
