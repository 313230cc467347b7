"""Portraits with faults whose size is known: what training, benchmarks and the demo learn from and are held to.

`camera` and `subject` put single faults on a photograph; `lighting`, `devices` and `capture` take one anew with a simulated
camera, `psychometrics` says what people would say of it, and `dataset` makes whole data sets, written by `release` in
PIQ23's format. `training.default` was fed by `camera` and `subject`: a fault changed there is another training set.
"""
