"""Pictures that travel with pqa; their provenance stands in the README beside them."""

from pathlib import Path

__all__ = ["ASTRONAUT"]

ASTRONAUT = Path(__file__).parent / "astronaut.png"
"""A portrait, 512 x 512, public domain."""
