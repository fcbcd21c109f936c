"""Compressed files of records: how they are compressed, and what they hold."""

import gzip
import io
import zlib

KINDS = ("GZIP", "ZLIB", "BZ2", "XZ")

_ENDINGS = {".gz": "GZIP", ".gzip": "GZIP", ".zlib": "ZLIB", ".deflate": "ZLIB", ".bz2": "BZ2", ".xz": "XZ"}
_UNREADABLE = (".zip", ".zst", ".snappy", ".lz4")  # what nobody reads here
_HEAD = 1024  # bytes, of which the beginning of a record is told


class Damaged(ValueError):
    """What is compressed is not whole."""


def kind_of(path, f, compression, is_record):
    """How a file is compressed, or None: by what the program says, by its name, or by its content.

    f is the open file, at its beginning, where it stays. is_record tells whether bytes begin as a record does; None: that cannot be told
    of this kind of records.
    """
    if compression is not None:
        return compression or None
    name = path.lower()
    for ending, kind in _ENDINGS.items():
        if name.endswith(ending):
            return kind
    if name.endswith(_UNREADABLE):
        raise ValueError(f"{path}: tfos.data reads files that are compressed as {', '.join(KINDS)}, and not this one, by its name: read it with tfos.data.files, "
                         'or say compression="" if it is not compressed')
    raw = getattr(f, "raw", f)  # a buffer would fetch more than is needed
    head = raw.read(_HEAD)
    raw.seek(0)
    if head[:3] == b"\x1f\x8b\x08":
        return "GZIP"
    if is_record is None or is_record(head) or len(head) < 2:
        return None
    try:
        return "ZLIB" if is_record(zlib.decompressobj().decompress(head)) else None
    except zlib.error:
        return None


def opened(path, f, kind):
    """What a file holds, as a file that can be sought in."""
    damage = zlib.error
    if kind == "GZIP":
        stream = gzip.GzipFile(fileobj=f)
    elif kind == "ZLIB":
        stream = _Zlib(f)
    elif kind == "BZ2":
        import bz2  # which not every Python has, nor the next

        stream = bz2.BZ2File(f)
    else:
        import lzma

        stream, damage = lzma.LZMAFile(f), lzma.LZMAError
    return io.BufferedReader(_Checked(path, kind, stream, damage), 1 << 20)


class _Checked(io.RawIOBase):
    """A stream whose errors name the file."""

    def __init__(self, path, kind, stream, damage):
        self._path, self._kind, self._stream, self._damage = path, kind, stream, damage

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self._stream.tell()

    def seek(self, offset, whence=io.SEEK_SET):
        return self._call(self._stream.seek, offset, whence)

    def readinto(self, buffer):
        return self._call(self._stream.readinto, buffer)

    def _call(self, what, *args):
        try:
            return what(*args)
        except EOFError:
            raise Damaged(f"{self._path}: it is cut off: the {self._kind} stream in it has no end") from None
        except (self._damage, OSError) as e:
            if isinstance(e, OSError) and e.errno is not None:  # it could not be read
                raise
            raise Damaged(f"{self._path}: it is damaged, or not compressed as {self._kind}: {e}") from None

    def close(self):
        if not self.closed:
            self._stream.close()
        super().close()


class _Zlib(io.RawIOBase):
    """One zlib stream after the other, as TensorFlow and Hadoop's default codec write them."""

    def __init__(self, f):
        self._f = f
        self._begin()

    def _begin(self):
        self._f.seek(0)
        self._inflate, self._pending, self._at = None, b"", 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self._at

    def seek(self, offset, whence=io.SEEK_SET):
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("what is compressed is sought in from its beginning")
        if offset < self._at:
            self._begin()
        skipped = memoryview(bytearray(1 << 16))
        while self._at < offset and self.readinto(skipped[: offset - self._at]):
            pass
        return self._at

    def readinto(self, buffer):
        while len(buffer):
            if not self._pending:
                self._pending = self._f.read(1 << 16)
                if not self._pending:
                    if self._inflate is not None:
                        raise EOFError
                    return 0
            if self._inflate is None:
                self._inflate = zlib.decompressobj()
            found = self._inflate.decompress(self._pending, len(buffer))
            self._pending = self._inflate.unconsumed_tail
            if self._inflate.eof:
                self._pending, self._inflate = self._inflate.unused_data, None
            if found:
                buffer[: len(found)] = found
                self._at += len(found)
                return len(found)
        return 0
