"""Where the faces are.

`detectors` is the table of what can find them: `mtcnn`, which ships (its networks are run by `cascade`, its looks at a
picture made by `attempts`), and `dsfd`, whose weights a user brings. `suppression` says which boxes show the same face.
What changes a box here moves the face's view and so changes scores.
"""
