"""Losses: one pure function a paper."""
