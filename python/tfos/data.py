"""Input that the tasks of a job share: each record is read by one of them, once per epoch.

    import tfos.data

    ds = tfos.data.tfrecords("hdfs:///data/train-*", epochs=3)  # a tf.data.Dataset
    for piece in tfos.data.files("/data/*.npz"):                # or without TensorFlow
        with piece.open() as f:
            ...

The application master leases files, or byte ranges of them, to whoever asks next, so tasks of different speed come to the end
together. Asking for the next record says that those before it are consumed; what a lost task had not consumed goes to another.
docs/data.md says what is promised, and how the state goes with a checkpoint.
"""

import collections
import csv as _csv
import io
import logging
import os
import random
import re
import threading
import time
import uuid

from tfos import _agent, _crc, _inflate
from tfos._agent import Error, NotInTask, Refused, Unavailable
from tfos._tfrecord import FOOTER as _FOOTER, HEADER as _HEADER, length as _length

__all__ = [
    "Error", "LeaseLost", "NotInTask", "Piece", "Refused", "Unavailable", "consumed", "csv", "files", "from_feed", "pieces", "records", "restore", "save", "text",
    "tfrecords",
]

SPLIT = 64 << 20  # bytes of a piece of a file that can be cut

_PATIENCE = 15 * 60  # seconds without an agent or a master, after which a call fails
_HELD = 60  # seconds that an agent may hold a call
_ACK = 1.0  # seconds between two acknowledgements within a piece
_BLOCK = 1 << 20  # bytes of records that are handed on together
_BATCH = 256  # and how many

_log = logging.getLogger("tfos.data")


class LeaseLost(Error):
    """What this process reads is another's now: it counts as lost, or the input went back to a checkpoint."""


class _NotHeld(LeaseLost):
    """A lease is another's now, because the input went back to a checkpoint. The process may go on with other pieces."""


class _Client:
    """One line of numbered calls to the master: a call that is made again is answered again, and changes nothing."""

    def __init__(self):
        self._id = uuid.uuid4().hex
        self._number = 0
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._incarnation = int(os.environ.get("TFOS_INCARNATION") or 0)

    def glance(self, op, body):
        """Make the call, and return None if there is nothing to say at once. Then call is to be made with the same."""
        answer = self.call(op, dict(body, now=True), timeout=0)
        return None if answer["state"] == "waiting" else answer

    def call(self, op, body, timeout=None):
        """Make the call until it is answered, or for timeout seconds: then the state is "waiting"."""
        if os.getpid() != self._pid:
            raise RuntimeError("tfos.data: an iterator was begun in the process that this one was forked from: begin one here")
        with self._lock:
            request = {"incarnation": self._incarnation, "client": self._id, "number": self._number + 1, op: body}
            answer = self._answer(request, timeout)
            if answer["state"] != "waiting":
                self._number += 1
        if answer["state"] != "refused":
            return answer
        code, reason = answer.get("code"), answer.get("reason", "")
        if code == "lost":
            raise LeaseLost(reason)
        if code == "not held":
            raise _NotHeld(reason)
        if code == "no files":
            raise FileNotFoundError(reason)
        if code == "invalid":
            raise ValueError(reason)
        raise Error(reason)

    @staticmethod
    def _answer(request, timeout):
        began = reached = time.monotonic()
        pause = 0.1
        while True:
            try:
                answer = _agent.call("POST", "/v1/lease", request, timeout=_HELD)
                reached, pause = time.monotonic(), 0.1
                if answer["state"] != "waiting":
                    return answer
                if timeout is not None and reached - began >= timeout:
                    return answer
                continue
            except Refused as e:
                if e.status == 409:
                    raise LeaseLost(str(e)) from None
                if e.status != 503:
                    raise
                error = e
            except Unavailable as e:
                error = e
            if time.monotonic() - reached > _PATIENCE:
                raise error
            time.sleep(pause * random.uniform(0.5, 1.5))  # there is no master, perhaps: a new one will come
            pause = min(2 * pause, 2.0)


