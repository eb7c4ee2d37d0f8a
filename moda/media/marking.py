"""The mark in a generated MP4 that machines read: an XMP packet with the IPTC's digital source type.

It stands in a box of the MP4's own format behind the media, where XMP belongs (XMP Specification Part 3), so that
players are not concerned; programs that check pictures and videos for generated content read this field.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

import moda
from moda.errors import MediaError

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's term for a real picture that a trained model has changed."""
TOOL = f"MODA {moda.__version__}"
_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_MAX_PACKET_BYTES = 1 << 20
_PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="{_RDF}">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="{TOOL}"
    xmlns:Iptc4xmpExt="{_IPTC}" Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def mark_generated(path: Path) -> None:
    """Append the mark to an MP4 that is complete; raises `OSError`."""
    payload = _XMP_BOX + _PACKET.encode()
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", 8 + len(payload), b"uuid") + payload)


def read_source_type(path: Path) -> str | None:
    """The digital source type that an MP4 states, None where it states none; raises `MediaError` if it is damaged."""
    with path.open("rb") as file:
        for size, kind in _boxes(file):
            if kind != b"uuid" or not 16 < size < _MAX_PACKET_BYTES or file.read(16) != _XMP_BOX:
                continue
            try:
                tree = ElementTree.fromstring(_without_doctype(file.read(size - 16)))
            except (ElementTree.ParseError, ValueError) as error:
                raise MediaError(f"the XMP mark of {path} cannot be read: {error}") from error
            for node in tree.iter(f"{{{_RDF}}}Description"):
                found = node.get(f"{{{_IPTC}}}DigitalSourceType") or node.findtext(f"{{{_IPTC}}}DigitalSourceType")
                if found:
                    return found
    return None


def _without_doctype(packet: bytes) -> bytes:
    """The packet, which has no entities to be expanded; else a `ValueError`."""
    if b"<!" in packet:
        raise ValueError("it holds a document type, which XMP has not")
    return packet.strip(b"\0 \n")


def _boxes(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Size of the contents and kind of every box at the top of an MP4, with the file at its contents."""
    at, end = 0, file.seek(0, 2)
    while at + 8 <= end:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        header = 8
        if size == 1:
            long = file.read(8)
            if len(long) < 8:
                return
            (size,), header = struct.unpack(">Q", long), 16
        size = end - at if size == 0 else size
        if size < header:
            return
        yield size - header, kind
        at += size
