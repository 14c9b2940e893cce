"""Whether the keys at an address can be read, and which of them are usable."""

from functools import partial
from typing import Final

from payments_adapters.jwt.key_url import FetchError, KeyUrl
from payments_adapters.jwt.published_keys import read_published
from payments_core.errors import InvalidValue
from payments_service.doctor.checks import Check, CheckResults, ok, wrong
from payments_service.refreshing import key_urls
from payments_service.settings import Settings

KEYS: Final = "signing keys"
_READ: Final = (
    "check that {name} is the address of a JWK Set that this host can reach: "
    "`curl --include --max-time 5 {url}`; until then its issuer's tokens are verified "
    "with keys that were read within a day, or not at all"
)
_MEND: Final = (
    "have the issuer publish keys for RS256, ES256 or EdDSA there: `curl {url}` shows "
    "what it publishes"
)
_REPLACE: Final = (
    "have the issuer replace them: anyone who read them can sign tokens: `curl {url}`"
)


def key_checks(settings: Settings) -> list[Check]:
    """Return the checks that read each address of keys as the service would."""
    return [
        Check(KEYS, partial(_read, name, url))
        for name, url in key_urls(settings).items()
    ]


async def _read(name: str, url: KeyUrl) -> CheckResults:
    try:
        published = read_published(await url.fetch())
    except FetchError as error:
        return [wrong(KEYS, f"{name}: {error}", _READ.format(name=name, url=url.url))]
    except InvalidValue as error:
        return [wrong(KEYS, f"{name}: {error.reason}", _MEND.format(url=url.url))]
    if published.leaked:
        text = f"{name} has private keys: {', '.join(published.leaked)}"
        return [wrong(KEYS, text, _REPLACE.format(url=url.url))]
    kids = ", ".join(published.keys.keys)
    return [ok(KEYS, f"{name} has usable keys: {kids}")]