class Piece:
    """A file, or the part of one whose records begin in [start, stop), leased to this process."""

    def __init__(self, reader, read, epoch, grant):
        self.epoch = epoch
        self.index = grant["piece"]  # the same number in each epoch
        self.path = grant["path"]
        self.size = grant["size"]  # of the file, bytes
        self.start = grant["from"]
        self.stop = grant["to"]
        self.position = grant["position"]  # where to go on, if a lost process had begun with it; else start
        self._id = grant["id"]
        self._reader = reader
        self._read = read
        self._told = self.position
        self._when = time.monotonic()
        self._open = True
        self._lock = threading.Lock()

    def __repr__(self):
        return f"Piece({self.path!r}, start={self.start}, stop={self.stop}, position={self.position}, epoch={self.epoch})"

    def open(self):
        """Open the file, for reading bytes from its beginning."""
        return _open(self.path)

    def records(self):
        """Yield the piece's records from position on, each with the position after it, for ack."""
        for batch, positions in self._read(self):
            yield from zip(batch, positions)

    def ack(self, position, now=True):
        """Say that everything before position is consumed. In a whole file, what the number means is the program's.

        It fails with LeaseLost if the piece is another's by now, because the input went back to a checkpoint.
        """
        with self._lock:
            self.position = max(self.position, position)
            if now or time.monotonic() - self._when >= _ACK:
                self._tell("")

    def done(self):
        """Say that all of the piece is consumed. Asking for the next piece says the same."""
        with self._lock:
            self._tell("done")

    def _give_back(self):
        with self._lock:
            self._tell("returned")

    def _flush(self):
        with self._lock:
            self._tell("")

    def _tell(self, end):
        if not self._open or (not end and self.position == self._told):
            return
        if end:
            self._open = False
            _leased.pop(self._id, None)
        try:
            self._reader.acks.call("ack", [{"lease": self._id, "position": self.position, "end": end}])
        except _NotHeld:
            self._open = False
            _leased.pop(self._id, None)
            raise
        self._told, self._when = self.position, time.monotonic()


_leased: dict = {}  # by id: the pieces that this process holds, with their _Tracks


class _Reader:
    """One iteration over the rest of an epoch."""

    def __init__(self, dataset):
        self._dataset = dataset
        self.client = _Client()
        self.acks = _Client()  # apart: an acknowledgement must not wait for a piece that it may itself set free

    def pieces(self, glance=False):
        """Lease one piece after the other. Whoever takes the next one has told what became of the one before.

        With glance, None comes in between where there is none to be had at once: others hold all that are left.
        """
        d = self._dataset
        epoch = d.begin()
        while True:
            answer = glance and self.client.glance("next", {"dataset": d.definition, "epoch": epoch})
            if not answer:
                if glance:
                    yield None
                answer = self.client.call("next", {"dataset": d.definition, "epoch": epoch})
            epoch = answer["epoch"]
            if answer["state"] == "over":
                d.end(epoch)
                return
            piece = Piece(self, d.read, epoch, answer["lease"])
            _leased[piece._id] = piece
            yield piece


class _Dataset:
    """A dataset, and which epoch this process is in."""

    def __init__(self, kind, pattern, epochs, shuffle, split, name, header=False, compression=None):
        patterns = [pattern] if isinstance(pattern, (str, os.PathLike)) else list(pattern)
        patterns = [os.fspath(p) for p in patterns]
        if epochs is None:
            epochs = 0
        if compression is not None:
            compression = compression.upper()
            if compression and compression not in _inflate.KINDS:
                raise ValueError(f'tfos.data: compression={compression!r}: want {", ".join(_inflate.KINDS)}, "" for none, or None to find out')
        if compression:
            split = 0  # it is read from its beginning
        self.definition = {
            "name": name or f"{kind} {' '.join(patterns)}", "patterns": patterns, "kind": kind, "split": int(split or 0), "epochs": int(epochs),
        }
        if shuffle is not None and shuffle is not False:
            self.definition["shuffle"] = int(shuffle) & (1 << 64) - 1
        read_lines = lambda quoted: _Lines(compression, header, quoted)  # noqa: E731
        self.read = {
            "files": lambda: _no_records, "tfrecord": lambda: _TFRecords(compression), "text": lambda: read_lines(False), "csv": lambda: read_lines(not split),
        }[kind]()
        self._next = 0  # whatever is under way
        self._ended = 0
        self._lock = threading.Lock()

    def begin(self):
        with self._lock:
            epochs = self.definition["epochs"]
            if epochs and self._ended >= epochs:
                raise ValueError(f"dataset {self.definition['name']} has {epochs} epochs, and this is one more: say epochs={self._ended + 1}, or epochs=None for any number")
            return self._next

    def end(self, epoch):
        with self._lock:
            self._ended += 1
            self._next = epoch + 1


