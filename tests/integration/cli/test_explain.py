"""`payments explain` and `payments access`, as text and as JSON.

The verdict, its cause and a timeline; and a user's access.
"""

from support.commands import Dev


def test_why_a_user_has_paid_is_explained(dev: Dev) -> None:
    """
    As text: the verdict, the first cause, what happened and what to do; as JSON the
    same; for a past time, what was recorded then.
    """
    assert dev.asks(dev.token("explained"), "explained") == 200
    assert dev.send("explained_1", receipt_email="explained@x.org").code == 0

    text = dev.run("explain", "explained").out
    found = dev.run("explain", "explained@x.org", "--json").json
    past = dev.run("explain", "explained", "--at", found["at"]).out

    assert "status: paid" in text
    assert "why: the paid period has ended, and nothing was paid since" in text
    assert text.index("payment succeeded") < text.index("  now\n")
    assert text.index("  now\n") < text.index("user: subscribe: POST /users/explained/")
    assert (found["cause"]["code"], found["entitled"]) == ("period_over", False)
    assert "changed by: payment ch_explained_1 succeeded" in past
    assert "\x1b" not in text


def test_what_cannot_be_explained_is_said(dev: Dev) -> None:
    """
    An unknown user, or nothing recorded by then: both are not found. A future time is
    refused.
    """
    assert dev.asks(dev.token("new"), "new") == 200

    missing = dev.run("explain", "nobody")
    early = dev.run("explain", "new", "--at", "2020-01-01")
    late = dev.run("explain", "new", "--at", "9999-12-31")

    assert (missing.code, early.code) == (3, 3)
    assert "nothing was recorded" in early.err
    assert late.code == 2
    assert "yet to come" in late.err


def test_what_a_user_has_access_to_is_said(dev: Dev) -> None:
    """
    All products and features, or only one of them; without a catalogue both are the
    same.
    """
    assert dev.asks(dev.token("having"), "having") == 200
    assert dev.send("having_1", receipt_email="having@x.org").code == 0

    text = dev.run("access", "having").out
    found = dev.run("access", "having@x.org", "--json").json
    one = dev.run("access", "having", "--feature", "prepaid").out
    other = dev.run("access", "having", "--feature", "prod_x", "--json").json

    [product] = found["products"]
    word = "yes until" if product["granted"] else "no since"
    assert "having: catalogue none\nproducts:\n" in text
    assert f"\n  prepaid: {word} " in text
    assert f"prepaid: {word} " in one
    assert one.endswith("by prepaid (prepaid)\n")
    assert (found["catalogue"], product["product"]) == ("none", "prepaid")
    assert (other["feature"], other["granted"]) == ("prod_x", False)
    assert "\x1b" not in text


def test_who_is_not_there_has_no_access(dev: Dev) -> None:
    """
    A name that cannot be a feature's is a usage error.
    """
    assert dev.asks(dev.token("without"), "without") == 200
    assert dev.run("access", "nobody").code == 3
    assert dev.run("access", "without", "--feature", "a b").code == 2
