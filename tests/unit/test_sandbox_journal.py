"""The sandbox's journal: its requests rebuild the sandbox, to the last id."""

import stat
from pathlib import Path
from typing import Any

import pytest

from payments_sandbox.engine import Engine
from payments_sandbox.errors import CardError
from payments_sandbox.journal import Journal, JournalError, Reset
from payments_sandbox.presets import both, catalog, forwarding
from support.sandbox import Api, Refused

PRESET = both(catalog, forwarding("http://127.0.0.1:9/", "whsec_" + "s" * 24, None))


def begun(path: Path) -> tuple[Api, Journal]:
    """Return a sandbox rebuilt from the journal, which records later requests."""
    api, journal = Api(Engine(seed=5, preset=PRESET)), Journal(path)
    entries = journal.entries()
    api.engine.replay(entries)
    if not entries:
        journal.note(Reset(at=api.now, seed=api.engine.seed))
    api.engine.record = journal.note
    return api, journal


def live(api: Api) -> None:
    """Do one of each thing that the journal records."""
    customer = api.customer("pm_card_authenticationRequired", email="a@example.com")
    it = api.subscribe(customer["id"], "price_basic_monthly")
    invoice = api.get(f"invoices/{it['latest_invoice']}", expand=["payments"])
    intent = invoice["payments"]["data"][0]["payment"]["payment_intent"]
    api.engine.authenticate(intent)
    setup = api.post("setup_intents", customer=customer["id"])
    with pytest.raises(CardError):
        api.engine.authenticate(setup["id"], card="pm_card_chargeDeclined")
    api.engine.authenticate(setup["client_secret"], card="pm_card_amex")
    api.get("payment_methods/pm_card_visa")
    good = api.customer(metadata={"user_id": "b"})
    card = good["invoice_settings"]["default_payment_method"]
    api.subscribe(good["id"], "price_pro_monthly")
    api.engine.set_card(card, declines="lost_card")
    api.engine.reissue_card(card)
    api.advance("40 days")
    endpoint = api.engine.world.all("webhook_endpoint")[0]["id"]
    api.engine.roll_secret(endpoint)
    with pytest.raises(Refused):
        api.post("customers", nothing="known")
    api.raw("POST", "customers", {"name": "twice"}, idempotency_key="k")
    while delivery := api.engine.outbox.pop_due():
        # The first of each type arrives.
        arrives = delivery.event_type not in seen_types(api)
        api.engine.outbox.answered(delivery, 200 if arrives else 500)


def seen_types(api: Api) -> set[str]:
    return {
        kind for _, kind, _, answer in api.engine.outbox.attempts if answer == "200"
    }


def state_of(api: Api) -> dict[str, Any]:
    world = api.engine.world
    return {
        "objects": world.objects,
        "events": world.events,
        "undelivered": world.undelivered,
        "secrets": world.secrets,
        "cards": world.cards,
        "now": api.now,
        "drawn": world.drawn,
    }


def snapshot(api: Api) -> dict[str, Any]:
    """Return the state, and the next id, which this draws."""
    return {**state_of(api), "next": api.engine.world.new_id("x")}


def differences(api: Api, other: Api) -> list[str]:
    before, after = state_of(api), state_of(other)
    return [name for name, value in before.items() if after[name] != value]


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    """
    Objects, events, secrets, cards, what is undelivered, and the ids that follow.
    """
    api, journal = begun(tmp_path / "journal")
    live(api)
    journal.close()

    again, second = begun(tmp_path / "journal")

    before, after = snapshot(api), snapshot(again)
    for name, value in before.items():
        assert after[name] == value, name
    # What had not arrived is sent again.
    assert len(again.engine.outbox) == len(after["undelivered"])
    answer = again.raw("POST", "customers", {"name": "twice"}, idempotency_key="k")
    assert answer.headers["Idempotent-Replayed"] == "true"
    second.close()


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    """
    Requests after the rebuild are recorded as well.
    """
    path = tmp_path / "journal"
    for count in (1, 2, 3):
        api, journal = begun(path)
        api.post("customers", name=f"number {count}")
        api.advance("1 second")
        journal.close()

        assert len(api.get("customers")["data"]) == count
        assert api.now == api.engine.start() + count


@pytest.mark.anyio
async def test_what_anybody_heard_of_is_in_it(tmp_path: Path) -> None:
    """
    Killed while time passes, it is rebuilt as it was when it last told a client: also
    if it was called between two renewals of one second.
    """
    path = tmp_path / "journal"
    api, journal = begun(path)
    for _ in range(2):
        api.subscribe(api.customer()["id"], "price_basic_monthly")
    wrong: list[str] = []
    seen = 0

    async def flush() -> None:
        nonlocal seen
        if len(api.engine.world.events) == seen:
            return
        seen = len(api.engine.world.events)
        copy = tmp_path / "copy"
        copy.write_bytes(path.read_bytes())
        again, second = begun(copy)
        second.close()
        wrong.extend(f"{name} at {api.now}" for name in differences(api, again))
        api.post("customers", name="between")

    await api.engine.advance("40 days", flush)
    journal.close()
    again, second = begun(path)
    second.close()

    assert seen > 0
    assert wrong == []
    assert differences(api, again) == []


def test_a_line_that_was_cut_off_is_cut_away(tmp_path: Path) -> None:
    """
    Every prefix of the file is a journal, with the calls that are complete in it.
    """
    path = tmp_path / "journal"
    api, journal = begun(path)
    for count in range(3):
        api.post("customers", name=str(count))
    journal.close()
    whole = path.read_bytes()

    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        again, second = begun(path)
        # The first line is the beginning.
        calls = max(0, whole[:length].count(b"\n") - 1)
        assert len(again.engine.world.all("customer")) == calls
        second.close()


def test_a_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """
    It does not guess: the error says which line it is.
    """
    path = tmp_path / "journal"
    path.write_bytes(b'{"did":"reset","at":1,"seed":0}\n{"did":"magic","at":2}\n')

    with pytest.raises(JournalError, match=r"journal:2: "):
        Journal(path).entries()


def test_a_reset_forgets_what_was_before(tmp_path: Path) -> None:
    """
    The file has only the new world; the key stays.
    """
    path = tmp_path / "journal"
    api, journal = begun(path)
    key = api.engine.api.api_key
    api.post("customers", name="gone")
    api.engine.reset(9)
    api.post("customers", name="here")
    journal.close()

    again, second = begun(path)

    assert [it["name"] for it in again.engine.world.all("customer")] == ["here"]
    assert (again.engine.seed, api.engine.api.api_key) == (9, key)
    second.close()


def test_only_its_owner_reads_it_and_it_holds_no_key(tmp_path: Path) -> None:
    """
    Mode 0600, and the API key in no line.
    """
    path = tmp_path / "journal"
    api, journal = begun(path)
    api.post("customers", name="ada")
    journal.close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert api.engine.api.api_key.encode() not in path.read_bytes()
