"""The set head of a model file: joint scores of the pictures of one set.

A batch of the main graph mixes pictures of several sets, so what is worked out over a set is a second, small ONNX graph. It
lies as base64 in the metadata of the same file under the key `SETS_KEY`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pqa.errors import ModelError
from pqa.session import open_session
from pqa.spec import SETS_KEY

__all__ = ["MAX_SET", "SetHead", "open_set_head"]

Array = npt.NDArray[np.float32]

MAX_SET = 1000
"""Larger sets get no joint scores: every picture is compared with every other."""


class SetHead:
    """An opened set head. Safe to share between threads."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def scores(self, embedding: Array, score: Array) -> Array:
        """Joint scores (M, A) of one set from its embeddings (M, E) and independent scores (M, A), all float32.

        Raises ModelError where the graph fails or gives a score that is not finite.
        """
        try:
            (joint,) = self._session.run(["joint"], {"embedding": embedding, "score": score})
        except Exception as error:  # ONNX Runtime raises classes of its own that share no public base
            raise ModelError(f"the set head failed on {len(score)} pictures: {error}") from error
        found: Array = joint
        if not np.isfinite(found).all():
            raise ModelError(f"the set head gave a score that is not finite, over {len(score)} pictures")
        return found


def open_set_head(
    metadata: Mapping[str, str], *, embedding: int, attributes: int, provider: str = "cpu", threads: int = 1
) -> SetHead:
    """Open the set head in the `metadata` of a file whose main graph gives embeddings (N, `embedding`).

    Raises ModelError where there is none, and for a graph of other inputs and outputs than the contract's.
    """
    if SETS_KEY not in metadata:
        raise ModelError(f"the spec promises joint scores, but the file has no set head (metadata key {SETS_KEY!r})")
    try:
        data = base64.b64decode(metadata[SETS_KEY], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ModelError(f"the set head is not base64: {error}") from error
    session = open_session(data, provider=provider, threads=threads)
    wanted = {"embedding": [embedding], "score": [attributes], "joint": [attributes]}
    found = {node.name: node.shape[1:] for node in (*session.get_inputs(), *session.get_outputs())}
    if found != wanted:
        raise ModelError(f"expected a set head with the shapes {wanted} behind the set's axis, got {found}")
    return SetHead(session)
