"""A name is recognised by a holder of the key, and by nobody else."""

from payments_core.tombstones import Tombstones

NAMES = ["user ada", "customer ada", "email ada@example.org", "user ädá"]


def test_a_name_has_one_digest_by_one_key() -> None:
    """
    Another name, or another key, gives another digest; nothing of the name is in it.
    """
    one, same, other = (Tombstones(it) for it in (b"1" * 32, b"1" * 32, b"2" * 32))
    digests = [one.of(it) for it in NAMES]
    assert digests == [same.of(it) for it in NAMES]
    assert (
        len({*digests, *(other.of(it) for it in NAMES), one.proof, other.proof}) == 10
    )
    assert one.by_digest(NAMES) == dict(zip(digests, NAMES, strict=True))
    assert {len(it) for it in digests} == {32}
    assert "1" * 8 not in repr(one)
