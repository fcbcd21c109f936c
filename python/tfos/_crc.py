"""The checksum of TFRecord files: CRC-32C, masked."""

import ctypes
import logging
import os
import platform

_log = logging.getLogger("tfos.data")


def _table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ 0x82F63B78 if n & 1 else n >> 1
        table.append(n)
    return table


_TABLE = _table()


def in_python(data):
    """CRC-32C, some 10 MB in a second."""
    crc = 0xFFFFFFFF
    for b in data:
        crc = _TABLE[(crc ^ b) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def library():
    """The file that has it in C for this kind of machine, which may not be there."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine())
    return os.path.join(os.path.dirname(os.path.realpath(__file__)), "native", f"crc32c_{machine}.so")


def _in_c():
    try:
        function = ctypes.CDLL(library()).tfos_crc32c
    except (OSError, AttributeError) as e:
        _log.warning("checksums of TFRecord files are computed in Python, which is slow: %s", e)
        return in_python
    function.argtypes, function.restype = [ctypes.c_char_p, ctypes.c_size_t], ctypes.c_uint32
    return lambda data: function(data, len(data))


_crc = None


def masked(data):
    """The checksum of bytes as TFRecord files have it."""
    global _crc
    if _crc is None:
        _crc = _in_c()
    crc = _crc(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