class _Pieces:
    def __init__(self, dataset):
        self._dataset = dataset

    def __iter__(self):
        for piece in _Reader(self._dataset).pieces():
            try:
                yield piece
            except GeneratorExit:
                _quietly(piece._give_back)
                raise
            _unless_gone_back(piece.done)


def files(pattern, *, epochs=1, shuffle=None, name=None):
    """Iterate over whole files, as Pieces. Each iteration is an epoch, or what is left of one.

    Asking for the next piece says that the one before is consumed; leaving the loop gives it back. pattern is a glob, or several;
    epochs is how many there are, None for any number; shuffle is a seed for another order in each epoch. Tasks share a dataset by
    its name, which is made of the pattern if it is not given.
    """
    return _Pieces(_Dataset("files", pattern, epochs, shuffle, 0, name))


def pieces(pattern, kind, *, epochs=1, shuffle=None, split=SPLIT, name=None, header=False, compression=None):
    """Iterate over Pieces of files of records, for a program that says itself what it has consumed. See records."""
    return _Pieces(_Dataset(kind, pattern, epochs, shuffle, split, name, header, compression))


class _Records:
    def __init__(self, dataset):
        self._dataset = dataset

    def __iter__(self):
        for batch in self._blocks():
            yield from batch

    def _blocks(self):
        """Yield lists of records. Asking for the next one says that the one before is consumed."""
        for piece in _Reader(self._dataset).pieces():
            try:
                for batch, positions in self._dataset.read(piece):
                    yield batch
                    piece.ack(positions[-1], now=False)
                piece.done()
            except GeneratorExit:
                _quietly(piece._give_back)
                raise
            except _NotHeld as e:
                _log.warning("%s: %s; going on with another piece", piece, e)

    def _batches(self, size):
        """Yield lists of records with (lease, position) of each, which are consumed when consumed is told.

        They are shorter than size where the task has to wait for others: it must not wait with records in its hands, which others wait for.
        """
        batch, positions, tracks = [], [], []
        try:
            for piece in _Reader(self._dataset).pieces(glance=True):
                if piece is None:
                    if batch:
                        yield batch, positions
                        batch, positions = [], []
                    continue
                track = piece._track = _Track(piece)
                tracks = [t for t in tracks if t.piece._open]
                tracks.append(track)
                for records, ends in self._dataset.read(piece):
                    if not piece._open:  # the input went back to a checkpoint
                        break
                    track.delivered(ends)
                    for record, end in zip(records, ends):
                        batch.append(record)
                        positions.append((piece._id, end))
                        if len(batch) == size:
                            yield batch, positions
                            batch, positions = [], []
                _unless_gone_back(track.ended)
            if batch:
                yield batch, positions
        except GeneratorExit:
            for track in tracks:
                _quietly(track.piece._give_back)
            raise


def records(pattern, kind, *, epochs=1, shuffle=None, split=SPLIT, name=None, header=False, compression=None):
    """Iterate over records without TensorFlow: bytes, or lists of strings for CSV. kind is "tfrecord", "text" or "csv".

    Files are cut into pieces of split bytes; split=None leaves them whole, as CSV files with newlines in quotes need it. What is
    compressed is read from its beginning, by one task. compression says how: "GZIP", "ZLIB", "BZ2" or "XZ", "" for not at all; by
    default a file's name tells, or its content. header leaves out the first line of each CSV file. See files for the rest.
    """
    found = _Records(_Dataset(kind, pattern, epochs, shuffle, split, name, header, compression))
    return _Rows(found) if kind == "csv" else found


class _Rows:
    def __init__(self, lines):
        self._lines = lines

    def __iter__(self):
        for line in self._lines:
            for row in _csv.reader(io.StringIO(line.decode(), newline="")):
                yield row


def tfrecords(pattern, *, epochs=1, shuffle=None, split=SPLIT, name=None, batch=None, compression=None):
    """A tf.data.Dataset of serialized records. compression is as of records.

    With batch its elements are (records, positions), of that many records or fewer, which count as consumed only when consumed is
    called with their positions: for a program whose checkpoints are to say exactly what it was trained on. Do not batch them anew.
    """
    return _tensors(records(pattern, "tfrecord", epochs=epochs, shuffle=shuffle, split=split, name=name, compression=compression), batch)


