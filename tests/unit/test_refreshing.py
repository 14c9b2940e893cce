"""Files that are swapped under a running process, as Kubernetes does."""

import asyncio
import base64
import json
import os
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from structlog.testing import capture_logs

from payments_adapters.jwt import KeySet, generate_jwks, issue
from payments_adapters.jwt.key_sources import TooManyWait
from payments_adapters.stripe import sign
from payments_core.errors import BadSignature, InvalidToken, KeysUnavailable
from payments_core.identity import UserId
from payments_service.lanes import InFlightLimits
from payments_service.metrics.tokens import KeyMetrics
from payments_service.refreshing import Refreshing, RereadFiles
from payments_service.settings import Settings, SettingsError
from support.service import AUDIENCE, ISSUER, World, new_secret

pytestmark = pytest.mark.anyio

NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEYS: Final = "PAYMENTS_JWT_KEYS"
SECRETS: Final = "PAYMENTS_STRIPE_WEBHOOK_SECRETS"
BODY: Final = b"{}"


@attrs.define
class Mounted:
    """A Secret as the kubelet mounts it: links into a folder behind another link."""

    folder: Path
    files: dict[str, str]
    swaps: int = 0

    def swap(self, **files: str | None) -> None:
        """Change all at once; None removes a file. The links stay as they are."""
        for name, text in files.items():
            if text is None:
                self.files.pop(name)
            else:
                self.files[name] = text
        self.swaps += 1
        made = self.folder / f"..{self.swaps}"
        made.mkdir()
        for name, text in self.files.items():
            (made / name).write_text(text)
            # A file's time says nothing: it is always the same here.
            os.utime(made / name, (0, 0))
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(Path("..data") / name)
        (self.folder / "..next").symlink_to(made.name)
        (self.folder / "..next").rename(self.folder / "..data")

    def env(self) -> dict[str, str]:
        env = World("postgresql://nobody@127.0.0.1:1/nothing").env(0, 0)
        for name in (KEYS, SECRETS):
            env.pop(name)
            env[f"{name}_FILE"] = str(self.folder / name)
        return env


@attrs.frozen
class Running:
    mounted: Mounted
    refreshing: Refreshing

    def takes(self, keys: str) -> bool:
        text = issue(
            KeySet.from_jwks(keys),
            issuer=ISSUER,
            audience=AUDIENCE,
            user_id=UserId("ada"),
            email=None,
            scopes=[],
            at=NOW,
            lifetime=timedelta(hours=1),
            jti="jti-1",
        )
        try:
            self.refreshing.verifier.verify(text)
        except InvalidToken:
            return False
        return True

    def hears(self, secret: str) -> bool:
        try:
            header = sign(BODY, secret=secret, at=NOW)
            self.refreshing.signatures.verify(BODY, header)
        except BadSignature:
            return False
        return True

    def metric(self, name: str, setting: str) -> float:
        for family in KeyMetrics(self.refreshing).collect():
            for sample in family.samples:
                if (sample.name, sample.labels["setting"]) == (name, setting):
                    return sample.value
        raise AssertionError(name)


OLD, NEW = generate_jwks("old"), generate_jwks("new")
BOTH: Final = json.dumps({"keys": json.loads(OLD)["keys"] + json.loads(NEW)["keys"]})
OLD_SECRET, NEW_SECRET = new_secret(), new_secret()


@pytest.fixture
def running(tmp_path: Path) -> Running:
    mounted = Mounted(tmp_path, {})
    mounted.swap(**{KEYS: OLD, SECRETS: OLD_SECRET})
    settings = Settings.from_env(mounted.env())
    return Running(mounted, Refreshing.of(settings, lambda: NOW))


async def test_t48_keys_roll_with_an_overlap_and_no_restart(running: Running) -> None:
    """
    Old, both, new: a removed key verifies nothing, also no token that it just verified.
    """
    seen = []
    for keys in (OLD, BOTH, NEW):
        running.mounted.swap(**{KEYS: keys})
        await running.refreshing.files.look()
        seen.append((running.takes(OLD), running.takes(NEW)))

    assert seen == [(True, False), (True, True), (False, True)]


