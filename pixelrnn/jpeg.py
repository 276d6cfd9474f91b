"""JPEG files before Pillow sees them: the first image without its metadata, and how the camera was held."""

import re
import struct

from pixelrnn.errors import UserError

MAX_SCANS = 100  # a progressive one has about ten, and each costs a pass over the whole image
MAX_SEGMENTS = 10_000  # metadata come in segments of 64 KiB
ORIENTATION = 0x0112  # the tag that says how the camera was held
MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]", re.DOTALL)  # none of these begins inside of a scan's data


def plain_jpeg(data: bytes) -> tuple[bytes, bytes]:
    """A JPEG's first image without its metadata, and its EXIF data.

    Phones append images to the first one (MPO), and videos. Metadata are TIFF files inside: what they can do to a reader
    is spared, with the metadata.
    """
    kept, exif, position, scans = [data[:2]], b"", 2, 0
    for _ in range(MAX_SEGMENTS):
        found = MARKER.search(data, position)
        if not found:  # truncated: Pillow says so
            return b"".join([*kept, data[position:]]), exif
        code, start = data[found.end() - 1], found.end() - 2
        if scans:
            kept.append(data[position:start])
        elif found.start() != position:
            raise ValueError(f"no marker at byte {position}")
        if code == 0xD9:  # end of the image
            return b"".join([*kept, data[start : start + 2]]), exif
        if code in (0x01, 0xD8):
            raise ValueError(f"a marker {code:02X} at byte {start}")
        position = start + 2 + int.from_bytes(data[start + 2 : start + 4])
        segment = data[start:position]
        if code == 0xE1 and segment[4:10] == b"Exif\0\0":
            exif = exif or segment[4:]
        if not (0xE1 <= code <= 0xED or code in (0xEF, 0xFE)):  # but for what says how colours are meant, 0xEE
            kept.append(segment)
        scans += code == 0xDA
        if scans > MAX_SCANS:
            raise UserError(f"is a JPEG of more than {MAX_SCANS} scans; save it anew as PNG or JPEG")
    raise UserError(f"is a JPEG of more than {MAX_SEGMENTS:,} segments; save it anew as PNG or JPEG")


def orientation_of(exif: bytes) -> int:
    """What EXIF data say of how the camera was held, 1 to 8; 1, upright, where they don't say it."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if not order:
        return 1
    try:
        (first,) = struct.unpack_from(f"{order}L", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, first)
        for i in range(count):
            tag, _, _, value = struct.unpack_from(f"{order}HHLH", tiff, first + 2 + 12 * i)
            if tag == ORIENTATION:
                return value
    except struct.error:  # it ends too early
        pass
    return 1
