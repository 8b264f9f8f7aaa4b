"""The tree is that of RFC 9162, and its proofs convince of what is true and of nothing else."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from holdtrue.registry.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    extends,
    frontier_of,
    includes,
    inclusion_proof,
    leaf_hash,
)

# The test vectors of Certificate Transparency: eight leaves, and the root after each.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def definition(leaves: list[bytes]) -> bytes:
    """The recursive definition of RFC 9162, 2.1.1, word for word."""
    if len(leaves) == 0:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + definition(leaves[:split]) + definition(leaves[split:])).digest()


def hashed(leaves: list[bytes]) -> list[bytes]:
    return [leaf_hash(leaf) for leaf in leaves]


def test_the_known_leaves_have_the_known_roots() -> None:
    frontier = Frontier()
    assert frontier.root == EMPTY_ROOT
    for leaf, root in zip(LEAVES, ROOTS, strict=True):
        frontier = frontier.append(leaf_hash(bytes.fromhex(leaf)))
        assert frontier.root.hex() == root


@given(st.lists(st.binary(max_size=3), max_size=70))
def test_growing_leaf_by_leaf_gives_the_root_of_the_definition(leaves: list[bytes]) -> None:
    assert frontier_of(hashed(leaves)).root == definition(leaves)


@given(st.lists(st.binary(max_size=3), min_size=1, max_size=40), st.data())
def test_a_leaf_is_proven_and_no_other(leaves: list[bytes], data: st.DataObject) -> None:
    hashes = hashed(leaves)
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, proof = definition(leaves), inclusion_proof(index, hashes)
    assert includes(hashes[index], index=index, size=len(leaves), proof=proof, root=root)
    assert not includes(leaf_hash(b"other"), index=index, size=len(leaves), proof=proof, root=root)
    assert not includes(hashes[index], index=index, size=len(leaves), proof=(*proof, root), root=root)
    for step in range(len(proof)):
        broken = [*proof[:step], leaf_hash(b"other"), *proof[step + 1 :]]
        assert not includes(hashes[index], index=index, size=len(leaves), proof=broken, root=root)


@given(st.lists(st.binary(max_size=3), min_size=1, max_size=40), st.data())
def test_an_older_tree_is_proven_to_be_the_beginning_of_a_newer_one(leaves: list[bytes], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(leaves)))
    old, new = definition(leaves[:first]), definition(leaves)
    proof = consistency_proof(first, hashed(leaves))
    assert extends(first=first, second=len(leaves), first_root=old, second_root=new, proof=proof)
    if first > 0:
        other = leaf_hash(b"other")
        assert not extends(first=first, second=len(leaves), first_root=other, second_root=new, proof=proof)
    for step in range(len(proof)):
        broken = [*proof[:step], leaf_hash(b"other"), *proof[step + 1 :]]
        assert not extends(first=first, second=len(leaves), first_root=old, second_root=new, proof=broken)


@given(st.lists(st.binary(max_size=3), min_size=2, max_size=30), st.data())
def test_a_rewritten_beginning_has_no_proof(leaves: list[bytes], data: st.DataObject) -> None:
    first = data.draw(st.integers(1, len(leaves) - 1))
    changed = data.draw(st.integers(0, first - 1))
    rewritten = [*leaves[:changed], b"rewritten", *leaves[changed + 1 :]]
    proof = consistency_proof(first, hashed(rewritten))
    old, new = definition(leaves[:first]), definition(rewritten)
    assert not extends(first=first, second=len(leaves), first_root=old, second_root=new, proof=proof)
