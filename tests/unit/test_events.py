"""Events: when two are the same, and what is never shown of them."""

from contracts.examples import APPLIED, NOON, an_event, key_of
from payments_core.events import Receipt
from payments_core.kept_events import KeptEvent


def test_an_event_is_known_by_its_id_and_its_type() -> None:
    """
    Stripe's sample events share one id.
    """
    one, two = an_event("evt_0"), an_event("evt_0", type_="charge.failed")

    assert one.key == key_of("evt_0")
    assert one.key != two.key


def test_a_body_is_not_shown() -> None:
    """
    It has names and e-mails, and what is shown goes into logs.
    """
    body = b'{"email": "canary@example.org"}'
    kept = KeptEvent(
        key=key_of("evt_1"),
        outcome=APPLIED,
        created_at=NOON,
        received_at=NOON,
        object_id=None,
        livemode=False,
        user_id=None,
        body=body,
    )

    assert "canary" not in repr(an_event(body=body))
    assert "canary" not in repr(kept)


def test_a_receipt_without_an_outcome_is_of_a_duplicate() -> None:
    """
    Its outcome was decided before.
    """
    assert Receipt(None).duplicate
    assert not Receipt(APPLIED).duplicate
