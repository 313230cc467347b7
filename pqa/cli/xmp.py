"""Star ratings in XMP sidecars, as photo software reads them.

Two habits of naming: `adobe`, `IMG.xmp`, one sidecar for all files of that name (Lightroom, Bridge and Camera Raw read it
beside RAW files only; of a JPEG they read the rating inside the file, which is never touched here); `darktable`,
`IMG.jpg.xmp`, one a file, which darktable and digiKam read beside any picture.
"""

from __future__ import annotations

import io
import os
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pqa.errors import DataError
from pqa.types import Group, Ranking

__all__ = ["Naming", "sidecars", "stars", "with_rating", "write_sidecars"]

Naming = Literal["adobe", "darktable"]

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMP = "http://ns.adobe.com/xap/1.0/"
META = "adobe:ns:meta/"
RATING = f"{{{XMP}}}Rating"
DESCRIPTION = f"{{{RDF}}}Description"

EMPTY = f'<x:xmpmeta xmlns:x="{META}"><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about=""/></rdf:RDF></x:xmpmeta>'
HEAD = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
TAIL = '\n<?xpacket end="w"?>\n'


def stars(group: Group) -> dict[str, int]:
    """Stars by id: 5 for the first tie group, 4 for the second, down to 1 from the fifth on.

    Pictures of one tie group have the same stars. Where nothing could be told apart (one tie group), all have 3.
    """
    if group.ranking[-1].tie_group == 1:
        return dict.fromkeys(group.order, 3)
    return {row.id: max(1, 6 - row.tie_group) for row in group.ranking}


def sidecars(picture: Path, companions: Sequence[Path] = (), naming: Naming = "adobe") -> list[Path]:
    """Paths of the sidecars of a picture and its companions."""
    if naming == "adobe":
        return [picture.with_name(picture.stem + ".xmp")]
    return [file.with_name(file.name + ".xmp") for file in (picture, *companions)]


def write_sidecars(
    ranking: Ranking,
    files: Mapping[str, Path],
    companions: Mapping[str, Sequence[Path]] | None = None,
    naming: Naming = "adobe",
) -> list[Path]:
    """Write the stars of every ranked picture beside it; returns the sidecars.

    `files` and `companions` are paths by id. In a sidecar that exists only xmp:Rating changes. Raises DataError before
    anything is written when two pictures with different stars share a sidecar, and after all others are written when one
    could not be.
    """
    ratings: dict[Path, int] = {}
    for group in ranking.groups:
        for id, rating in stars(group).items():
            if id not in files:
                raise DataError(f"{id} is no file, so it cannot have a sidecar")
            for path in sidecars(files[id], (companions or {}).get(id, ()), naming):
                if ratings.setdefault(path, rating) != rating:
                    raise DataError(
                        f"two pictures with different stars share the sidecar {path}; name them by darktable"
                    )
    failed = []
    for path, rating in ratings.items():
        try:
            _replace(path, with_rating(path.read_bytes() if path.exists() else None, rating))
        except (DataError, OSError) as error:
            failed.append(f"{path}: {error}")
    if failed:
        raise DataError(f"{len(failed)} of {len(ratings)} sidecars could not be written: {'; '.join(failed[:3])}")
    return list(ratings)


def with_rating(content: bytes | None, rating: int) -> bytes:
    """The bytes of a sidecar with xmp:Rating set (a new one for None); all other fields as they were.

    Raises DataError for bytes that are not XMP.
    """
    root = _parse(EMPTY.encode() if content is None else content)
    rdf = root if root.tag == f"{{{RDF}}}RDF" else root.find(f"{{{RDF}}}RDF")
    if rdf is None:
        raise DataError("expected an XMP packet with rdf:RDF, found none; left as it was")
    descriptions = rdf.findall(DESCRIPTION)
    value, found = str(rating), False
    for description in descriptions:
        if RATING in description.attrib:
            description.set(RATING, value)
            found = True
        for element in description.findall(RATING):
            element.text = value
            found = True
    if not found:
        first = descriptions[0] if descriptions else ET.SubElement(rdf, DESCRIPTION, {f"{{{RDF}}}about": ""})
        first.set(RATING, value)
    return (HEAD + ET.tostring(root, encoding="unicode") + TAIL).encode()


def _parse(content: bytes) -> ET.Element:
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise DataError("an XMP packet declares no document type or entities; left as it was")
    _name("xmp", XMP)
    _name("rdf", RDF)
    _name("x", META)
    try:
        for _, (prefix, space) in ET.iterparse(io.BytesIO(content), events=["start-ns"]):
            _name(prefix, space)
        builder = ET.TreeBuilder(insert_comments=True)
        return ET.fromstring(content, ET.XMLParser(target=builder))
    except ET.ParseError as error:
        raise DataError(f"expected an XMP packet, got something else ({error}); left as it was") from error


def _name(prefix: str, space: str) -> None:
    """Let a prefix be written as it was read; ElementTree keeps such names for the whole process."""
    try:
        ET.register_namespace(prefix, space)
    except ValueError:  # ns0, ns1, ... are its own, and it will choose one
        return


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