def text(pattern, *, epochs=1, shuffle=None, split=SPLIT, name=None, batch=None, compression=None):
    """A tf.data.Dataset of lines, without their ends. See tfrecords."""
    return _tensors(records(pattern, "text", epochs=epochs, shuffle=shuffle, split=split, name=name, compression=compression), batch)


def csv(pattern, record_defaults, *, epochs=1, shuffle=None, split=SPLIT, name=None, batch=None, header=False, compression=None, **decode):
    """A tf.data.Dataset of rows: a tuple of columns, as tf.io.decode_csv makes them of record_defaults and further arguments."""
    import tensorflow as tf

    lines = _Records(_Dataset("csv", pattern, epochs, shuffle, split, name, header, compression))
    columns = lambda line: tuple(tf.io.decode_csv(line, record_defaults, **decode))  # noqa: E731
    rows = (lambda line, position: (columns(line), position)) if batch else columns
    return _tensors(lines, batch).map(rows, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def from_feed(batch, *, signature=None, partial=True, queue="input"):
    """A tf.data.Dataset of batches of the rows that Spark feeds evenly, by cluster.train(..., even=True), for workers that train in step.

    All workers get equally many batches, of the same sizes: batch rows, and fewer in the last one if partial says so. Rows that not all
    workers have are left over, a few for each partition at most. A batch is an array for rows that are lists of numbers, arrays or
    bytes, and a tuple of arrays for rows that are tuples, as those of a DataFrame are. signature is the tf.TensorSpec, or the tuple of
    them, of a batch; without it the call waits for the first rows, which tell. The dataset can be read once: epochs are the driver's.
    """
    import numpy as np
    import tensorflow as tf

    from tfos import _paced

    rows = _paced.Paced(queue)

    def spec(a):
        a = np.asarray(a)
        kind = tf.string if a.dtype.kind in "OSU" else tf.as_dtype(a.dtype)
        return tf.TensorSpec([None if partial else batch, *a.shape[1:]], kind)

    if signature is None:
        first = rows.first()
        if first is None:
            raise ValueError("tfos.data.from_feed: there are no rows that could tell what a batch is: give its signature")
        signature = tuple(spec(a) for a in first) if isinstance(first, tuple) else spec(first)
    found = tf.data.Dataset.from_generator(lambda: rows.batches(batch, partial), output_signature=signature)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF  # each worker's rows are its own
    return found.with_options(options)


def _tensors(source, batch):
    import numpy as np
    import tensorflow as tf

    def array(strings):
        out = np.empty(len(strings), dtype=object)  # NumPy's own strings lose zeros at their ends
        out[:] = strings
        return out

    if batch:

        def batches():
            for found, positions in source._batches(batch):
                yield array(found), np.array(positions, dtype=np.int64)

        signature = (tf.TensorSpec([None], tf.string), tf.TensorSpec([None, 2], tf.int64))
        return tf.data.Dataset.from_generator(batches, output_signature=signature)

    def blocks():
        for found in source._blocks():
            yield array(found)

    return tf.data.Dataset.from_generator(blocks, output_signature=tf.TensorSpec([None], tf.string)).unbatch()


class _Track:
    """Which records of a piece were consumed, in whatever order: what counts is how far there is no gap."""

    def __init__(self, piece):
        self.piece = piece
        self._lock = threading.Lock()
        self._order = collections.deque()  # positions after the records that were delivered, and not consumed without a gap
        self._early = set()  # those of them that are consumed
        self._ended = False  # all were delivered

    def delivered(self, positions):
        with self._lock:
            self._order.extend(positions)

    def ended(self):
        with self._lock:
            self._ended = True
            over = not self._order
        if over:
            self.piece.done()

    def consumed(self, positions):
        with self._lock:
            self._early.update(positions)
            last = None
            while self._order and self._order[0] in self._early:
                last = self._order.popleft()
                self._early.discard(last)
            over = self._ended and not self._order
        if over:
            self.piece.done()
        elif last is not None:
            self.piece.ack(last, now=False)


def consumed(positions):
    """Say that the records with these positions are consumed: a tensor, an array or a list of pairs, as the dataset gave them."""
    by_piece = collections.defaultdict(list)
    for lease, end in getattr(positions, "numpy", lambda: positions)():
        by_piece[int(lease)].append(int(end))
    for lease, ends in by_piece.items():
        piece = _leased.get(lease)
        if piece is not None:  # else the input went back to a checkpoint meanwhile
            _unless_gone_back(piece._track.consumed, ends)


_keeper = None
_keeper_lock = threading.Lock()


def _own_client():
    global _keeper
    with _keeper_lock:
        if _keeper is None or _keeper._pid != os.getpid():
            _keeper = _Client()
        return _keeper


def save(step, *, alone=False, timeout=300):
    """Keep the state of all input beside the checkpoint of this step. Call it before the checkpoint is written.

    In a job whose tasks train in step, every task that reads calls it at that step, and it returns when all have. With alone the one
    call is enough, and what is consumed at this moment counts: for a job whose tasks train each at its own pace.
    """
    for piece in list(_leased.values()):
        _unless_gone_back(piece._flush)
    answer = _own_client().call("save", {"step": int(step), "alone": bool(alone)}, timeout=timeout)
    if answer["state"] == "waiting":
        raise Error(f"the input at step {step} was not saved: waited {timeout} s in vain for {answer.get('reason') or 'the master'} to save it as well")


def restore(step):
    """Go back to what was saved for the checkpoint of this step; 0 is the beginning. It is False if nothing was saved for it.

    In a job whose tasks train in step every task calls it when it starts, before it reads; the first one of a start goes back and the others
    join. In others only the task that restores the model calls it.
    """
    return _own_client().call("restore", {"step": int(step)})["state"] == "agreed"


def _unless_gone_back(call, *args):
    try:
        call(*args)
    except _NotHeld as e:
        _log.warning("%s", e)


def _quietly(call):
    """For a generator that is closed, perhaps as the interpreter ends: then the piece comes free with the process."""
    try:
        call()
    except Exception as e:  # noqa: BLE001
        _log.debug("a piece was not given back: %s", e)


class _Remote(io.RawIOBase):
    """A file that TensorFlow opens."""

    def __init__(self, path):
        import tensorflow as tf

        self._file = tf.io.gfile.GFile(path, "rb")

    def readable(self):
        return True

    def seekable(self):
        return True

    def readinto(self, buffer):
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset, whence=io.SEEK_SET):
        if whence == io.SEEK_CUR:
            offset += self._file.tell()
        elif whence == io.SEEK_END:
            offset += self._file.size()
        self._file.seek(offset)
        return offset

    def tell(self):
        return self._file.tell()

    def close(self):
        if not self.closed:
            self._file.close()
        super().close()


