"""Served rows are data: a durable record of each prediction, and of what turned out true.

The path through this package:
    record.py     how one record lies in a file, so that every changed bit is found
    receipt.py    prediction ids and receipts; label.py what became true, and what was not recorded
    segment.py    a file of records: its header, its seal, and a reader that tells a torn end from damage
    live.py       a segment while it is written; syncing.py asks the disk to keep it, in a thread
    journal.py    the writer in an event loop; recover.py seals what a killed one left
    layout.py     which files belong to an endpoint
    part.py       a segment as Parquet; compact.py turns sealed segments into parts
    retention.py  old parts go, and leave what proves them; labels of a forgotten person go out of parts
    read.py       receipts, labels and gaps of a folder; resolve.py says which label counts
    subjects.py   a key for each person, so that one can be forgotten

A serving worker imports the first seven; they need nothing but the standard library and msgspec.
"""