async def test_t10_f45_webhook_secrets_roll_without_a_restart(running: Running) -> None:
    """
    While both are configured, both are accepted.
    """
    seen = []
    for text in (OLD_SECRET, f"{OLD_SECRET}\n{NEW_SECRET}\n", NEW_SECRET):
        running.mounted.swap(**{SECRETS: text})
        await running.refreshing.files.look()
        seen.append((running.hears(OLD_SECRET), running.hears(NEW_SECRET)))

    assert seen == [(True, False), (True, True), (False, True)]


async def test_what_did_not_change_stays_the_very_same(running: Running) -> None:
    """
    Swapped links with the same content cost no verification.
    """
    verifier: Any = running.refreshing.verifier
    before = verifier.keys.current
    running.mounted.swap(**{KEYS: f"{OLD}\n"})
    with capture_logs() as logs:
        await running.refreshing.files.look()

    assert verifier.keys.current is before
    assert logs == []


async def test_what_says_the_same_is_not_read_as_keys(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The test for weak keys takes milliseconds, and files are checked often.
    """
    await running.refreshing.files.look()

    def read(_: Settings, name: str, __: str) -> Settings:
        raise AssertionError(name)

    monkeypatch.setattr(Settings, "reread", read)
    running.mounted.swap()
    await running.refreshing.files.look()


async def test_what_was_refused_because_of_another_is_taken_once_that_is_mended(
    running: Running,
) -> None:
    """
    Although its own file is the same.
    """
    files = running.refreshing.files
    running.mounted.swap(**{KEYS: oct_of(OLD_SECRET)})
    await files.look()
    assert files.refused == {KEYS}
    running.mounted.swap(**{SECRETS: NEW_SECRET})
    await files.look()
    await files.look()

    assert files.refused == set()
    assert running.takes(oct_of(OLD_SECRET))


def oct_of(text: str) -> str:
    """Return a key set with this text as its secret."""
    k = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    return json.dumps({"keys": [{"kty": "oct", "alg": "HS256", "kid": "k", "k": k}]})


@pytest.mark.parametrize(
    "text",
    [None, "", "no keys", OLD[:-1], oct_of(OLD_SECRET), "\0", "[" * 70_000],
    ids=["gone", "empty", "none", "cut off", "Stripe's", "null", "long"],
)
async def test_what_cannot_be_used_keeps_the_old_keys(
    running: Running, text: str | None
) -> None:
    """
    It is logged once, counted until it is corrected, and stops the next start.
    """
    running.mounted.swap(**{KEYS: text})
    with capture_logs() as logs:
        for _ in range(3):
            await running.refreshing.files.look()

    assert running.takes(OLD)
    assert [(it["log_level"], it["setting"]) for it in logs] == [("error", KEYS)]
    assert json.loads(OLD)["keys"][0]["k"] not in str(logs)
    assert running.metric("payments_setting_file_refused", KEYS) == 1
    assert running.metric("payments_setting_file_refused", SECRETS) == 0
    assert running.metric("payments_setting_file_refusals_total", KEYS) == 1
    with pytest.raises(SettingsError) as refused:
        Settings.from_env(running.mounted.env())
    assert list(refused.value.problems) == [KEYS]

    running.mounted.swap(**{KEYS: NEW})
    await running.refreshing.files.look()
    assert running.metric("payments_setting_file_refused", KEYS) == 0
    assert (running.takes(OLD), running.takes(NEW)) == (False, True)


async def test_what_is_compared_with_is_what_is_in_use_now(running: Running) -> None:
    """
    A rolled-in secret of Stripe's must not be a key of callers either.
    """
    running.mounted.swap(**{SECRETS: NEW_SECRET})
    await running.refreshing.files.look()
    running.mounted.swap(**{KEYS: oct_of(NEW_SECRET)})
    with capture_logs() as logs:
        await running.refreshing.files.look()

    assert [it["log_level"] for it in logs] == ["error"]
    assert running.takes(OLD)


async def test_what_the_taker_fails_on_is_handed_on_again(running: Running) -> None:
    """
    A bug while a change is applied keeps it a change: the next check may succeed.
    """
    taken = list[str | None]()

    def take(settings: Settings) -> None:
        taken.append(settings.jwt_keys)
        if len(taken) == 1:
            raise RuntimeError

    settings = running.refreshing.files.settings
    files = RereadFiles(settings, {KEYS: take, SECRETS: take})
    running.mounted.swap(**{KEYS: NEW})
    with pytest.raises(RuntimeError):
        await files.look()
    assert files.settings == settings
    await files.look()
    await files.look()

    assert taken == [NEW, NEW]
    assert files.settings.jwt_keys == NEW


async def test_a_bug_ends_no_loop(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It is logged, and the files are checked again.
    """
    looked, waited = list[str](), list[float]()

    async def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            raise asyncio.CancelledError

    async def broken(files: RereadFiles) -> None:
        looked.append(files.settings.env)
        raise RuntimeError

    monkeypatch.setattr(RereadFiles, "look", broken)
    files = attrs.evolve(running.refreshing.files, sleep=wait)
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await files.keep_looking()

    assert (len(looked), waited) == (2, [5.0] * 3)
    assert [it["event"] for it in logs] == ["bug", "bug"]


async def test_variables_are_no_files() -> None:
    """
    What was not given as a file is not read again, and nothing is missing.
    """
    settings = Settings.from_env(World("postgresql://n@127.0.0.1:1/n").env(0, 0))
    refreshing = Refreshing.of(settings, lambda: NOW)

    await refreshing.files.look()

    assert settings.rereadable == ()
    assert refreshing.trouble is None


def test_a_secret_that_cannot_be_used_stops_the_start() -> None:
    """
    With the name of its variable.
    """
    settings = Settings.from_env(World("postgresql://n@127.0.0.1:1/n").env(0, 0))
    wrong = {
        KEYS: attrs.evolve(settings, jwt_keys="{}"),
        SECRETS: attrs.evolve(
            settings, stripe_webhook_secrets=(secrets.token_hex(24),)
        ),
    }
    for name, given in wrong.items():
        with pytest.raises(SettingsError) as refused:
            Refreshing.of(given, lambda: NOW)
        assert list(refused.value.problems) == [name]


def test_t77_without_keys_and_secrets_nothing_is_believed() -> None:
    """
    A worker has none: whatever it received, no token and no webhook is verified.
    """
    world = World("postgresql://n@127.0.0.1:1/n")
    env = {
        name: text
        for name, text in world.env(0, 0).items()
        if name not in {KEYS, SECRETS, "PAYMENTS_JWT_ISSUER", "PAYMENTS_JWT_AUDIENCE"}
    }
    settings = Settings.from_env(env, serves=False)
    refreshing = Refreshing.of(settings, lambda: NOW)

    with pytest.raises(KeysUnavailable):
        refreshing.verifier.verify(world.token("ada", at=NOW))
    for secret in (world.secrets[0], ""):
        with pytest.raises(BadSignature):
            refreshing.signatures.verify(BODY, sign(BODY, secret=secret, at=NOW))


async def test_t30_tokens_of_unknown_keys_fill_no_lane() -> None:
    """
    In the smaller lane of callers an eighth waits while an address is slow.
    """
    settings = attrs.evolve(
        Settings.from_env(World("postgresql://n@127.0.0.1:1/n").env(0, 0)),
        jwt_keys=None,
        jwt_keys_url="https://keys.example/",
        in_flight=InFlightLimits(reads=16, changes=100),
    )
    [keys] = Refreshing.of(settings, lambda: NOW).fetched
    slow: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    keys._fetch = lambda: slow
    waiting = [asyncio.ensure_future(keys.refresh()) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(TooManyWait):
        await keys.refresh()

    slow.set_result(BOTH.encode())
    await asyncio.gather(*waiting)
