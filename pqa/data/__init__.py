"""Data sets, labels and camera faults; torch-free."""
