"""One file for each way in which rows arrive; all give the same: columns with a type, and batches in row order.

The path through this package:
    faults.py       what is wrong with a source, gathered and said at once
    columns.py      the few types a snapshot knows, and how Arrow columns become them
    stream.py       a file as plain bytes, whatever it was compressed with
    encoding.py     those bytes as UTF-8, whatever they were written in
    quotes.py       quotes that are never closed, before they swallow rows
    dialect.py      the delimiter and the names of the columns
    csv_text.py     delimited text
    json_lines.py   one JSON object a line
    arrow_files.py  Parquet and Arrow files
    sql.py          what queries to any database share
    sqlite.py       a query to an SQLite file
    postgres.py     a query to a Postgres server
    frames.py       tables that are already in memory
"""
