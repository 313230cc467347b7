"""Portrait quality assessment: which shot of a scene do people prefer, and why."""

__version__ = "0.1.0"
