"""Merkle trees of RFC 9162: one root names every leaf, and short proofs tie a leaf or an older root to it.

A leaf is hashed behind the byte 0x00 and a node behind 0x01, so that a node can never pass for a leaf.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Frontier:
    """The right edge of a tree: the roots of its whole subtrees, largest first; enough to append and to find the root.

    There is one peak for each bit that is set in `size`, so an append costs the logarithm of the size, not the size.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.peaks) != self.size.bit_count():
            raise ValueError(f"{len(self.peaks)} peaks cannot be the right edge of a tree of {self.size} leaves.")

    def append(self, leaf: bytes) -> "Frontier":
        peaks = [*self.peaks, leaf]
        # A subtree of 2^k leaves is whole when the k lowest bits of the old size are set: merge as a binary carry.
        carried = self.size
        while carried & 1:
            right = peaks.pop()
            peaks.append(node_hash(peaks.pop(), right))
            carried >>= 1
        return Frontier(size=self.size + 1, peaks=tuple(peaks))

    @property
    def root(self) -> bytes:
        if not self.peaks:
            return EMPTY_ROOT
        *rest, root = self.peaks
        for peak in reversed(rest):
            root = node_hash(peak, root)
        return root


def frontier_of(leaves: Iterable[bytes]) -> Frontier:
    frontier = Frontier()
    for leaf in leaves:
        frontier = frontier.append(leaf)
    return frontier


def inclusion_proof(index: int, leaves: Sequence[bytes]) -> tuple[bytes, ...]:
    """List the hashes that lead from a leaf to the root (RFC 9162, 2.1.3.1)."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"There is no leaf {index} in a tree of {len(leaves)}.")
    if len(leaves) == 1:
        return ()
    split = _split(len(leaves))
    left, right = leaves[:split], leaves[split:]
    if index < split:
        return (*inclusion_proof(index, left), frontier_of(right).root)
    return (*inclusion_proof(index - split, right), frontier_of(left).root)


def includes(leaf: bytes, *, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether a proof ties a leaf hash to a root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, found = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            found = node_hash(step, found)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, step)
        node, last = node >> 1, last >> 1
    return last == 0 and found == root


def consistency_proof(first: int, leaves: Sequence[bytes]) -> tuple[bytes, ...]:
    """List the hashes that show the first leaves to be an unchanged beginning of all (RFC 9162, 2.1.4.1)."""
    if not 0 <= first <= len(leaves):
        raise ValueError(f"A tree of {len(leaves)} leaves never had {first}.")
    return () if first in (0, len(leaves)) else _subproof(first, leaves, whole=True)


def _subproof(first: int, leaves: Sequence[bytes], *, whole: bool) -> tuple[bytes, ...]:
    if first == len(leaves):
        return () if whole else (frontier_of(leaves).root,)
    split = _split(len(leaves))
    left, right = leaves[:split], leaves[split:]
    if first <= split:
        return (*_subproof(first, left, whole=whole), frontier_of(right).root)
    return (*_subproof(first - split, right, whole=False), frontier_of(left).root)


def extends(*, first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a proof shows the tree of the second root to begin with the tree of the first (RFC 9162, 2.1.4.2)."""
    if not 0 <= first <= second:
        return False
    if first in (0, second):
        return not proof and first_root == (EMPTY_ROOT if first == 0 else second_root)
    steps = list(proof)
    if first & (first - 1) == 0:
        steps.insert(0, first_root)  # a whole first tree is itself the node the proof starts from
    if not steps:
        return False
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, step)
        node, last = node >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _split(size: int) -> int:
    """The largest power of two below a size."""
    return 1 << (size - 1).bit_length() - 1
