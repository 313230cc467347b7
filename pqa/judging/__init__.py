"""From what people said about pairs of pictures to a scale.

`judgements` reads their answers, `scaling` turns them into JOD with intervals, `observers` finds who answers unlike the
others, `sampling` the pairs to ask for next. Knows neither pictures nor models.
"""