def _open(path):
    if path.startswith("file://"):
        path = path[len("file://"):]
    if "://" in path:
        return io.BufferedReader(_Remote(path), 4 << 20)
    return open(path, "rb", buffering=_BLOCK)


def _stream(piece, compression, is_record=None):
    """Open a piece's file, uncompressed, and tell where its bytes end, if that is known. None for the former: the piece holds nothing."""
    f = _open(piece.path)
    try:
        kind = _inflate.kind_of(piece.path, f, compression, is_record)
        if kind is None:
            return f, f, piece.stop
        if piece.start > 0:  # who has the beginning reads all of it
            return None, f, None
        return _inflate.opened(piece.path, f, kind), f, None
    except BaseException:
        f.close()
        raise


def _batches(found):
    """Put records with the positions after them together."""
    batch, positions, size = [], [], 0
    for record, position in found:
        batch.append(record)
        positions.append(position)
        size += len(record)
        if size >= _BLOCK or len(batch) >= _BATCH:
            yield batch, positions
            batch, positions, size = [], [], 0
    if batch:
        yield batch, positions


class _Lines:
    """Reads lines. One belongs to the piece in which it begins."""

    def __init__(self, compression=None, header=False, quoted=False):
        self._compression = compression
        self._header = header  # the first line of a file is no record
        self._quoted = quoted  # a line may end in a later one

    def __call__(self, piece):
        return _batches(self._read(piece))

    def _read(self, piece):
        f, outer, stop = _stream(piece, self._compression)
        with outer, f or outer:
            if f is None:
                return
            at = piece.position
            if at == piece.start and at > 0:
                at -= 1  # the line that begins before is another's, unless it ends there
                f.seek(at)
                at += len(f.readline())
            elif at > 0:
                f.seek(at)
            if at == 0 and self._header:
                at += len(_line(f, self._quoted))
            while stop is None or at < stop:
                line = _line(f, self._quoted)
                if not line:
                    return
                at += len(line)
                yield line[: -2 if line.endswith(b"\r\n") else -1 if line.endswith(b"\n") else None], at


