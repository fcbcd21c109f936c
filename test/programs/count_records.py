#!/usr/bin/env python3
"""Reads the lines that the job's tasks share, and writes down what it consumed, span by span.

usage: count_records.py PATTERN OUT EPOCHS

A span is the records between two acknowledgements. It is written before it is acknowledged, under a name that is made of the epoch,
the piece and where it begins: a span that a killed process wrote and did not acknowledge is read again by another, from the same
place, and written in its place. Lines of slow tasks take longer.
"""
import json
import os
import sys
import time

import tfos.data

pattern, out, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
index, incarnation = int(os.environ["TFOS_INDEX"]), os.environ["TFOS_INCARNATION"]
delivered = 0
with open(os.path.join(out, f"pid.{index}.{incarnation}"), "w") as f:
    f.write(str(os.getpid()))


def commit(piece, begin, end, records):
    name = os.path.join(out, f"{piece.epoch}-{piece.index}-{begin}.json")
    mine = f"{name}.{index}.{incarnation}"
    with open(mine, "w") as f:
        json.dump({"epoch": piece.epoch, "piece": piece.index, "begin": begin, "end": end, "task": index, "incarnation": incarnation, "records": records}, f)
    os.rename(mine, name)
    piece.ack(end)


pieces = tfos.data.pieces(pattern, "text", epochs=epochs, split=20_000, shuffle=5)
for _ in range(epochs):
    for piece in pieces:
        begin, records = piece.position, []
        for record, position in piece.records():
            records.append(record.decode().split(" ")[0])
            delivered += 1
            if len(records) == 250:
                time.sleep(0.002 * index)
                commit(piece, begin, position, records)
                begin, records = position, []
        if records:
            commit(piece, begin, position, records)
print(f"delivered {delivered} records")
