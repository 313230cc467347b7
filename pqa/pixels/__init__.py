"""From bytes to pixels, and what is cut or measured from them.

`source` opens a picture (`headers` read its head, `codecs` decode it); `views` cut the tensors that a model asks for, with
`fragments` and `statistics`; `measures` finds faults in physical terms, `blur` how wide a blur is. The only pixel path of
training, export, service and command line: what changes a pixel here changes every score and makes trained weights stale.
"""
