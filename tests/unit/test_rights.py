"""The rights that a restricted key needs are defined once, and documented."""

from pathlib import Path

from payments_adapters.stripe.rights import RIGHTS

PAGE = Path(__file__).parents[2] / "docs" / "stripe.md"


def test_the_page_has_the_rights_of_the_table() -> None:
    """Each with its level, in the same order."""
    rows = [f"| {it.resource} | {it.level} | {it.why} |" for it in RIGHTS]
    table = "| permission | level | for |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    assert table in PAGE.read_text()


def test_t73_what_only_setting_up_needs_is_no_right_of_the_service() -> None:
    """The service's own key may be weaker than the key that sets up Stripe."""
    assert [it.path for it in RIGHTS if it.of_setup] == ["webhook_endpoints"]
