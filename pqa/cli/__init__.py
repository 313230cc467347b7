"""The command line: one thin file a command, which parses, calls and prints.

A command is a module with `configure` and `run`, named in the entry-point group `pqa.commands`; it is imported when it is
called. Nothing is computed here that a Python user could not have from `pqa`.
"""
