"""`payments stripe …`: create and repair an account's endpoint, and roll its secret."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from payments_adapters.stripe.api_shapes import API_VERSION
from payments_adapters.stripe.endpoint import EVENT_TYPES
from payments_sandbox import Fault, Sandbox
from payments_service.endpoint_roles import WEBHOOK_PATH, digest_of
from support.command_line import Answer, Inside
from support.sandbox import conforming
from support.wire import Wire, wired

BASE: Final = "https://pay.example.com"
URL: Final = BASE + WEBHOOK_PATH
KINDS: Final = ("webhook_endpoint", "v2.core.event_destination")
RARE: Final = ["charge.dispute.funds_reinstated"]


@attrs.frozen
class Place:
    """A Stripe account, and the commands that manage it."""

    sandbox: Sandbox
    wire: Wire
    run: Inside
    folder: Path
    env: Mapping[str, str]

    @property
    def file(self) -> Path:
        return self.folder / "secret"

    @property
    def secret(self) -> str:
        return self.file.read_text().strip()

    def setup(
        self, *words: str, url: str = BASE, to: str = "secret", **env: str
    ) -> Answer:
        file = str(self.folder / to)
        words = ("setup", "--url", url, "--secret-file", file, *words)
        return self._stripe(*words, **env)

    def roll(self, *words: str, to: str | None = "new", **env: str) -> Answer:
        file = ("--secret-file", str(self.folder / to)) if to else ()
        return self._stripe("roll-secret", "--url", BASE, *file, *words, **env)

    def _stripe(self, *words: str, **env: str) -> Answer:
        answer = self.run("stripe", *words, env={**self.env, **env})
        # No command has shown a secret, whatever happened.
        for it in self.folder.iterdir():
            assert it.read_text().strip() not in answer.out + answer.err
        assert self.env["PAYMENTS_STRIPE_API_KEY"] not in answer.out + answer.err
        return answer

    @property
    def endpoints(self) -> list[Any]:
        """Return all endpoints of both kinds, in the order of creation."""
        return [it for kind in KINDS for it in self.sandbox.objects(kind)]

    def secrets_of(self, endpoint: Any) -> list[str]:
        return [it for it, _ in self.sandbox.engine.world.secrets[endpoint["id"]]]

    def hand_made(self, **more: Any) -> Any:
        values = {"url": URL, "enabled_events": ["*"], **more}
        return self.wire.post("webhook_endpoints", **values)


@pytest.fixture(scope="module")
def account() -> Iterator[Wire]:
    with conforming() as sandbox, wired(sandbox) as wire:
        yield wire


@pytest.fixture
def place(account: Wire, inside: Inside, tmp_path: Path) -> Place:
    account.sandbox.reset()
    account.sandbox.calm()
    env = {
        "PAYMENTS_ENV": "development",
        "PAYMENTS_STRIPE_API_BASE": account.sandbox.url,
        "PAYMENTS_STRIPE_API_KEY": account.sandbox.api_key,
        "PAYMENTS_DEV_DIR": "/nowhere",
    }
    return Place(account.sandbox, account, inside, tmp_path, env)


def types_of(endpoint: Any) -> set[str]:
    return {it.removeprefix("v1.") for it in endpoint["enabled_events"]}


# Setting up


@pytest.mark.parametrize("thin", [False, True], ids=["snapshots", "thin"])
def test_an_endpoint_is_made_with_its_secret_in_a_file(
    place: Place, *, thin: bool
) -> None:
    """
    For exactly the types that the service reads, in the pinned version, enabled. Only
    its owner can read the file. A second run changes nothing, and says so.
    """
    words = ("--thin",) if thin else ()
    answer = place.setup(*words)
    again = place.setup(*words, "--json")

    [made] = place.endpoints
    assert (answer.code, again.code) == (0, 0)
    assert types_of(made) == EVENT_TYPES
    assert made["status"] == "enabled"
    assert made["object"] == KINDS[thin]
    if thin:
        assert made["webhook_endpoint"]["url"] == URL
    else:
        assert (made["url"], made["api_version"]) == (URL, API_VERSION)
    assert place.secrets_of(made) == [place.secret]
    assert stat.S_IMODE(place.file.stat().st_mode) == 0o600
    assert list(place.folder.iterdir()) == [place.file]
    assert "test mode" in answer.out
    assert "Charges and refunds" in answer.err
    assert f"write its secret to {place.file}" in answer.out
    assert "sends version" not in again.err
    assert (again.json["did"], again.json["endpoint"]) == ([], made["id"])
    assert again.json["next"] == f"{place.file} has the secret of {made['id']}"


def test_without_its_file_a_second_run_says_where_the_secret_is_not(
    place: Place,
) -> None:
    """Stripe returns the secret only at the creation."""
    place.setup()
    place.file.unlink()

    answer = place.setup("--json")

    assert (answer.code, answer.json["secret_in_file"]) == (6, False)
    assert "Stripe shows a secret only at creation" in answer.err
    roll = f"payments stripe roll-secret --url {BASE} --secret-file {place.file}.new"
    assert roll in answer.err
    assert not place.file.exists()
    place.file.write_text("whsec_of_another_one")
    assert place.setup().code == 6


def test_of_an_endpoint_made_by_hand_nothing_is_said_that_is_not_known(
    place: Place,
) -> None:
    """Its secret may or may not be in the file."""
    made = place.hand_made(api_version=API_VERSION)
    place.file.write_text(made["secret"])
    answer = place.setup("--json")
    assert (answer.code, answer.json["secret_in_file"]) == (0, None)
    unknown = f"has the secret of {made['id']}: that is not noted at Stripe"
    assert answer.json["next"].endswith(unknown)


def test_what_is_no_file_is_not_waited_for(place: Place) -> None:
    """Nothing writes into this pipe."""
    place.setup()
    place.file.unlink()
    pipe = place.folder.parent / f"{place.folder.name}-pipe"
    os.mkfifo(pipe)
    words = ("stripe", "setup", "--url", BASE, "--secret-file", str(pipe))
    answer = place.run(*words, env=place.env)
    assert answer.code == 4
    assert "not a regular file" in answer.err


@pytest.mark.parametrize(
    "was",
    [
        {"disabled": True},
        {"enabled_events": ["*"]},
        {"enabled_events": ["invoice.paid", "invoice.voided"]},
        {"description": "another one's"},
    ],
    ids=["disabled", "all types", "other types", "description"],
)
@pytest.mark.parametrize("ours", [True, False], ids=["ours", "made by hand"])
def test_what_differs_is_mended(
    place: Place, was: dict[str, Any], *, ours: bool
) -> None:
    """
    An endpoint that was created by hand, too; the dry run reports it first.
    """
    if ours:
        place.setup()
    else:
        place.hand_made(api_version=API_VERSION)
        place.file.write_text("whsec_of_what_was_made_by_hand")
    [made] = place.endpoints
    place.wire.post(f"webhook_endpoints/{made['id']}", **was)
    before = place.endpoints

    dry = place.setup("--dry-run", "--json")
    assert place.endpoints == before
    answer = place.setup("--json")

    [mended] = place.endpoints
    assert (dry.code, answer.code) == (0, 0)
    assert dry.json["did"] == answer.json["did"] != []
    if "invoice.voided" in was.get("enabled_events", ()):
        [did] = answer.json["did"]
        assert "add charge.captured, " in did
        assert "; remove invoice.voided" in did
    assert mended["id"] == made["id"]
    assert mended["status"] == "enabled"
    assert types_of(mended) == EVENT_TYPES
    assert "payments-gateway" in mended["description"]
    assert place.setup("--json").json["did"] == []


def test_another_version_is_told(place: Place) -> None:
    """It cannot be changed: the message names the command that creates another."""
    place.hand_made(api_version="2025-03-31.basil")
    place.file.write_text("whsec_of_what_was_made_by_hand")
    answer = place.setup()
    assert answer.code == 0
    assert "sends version 2025-03-31.basil" in answer.err
    assert "payments stripe roll-secret" in answer.err


def test_the_version_of_the_account_is_told_as_such(place: Place) -> None:
    """It was created without a pinned version."""
    made = place.hand_made()
    place.file.write_text("whsec_of_what_was_made_by_hand")
    assert f"{made['id']} sends version of the account" in place.setup().err


def test_what_only_waits_is_not_enabled_by_a_setup(place: Place) -> None:
    """
    The processes may not have its secret yet; the command that enables it is named.
    """
    place.setup()
    place.roll()
    old, waiting = place.endpoints
    place.wire.client.delete(f"/v1/webhook_endpoints/{old['id']}").raise_for_status()

    answer = place.setup("--json", to="third")

    assert (answer.code, answer.json["did"]) == (0, [])
    assert answer.json["endpoint"] == waiting["id"]
    assert f"roll-secret --url {BASE} --enable" in answer.json["next"]
    assert place.endpoints == [waiting]


def test_a_dry_run_makes_nothing(place: Place) -> None:
    """Neither an endpoint nor a file is created."""
    answer = place.setup("--dry-run")
    assert (answer.code, place.endpoints) == (0, [])
    assert list(place.folder.iterdir()) == []
    assert "create a webhook endpoint" in answer.out


@pytest.mark.parametrize("ahead", [True, False], ids=["before", "while it is made"])
def test_a_file_that_is_there_is_not_written_over(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, ahead: bool
) -> None:
    """
    No endpoint is left without a known secret, whenever the file appeared.
    """
    if ahead:
        place.file.write_text("whsec_of_another_one")
    else:
        link = os.link

        def late(source: str, name: str, **options: Any) -> None:
            place.file.write_text("whsec_of_another_one")
            link(source, name, **options)

        monkeypatch.setattr(os, "link", late)

    answer = place.setup()

    assert answer.code == (6 if ahead else 4)
    assert "--secret-file" in answer.err
    assert place.endpoints == []
    assert place.secret == "whsec_of_another_one"
    assert list(place.folder.iterdir()) == [place.file]


def test_a_folder_that_cannot_be_written_is_found_first(place: Place) -> None:
    """Nothing is created at Stripe."""
    words = ("stripe", "setup", "--url", BASE, "--secret-file")
    for name, reason in (
        ("no/secret", "No such file or directory"),
        ("s" * 300, "File name too long"),
    ):
        answer = place.run(*words, str(place.folder / name), env=place.env)
        assert (answer.code, place.endpoints) == (4, [])
        assert reason in answer.err


def test_a_folder_that_cannot_be_read_is_found_first(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The folder is opened because the name of the file must be synced to disk; if that
    sync still fails, neither the file nor its endpoint remains.
    """
    opened, synced = os.open, os.fsync

    def locked(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if Path(path) == place.folder:
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *more, **named)

    def failing(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(5, "Input/output error")
        synced(handle)

    asked = list[str]()
    place.sandbox.engine.watch = lambda request, _: asked.append(request.method)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", locked)
        answer = place.setup()
    assert (answer.code, set(asked)) == (4, {"GET"})
    assert "Permission denied" in answer.err
    monkeypatch.setattr(os, "fsync", failing)
    answer = place.setup()
    assert (answer.code, place.endpoints) == (4, [])
    assert "Input/output error" in answer.err
    assert list(place.folder.iterdir()) == []


@pytest.mark.parametrize("fault", [Fault.ERROR_BEFORE, Fault.ERROR_AFTER])
@pytest.mark.parametrize("call", [0, 1, 2])
@pytest.mark.parametrize("rolls", [False, True], ids=["setup", "roll"])
def test_a_run_that_breaks_off_is_gone_on_with(
    place: Place, fault: Fault, call: int, *, rolls: bool
) -> None:
    """
    Whichever of its calls fails, executed or not: the next run leaves one more endpoint
    than before, with its secret in the file; and until then no endpoint without a
    stored secret has sent anything.
    """
    if rolls:
        place.setup()
    run = place.roll if rolls else place.setup
    file = place.folder / ("new" if rolls else "secret")
    place.sandbox.plan(fault, "POST /v1/webhook_endpoints*", skip=call)

    broken = run()
    lost = [
        it for it in place.endpoints if it["metadata"]["payments_gateway"] == "made"
    ]
    assert all(it["status"] == "disabled" or types_of(it) == set(RARE) for it in lost)
    if call < 2 and lost:
        # It is not yet known whether that run was interrupted.
        early = run()
        assert early.code == 6
        assert "another run is in progress" in early.err
    place.sandbox.advance("2 minutes")
    is_written = file.exists()
    again = run()

    assert (broken.code, again.code) == (5, 0)
    if call < 2:
        assert ("delete " in again.out) == bool(lost)
        assert is_written is False
    else:
        assert is_written
        goes_on = fault is Fault.ERROR_BEFORE
        assert ("continue with" in again.out) is goes_on
    *old, new = place.endpoints
    assert len(old) == rolls
    assert place.secrets_of(new) == [file.read_text().strip()]
    assert new["metadata"]["payments_gateway_secret"] == digest_of(
        file.read_text().strip()
    )
    assert types_of(new) == EVENT_TYPES
    assert new["status"] == ("disabled" if rolls else "enabled")


# What Stripe refuses


def test_a_key_without_the_right_is_told_which(place: Place) -> None:
    """So is an invalid key."""
    weak = place.sandbox.restricted_key("customer_write", "webhook_read")
    lacks = place.setup(PAYMENTS_STRIPE_API_KEY=weak)
    none = place.setup(PAYMENTS_STRIPE_API_KEY="sk_test_nobodys")
    assert (lacks.code, none.code) == (4, 4)
    assert '"Webhook endpoints, event destinations": write' in lacks.err
    assert "PAYMENTS_STRIPE_API_KEY" in none.err
    assert list(place.folder.iterdir()) == []


def test_a_key_with_no_more_than_that_right_is_enough(place: Place) -> None:
    """Both the creation and the roll."""
    key = place.sandbox.restricted_key("webhook_write")
    assert place.setup(PAYMENTS_STRIPE_API_KEY=key).code == 0
    assert place.roll(PAYMENTS_STRIPE_API_KEY=key).code == 0


@pytest.mark.parametrize("thin", [False, True], ids=["snapshots", "thin"])
def test_too_many_endpoints_are_told(place: Place, *, thin: bool) -> None:
    """Stripe allows sixteen, whatever they are for."""
    for number in range(16):
        place.hand_made(url=f"https://example.com/{number}")
    answer = place.setup(*(["--thin"] if thin else []))
    assert answer.code == 6
    assert "has 16 endpoints" in answer.err


def test_events_are_not_sent_there_in_both_ways(place: Place) -> None:
    """Events would arrive twice, under ids that do not show that they are the same."""
    place.setup()
    answer = place.setup("--thin")
    assert answer.code == 6
    assert "snapshots" in answer.err
    assert len(place.endpoints) == 1


def test_an_endpoint_is_found_among_many(place: Place) -> None:
    """Event destinations are listed in pages, newest first."""
    place.setup("--thin")
    for number in range(12):
        body = {
            "name": "another's",
            "type": "webhook_endpoint",
            "event_payload": "thin",
            "enabled_events": ["*"],
            "webhook_endpoint": {"url": f"https://example.com/{number}"},
        }
        path = "/v2/core/event_destinations"
        place.wire.client.post(path, json=body).raise_for_status()
    assert place.setup("--thin", "--json").json["did"] == []
    assert len(place.endpoints) == 13


@pytest.mark.parametrize(
    ("url", "mode", "code"),
    [
        ("pay.example.com", "test", 2),
        ("ftp://pay.example.com", "test", 2),
        ("https://", "test", 2),
        ("https://pay.example.com:99999", "test", 2),
        ("https://user@pay.example.com", "test", 2),
        ("https://pay.example.com/?a=b", "test", 2),
        ("https://pay.example.com/payments-gateway/api", "test", 2),
        ("http://pay.example.com", "live", 2),
        ("http://pay.example.com", "test", 0),
        (BASE + "/", "test", 0),
        (URL, "test", 0),
    ],
)
def test_an_address_that_stripe_would_not_take_is_refused(
    place: Place, url: str, mode: str, code: int
) -> None:
    """
    Before any request is sent. A trailing slash or webhook path is removed.
    """
    live = {
        "PAYMENTS_ENV": "production",
        "PAYMENTS_STRIPE_API_BASE": "https://api.stripe.com",
        "PAYMENTS_STRIPE_API_KEY": "sk_live_" + "k" * 24,
    }
    answer = place.setup(url=url, **(live if mode == "live" else {}))
    assert answer.code == code
    assert ("--url" in answer.err) == (code == 2)
    if code == 0:
        [made] = place.endpoints
        assert made["url"] in {URL, URL.replace("https", "http")}


def test_what_is_missing_is_named(place: Place) -> None:
    """The mode and the key; the other settings of the service are not needed."""
    empty = {"PAYMENTS_ENV": "", "PAYMENTS_STRIPE_API_KEY": ""}
    answer = place.setup(**empty)
    assert answer.code == 4
    assert "PAYMENTS_ENV: missing" in answer.err
    assert "PAYMENTS_STRIPE_API_KEY: missing" in answer.err


def test_an_account_that_does_not_answer_is_exit_code_5(place: Place) -> None:
    """And the file does not exist."""
    nobody = "http://127.0.0.1:1"
    answer = place.setup(PAYMENTS_STRIPE_API_BASE=nobody)
    assert (answer.code, list(place.folder.iterdir())) == (5, [])


# Rolling: that no delivery is refused is in `test_secret_roll`


def test_what_cannot_be_rolled_is_said(place: Place) -> None:
    """
    Without an endpoint, out of order, or twice; each message names the right next step.
    """
    first = place.roll()
    assert (first.code, "payments stripe setup" in first.err) == (6, True)
    place.setup()
    for words, why in (
        (("--enable",), "no endpoint waits"),
        (("--finish",), "no endpoint replaces another one"),
    ):
        refused = place.roll(*words, to=None)
        assert (refused.code, why in refused.err) == (6, True)
    assert place.roll("--enable", "--finish").code == 2
    assert place.roll(to=None).code == 2

    begun, again = place.roll(), place.roll("--json")
    assert (begun.code, again.code, again.json["did"]) == (0, 0, [])
    other = place.roll(to="secret")
    assert other.code == 6
    assert "waits to be enabled" in other.err
    assert len(place.endpoints) == 2


def test_a_roll_that_is_under_way_is_not_begun_or_enabled_again(place: Place) -> None:
    """Both endpoints send: the next step is named, and nothing is changed."""
    place.setup()
    place.roll()
    assert place.roll("--enable", "--force", to=None).code == 0
    old, new = before = place.endpoints

    begun = place.roll(to="third")
    enabled = place.roll("--enable", "--json", to=None)
    lacking = place.roll("--finish", "--overlap", "0m", to=None)

    finish = f"roll-secret --url {BASE} --finish"
    assert (begun.code, enabled.code, lacking.code) == (6, 0, 6)
    assert f"{old['id']} is being replaced by {new['id']} already" in begun.err
    assert finish in begun.err
    assert (enabled.json["did"], enabled.json["endpoint"]) == ([], new["id"])
    assert finish in enabled.json["next"]
    assert "PAYMENTS_STRIPE_WEBHOOK_SECRETS here lacks the secret" in lacking.err
    assert place.endpoints == before


def test_a_setup_begins_no_overlap_anew_that_is_under_way(place: Place) -> None:
    """
    Whichever of the two is repaired: the old one keeps its role, and the new one has
    sent since it was enabled.
    """
    place.setup()
    place.roll()
    place.roll("--enable", "--force", to=None)
    place.sandbox.advance("1 hour")
    old, new = place.endpoints
    place.wire.post(f"webhook_endpoints/{old['id']}", disabled=True)
    place.wire.post(f"webhook_endpoints/{new['id']}", enabled_events=["*"])

    assert place.setup().code == 0

    mended = place.endpoints
    assert [it["status"] for it in mended] == ["enabled", "enabled"]
    assert types_of(mended[1]) == EVENT_TYPES
    assert [it["metadata"] for it in mended] == [old["metadata"], new["metadata"]]


def test_a_secret_that_was_lost_before_it_was_used_is_made_anew(place: Place) -> None:
    """
    Its endpoint has sent nothing yet. For two minutes another run may still be working
    on it.
    """
    place.setup()
    place.roll()
    lost = place.endpoints[-1]
    (place.folder / "new").unlink()

    young = place.roll()
    assert young.code == 6
    assert (
        f"{lost['id']} waits to be enabled, and it was created less than" in young.err
    )
    place.sandbox.advance("2 minutes")
    again = place.roll()

    assert again.code == 0
    assert f"delete {lost['id']}: it waits, and its secret is not here" in again.out
    old, new = place.endpoints
    assert lost["id"] not in {old["id"], new["id"]}
    assert place.secrets_of(new) == [(place.folder / "new").read_text().strip()]


def test_a_second_roll_deletes_no_endpoint_whose_secret_is_set(place: Place) -> None:
    """
    Its processes have it already: the endpoint must be enabled.
    """
    place.setup()
    place.roll()
    both = f"{place.secret},{(place.folder / 'new').read_text().strip()}"
    place.sandbox.advance("1 hour")

    again = place.roll(to="newer", PAYMENTS_STRIPE_WEBHOOK_SECRETS=both)

    assert again.code == 6
    assert "roll-secret" in again.err
    assert "--enable" in again.err
    assert len(place.endpoints) == 2
    assert not (place.folder / "newer").exists()


def test_it_is_not_enabled_where_the_new_secret_is_not_set(place: Place) -> None:
    """
    Its deliveries would be refused; an operator may override this.
    """
    place.setup()
    place.roll()
    old = {"PAYMENTS_STRIPE_WEBHOOK_SECRETS": place.secret}
    lacking = place.roll("--enable", to=None, **old)
    assert lacking.code == 6
    assert "PAYMENTS_STRIPE_WEBHOOK_SECRETS" in lacking.err
    assert place.endpoints[-1]["status"] == "disabled"
    assert place.roll("--enable", "--force", to=None, **old).code == 0
    assert place.endpoints[-1]["status"] == "enabled"


@pytest.mark.parametrize("thin", [False, True], ids=["snapshots", "thin"])
def test_the_old_one_is_disabled_after_the_overlap(place: Place, *, thin: bool) -> None:
    """
    By Stripe's clock, and not before; the next roll deletes it.
    """
    kind = ("--thin",) if thin else ()
    place.setup(*kind)
    place.roll(*kind)
    both = f"{place.secret},{(place.folder / 'new').read_text().strip()}"
    set_ = {"PAYMENTS_STRIPE_WEBHOOK_SECRETS": both}
    assert place.roll("--enable", *kind, to=None, **set_).code == 0

    place.sandbox.advance("89 minutes")
    early = place.roll("--finish", "--overlap", "90m", *kind, to=None, **set_)
    assert early.code == 6
    assert "the overlap ends at 2026-01-01T01:30:0" in early.err
    place.sandbox.advance("2 minutes")
    dry = place.roll(
        "--finish", "--overlap", "90m", "--dry-run", *kind, to=None, **set_
    )
    assert [it["status"] for it in place.endpoints] == ["enabled", "enabled"]
    done = place.roll("--finish", "--overlap", "90m", *kind, to=None, **set_)

    assert (dry.code, done.code) == (0, 0)
    old, new = place.endpoints
    assert (old["status"], new["status"]) == ("disabled", "enabled")
    assert place.setup(*kind, "--json").json["did"] == []
    assert place.roll("--finish", *kind, to=None, **set_).code == 0
    assert place.roll(*kind, to="third").code == 0
    kept, third = place.endpoints
    assert (kept["id"], third["status"]) == (new["id"], "disabled")


def test_mending_the_old_one_makes_it_no_newer(place: Place) -> None:
    """
    An endpoint that was created by hand is noted as in use while another replaces it:
    it is still the one that is replaced.
    """
    by_hand = place.hand_made()
    place.roll()
    assert place.roll("--enable", "--force", to=None).code == 0
    place.sandbox.advance("1 hour")
    assert place.setup(to="new").code == 0
    place.sandbox.advance("23 hours")

    assert place.roll("--finish", "--force", to=None).code == 0

    old, new = place.endpoints
    assert old["id"] == by_hand["id"]
    assert (old["status"], new["status"]) == ("disabled", "enabled")


@pytest.mark.parametrize("call", [0, 1])
def test_of_an_event_destination_nothing_is_noted_that_is_not_so(
    place: Place, call: int
) -> None:
    """
    Enabling takes two calls: whichever fails, the next run enables it, and the overlap
    begins then.
    """
    place.setup("--thin")
    place.roll("--thin")
    words = ("--enable", "--force", "--thin")
    fault = "POST /v2/core/event_destinations*"
    place.sandbox.plan(Fault.ERROR_BEFORE, fault, skip=call)

    broken = place.roll(*words, to=None)
    place.sandbox.advance("1 hour")
    again = place.roll(*words, to=None)

    assert (broken.code, again.code) == (5, 0)
    new = place.endpoints[-1]
    assert new["status"] == "enabled"
    assert types_of(new) == EVENT_TYPES
    since = new["metadata"]["payments_gateway_since"]
    assert since.startswith("2026-01-01T01:00")


def test_a_second_one_that_was_disabled_is_enabled_anew(place: Place) -> None:
    """By `--enable`, or by a setup: the overlap begins then."""
    place.setup()
    place.roll()
    for by_setup in (False, False, True):
        enabling = (
            place.setup() if by_setup else place.roll("--enable", "--force", to=None)
        )
        assert enabling.code == 0
        new = place.endpoints[-1]
        begun = new["metadata"]["payments_gateway_since"]
        assert new["status"] == "enabled"
        place.wire.post(f"webhook_endpoints/{new['id']}", disabled=True)
        place.sandbox.advance("1 hour")
        finish = place.roll("--finish", "--overlap", "1m", "--force", to=None)
        assert finish.code == 6
        assert f"roll-secret --url {BASE} --enable" in finish.err
        assert begun.startswith("2026-01-01T0")
    sinces = {it["metadata"]["payments_gateway_since"] for it in place.endpoints}
    assert max(sinces).startswith("2026-01-01T02:00")


def test_a_moment_that_is_to_come_was_noted_by_nobody(place: Place) -> None:
    """Somebody wrote it by hand: the endpoint counts as without a role."""
    place.setup()
    place.roll()
    place.roll("--enable", "--force", to=None)
    new = place.endpoints[-1]
    since = {"payments_gateway_since": "9999-12-31T23:59:59+00:00"}
    place.wire.post(f"webhook_endpoints/{new['id']}", metadata=since)
    assert place.roll("--finish", "--force", to=None).code == 0


def test_an_odd_endpoint_of_another_stops_nothing(place: Place) -> None:
    """A value of our key that has Stripe's maximum length is not one of our notes."""
    odd = {"payments_gateway": "x" * 500, "payments_gateway_secret": "y" * 500}
    place.hand_made(url="https://example.com/hooks", metadata=odd)
    answer = place.setup()
    assert (answer.code, "of ours" in answer.err) == (0, False)
    assert len(place.endpoints) == 2


def test_an_endpoint_of_another_address_is_named(place: Place) -> None:
    """
    After the service moved; the parts that may be secret are not shown. Another
    spelling of a host is not another address.
    """
    place.setup()
    same = place.setup("--json", url="https://PAY.Example.com:443")
    moved = place.setup("--json", url="https://new.example.com", to="moved")
    assert (same.code, same.json["did"]) == (0, [])
    assert (moved.code, len(place.endpoints)) == (0, 2)
    old, _ = place.endpoints
    assert f"{old['id']} of ours sends to {URL}" in moved.err


def test_what_was_not_done_is_not_said_to_be_begun(place: Place) -> None:
    """Stripe refused the creation."""
    for number in range(16):
        place.hand_made(url=f"https://example.com/{number}")
    answer = place.setup()
    assert answer.code == 6
    assert "begun" not in answer.err
