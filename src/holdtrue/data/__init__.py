"""Rows at rest: snapshots that never change, and the contracts they keep.

The path through this package:
    source.py     where rows come from; readers/ holds one file a form
    snapshot.py   rows become immutable, addressed Parquet parts; content.py gives them their digest
    contract.py   what every row must satisfy; rules.py is the language across columns
    infer.py      a contract guessed from rows, written and read by contract_yaml.py
    parse.py      raw columns become typed ones; check.py finds every breach
    profile.py    what a table holds and what its columns may be for; leaks.py finds what gives the target away
    splits.py     which rows teach, which choose and which judge; folds.py for out-of-fold predictions
"""
