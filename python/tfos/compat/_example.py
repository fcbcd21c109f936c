"""tf.train.Example on the wire, without TensorFlow.

Example is {1: Features}, Features {1: map of name to Feature}, and Feature one of {1: BytesList, 2: FloatList, 3: Int64List}, each
with its values as field 1. A map's entry is {1: key, 2: value}. Numbers are packed when written; when read, they may be either.
"""

import struct
from typing import Dict, List, NamedTuple, Union

BYTES, FLOAT, INT64 = 1, 2, 3  # the fields of Feature, and so the kinds of a list

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # wire types


class Feature(NamedTuple):
    """A named list of an Example. kind is BYTES, FLOAT or INT64; 0: it has none, as an empty Feature."""

    kind: int
    values: List[Union[bytes, float, int]]


class Malformed(ValueError):
    """The bytes are no tf.train.Example."""


def encode(features: Dict[str, Feature]) -> bytes:
    """The bytes of an Example, its features in the order of their names."""
    return _field(1, b"".join(_field(1, _field(1, name.encode()) + _field(2, _feature(*features[name]))) for name in sorted(features)))


def _feature(kind, values):
    if kind == BYTES:
        return _field(BYTES, b"".join(_field(1, v) for v in values))
    if kind == FLOAT:
        packed = struct.pack(f"<{len(values)}f", *values)
    elif kind == INT64:
        packed = b"".join(map(_varint, values))
    else:
        return b""
    return _field(kind, _field(1, packed) if packed else b"")


def _field(number, data):
    return _varint(number << 3 | _LENGTH) + _varint(len(data)) + data


def _varint(n):
    if 0 <= n < 0x80:
        return _SMALL[n]
    if not -(1 << 63) <= n < 1 << 63:
        raise OverflowError(f"{n} is no 64-bit integer")
    n &= (1 << 64) - 1
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


_SMALL = [bytes([n]) for n in range(0x80)]


def decode(data: bytes) -> Dict[str, Feature]:
    """The features of an Example. Raises Malformed."""
    found = {}
    for number, features in _fields(data):
        for number, entry in _fields(features) if number == 1 else ():
            if number != 1:
                continue
            name, feature = "", Feature(0, [])
            for number, part in _fields(entry):
                if number == 1:
                    name = _text(part)
                elif number == 2:
                    feature = _read_feature(part)
            found[name] = feature
    return found


def _read_feature(data):
    kind, values = 0, []
    for number, part in _fields(data):
        if number not in (BYTES, FLOAT, INT64):
            continue
        if number != kind:  # the last one of a oneof stands
            kind, values = number, []
        for field, value in _fields(part):
            if field == 1:
                values.extend(_values(kind, value))
    return Feature(kind, values)


def _values(kind, value):
    if kind == BYTES:
        if isinstance(value, bytes):
            return [value]
    elif kind == FLOAT:
        if isinstance(value, bytes) and len(value) % 4 == 0:  # packed, or one alone, which is the same
            return struct.unpack(f"<{len(value) // 4}f", value)
    elif isinstance(value, int):
        return [_signed(value)]
    else:
        return [_signed(n) for n in _varints(value)]
    raise Malformed("a list of an Example holds what is not of its kind")


def _signed(n):
    return n - (1 << 64) if n >> 63 else n


def _varints(data):
    at = 0
    while at < len(data):
        n, at = _read_varint(data, at)
        yield n


def _read_varint(data, at):
    n = shift = 0
    while at < len(data) and shift < 64:
        b = data[at]
        at += 1
        n |= (b & 0x7F) << shift
        if b < 0x80:
            return n & (1 << 64) - 1, at
        shift += 7
    raise Malformed("a number of an Example is cut off")


def _fields(data):
    """Yield the number and value of each field: an int of a varint, bytes of all others."""
    if not isinstance(data, bytes):
        raise Malformed("a number stands where a message of an Example belongs")
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _read_varint(data, at)
        else:
            if wire == _LENGTH:
                length, at = _read_varint(data, at)
            elif wire in (_FIXED32, _FIXED64):
                length = 4 if wire == _FIXED32 else 8
            else:
                raise Malformed(f"an Example has no field of wire type {wire}")
            if length > len(data) - at:
                raise Malformed("an Example is cut off")
            value, at = data[at : at + length], at + length
        yield tag >> 3, value


def _text(data):
    try:
        return data.decode()
    except (UnicodeDecodeError, AttributeError) as e:
        raise Malformed("the name of a feature is no text") from e
