"""The frame of a record in a TFRecord file.

A record is its length (8 bytes, little endian), the masked CRC-32C of these (4), the data, and the masked CRC-32C of the data (4).
"""

import struct

from tfos import _crc

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")


def length(header):
    """The length in a record's header; None if it is none."""
    if len(header) < HEADER.size:
        return None
    size, crc = HEADER.unpack(header)
    return size if _crc.masked(header[:8]) == crc else None


def frame(data):
    """The record that holds data."""
    size = struct.pack("<Q", len(data))
    return b"".join([size, FOOTER.pack(_crc.masked(size)), data, FOOTER.pack(_crc.masked(data))])


def unframe(record):
    """The data of a whole record. Raises ValueError if its checksums say that it is damaged."""
    data = record[HEADER.size : -FOOTER.size]
    if length(record[: HEADER.size]) != len(data) or FOOTER.unpack(record[-FOOTER.size :])[0] != _crc.masked(data):
        raise ValueError(f"a record of {len(data)} bytes is damaged: they are not what their checksum says")
    return data
