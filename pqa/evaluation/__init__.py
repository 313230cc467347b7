"""How well scores agree with people: the protocol of PIQ23 and of labs, on plain arrays.

`metrics` is the protocol itself, with `mappings` between scales; `bootstrap` (on `resampling`) gives intervals,
`significance` and `p1401` say whether one model beats another, `labelnoise` how far labels are chance, `decisions` whether
pairs, win probabilities and the picture on top are right, `slices` the same for parts of the data and for devices. Knows
neither files nor models.
"""