def _line(f, quoted):
    line = f.readline()
    while quoted and line.count(b'"') % 2:
        more = f.readline()
        if not more:
            break
        line += more
    return line


_CHAIN = 16  # records in a row that make a found boundary certain


def _no_records(piece):
    raise TypeError("a whole file has no records that tfos knows of: open it, or say pieces(pattern, kind)")


class _TFRecords:
    """Reads TFRecords. One belongs to the piece in which it begins."""

    def __init__(self, compression=None):
        self._compression = compression

    def __call__(self, piece):
        return _batches(_read_tfrecords(piece, self._compression))


def _begins_record(head):
    return _length(head[: _HEADER.size]) is not None


def _read_tfrecords(piece, compression):
    f, outer, stop = _stream(piece, compression, _begins_record)
    with outer, f or outer:
        if f is None:
            return
        at = piece.position
        if at == piece.start and at > 0:
            at = _find_record(f, at, stop, piece.size)
            if at is None:
                return
        f.seek(at)
        while stop is None or at < stop:
            header = f.read(_HEADER.size)
            if not header:
                return
            length = _length(header)
            if length is None:
                raise ValueError(f"{piece.path}: {_nothing(at)}")
            data, crc = f.read(length), f.read(_FOOTER.size)
            if len(crc) < _FOOTER.size:
                raise ValueError(f"{piece.path}: {_cut_off(at)}")
            if _FOOTER.unpack(crc)[0] != _crc.masked(data):
                raise ValueError(f"{piece.path}: the record at byte {at} is damaged: its {length} bytes are not what their checksum says")
            at += _HEADER.size + length + _FOOTER.size
            yield data, at
        if stop is not None:
            problem = _break(f, at, piece.size)
            if problem:  # who reads on from here would not find this record, or one before it, and pass over them
                raise ValueError(f"{piece.path}: {problem}")


def _nothing(at):
    return f"no record begins at byte {at}, where the one before ended: the file is damaged, or no TFRecord file"


def _cut_off(at):
    return f"the record at byte {at} is cut off"


_EMPTY = _HEADER.pack(0, _crc.masked(bytes(8)))  # whose ninth byte is not zero
_NOT_ZERO = re.compile(rb"[^\0]")


def _find_record(f, start, stop, size):
    """Find the first record that begins in [start, stop); None: none does. What looks like one must be followed by others."""
    # The high bytes of a length that fits into the file are zero, which most data is not.
    zeros = 8 - max(1, (size.bit_length() + 7) // 8)
    at = start
    while at < stop:
        f.seek(at)
        window = f.read(_BLOCK)
        if len(window) < _HEADER.size:
            return None
        last = min(len(window) - _HEADER.size, stop - 1 - at)  # where a header may begin in this window
        i = window.find(bytes(zeros), 8 - zeros)
        while i >= 0 and i - (8 - zeros) <= last:
            begin = i - (8 - zeros)
            header = window[begin : begin + _HEADER.size]
            i += 1
            if header[:8] == bytes(8) and header != _EMPTY:  # amid zeros: on to the last eight of them
                end = _NOT_ZERO.search(window, begin + 8)
                i = max(i, (end.start() if end else len(window)) - zeros)
            elif _length(header) is not None and not _break(f, at + begin, size):
                return at + begin
            i = window.find(bytes(zeros), i)
        at += last + 1
    return None


def _break(f, at, size):
    """Say where records cease to follow each other from at on; None: they go on to the end of the file, or for long enough."""
    for _ in range(_CHAIN):
        if at == size:
            return None
        f.seek(at)
        length = _length(f.read(_HEADER.size))
        if length is None:
            return _nothing(at)
        end = at + _HEADER.size + length + _FOOTER.size
        if end > size:
            return _cut_off(at)
        at = end
    return None
