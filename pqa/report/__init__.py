"""Evaluation of one or several predictors on one set of labels, and its forms: text, JSON, CSV, LaTeX, HTML."""
