"""The currencies that Stripe supports, and which amounts of each can be charged.

Source: docs.stripe.com/currencies (presentment currencies, minimum charge amounts,
zero-decimal, three-decimal and special cases).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from payments_sandbox.errors import ApiError, invalid

# As a pattern, for the check of requests.
CURRENCIES: Final = (
    "usd|aed|afn|all|amd|ang|aoa|ars|aud|awg|azn|bam|bbd|bdt|bgn|bhd|bif|bmd|"
    "bnd|bob|brl|bsd|bwp|byn|bzd|cad|cdf|chf|clp|cny|cop|crc|cve|czk|djf|dkk|"
    "dop|dzd|egp|etb|eur|fjd|fkp|gbp|gel|gip|gmd|gnf|gtq|gyd|hkd|hnl|hrk|htg|"
    "huf|idr|ils|inr|isk|jmd|jod|jpy|kes|kgs|khr|kmf|krw|kwd|kyd|kzt|lak|lbp|"
    "lkr|lrd|lsl|mad|mdl|mga|mkd|mmk|mnt|mop|mur|mvr|mwk|mxn|myr|mzn|nad|ngn|"
    "nio|nok|npr|nzd|omr|pab|pen|pgk|php|pkr|pln|pyg|qar|ron|rsd|rub|rwf|sar|"
    "sbd|scr|sek|sgd|shp|sle|sos|srd|std|szl|thb|tjs|tnd|top|try|ttd|twd|tzs|"
    "uah|ugx|uyu|uzs|vnd|vuv|wst|xaf|xcd|xof|xpf|yer|zar|zmw"
)
_ZERO_DECIMAL: Final = frozenset(
    {
        "bif",
        "clp",
        "djf",
        "gnf",
        "jpy",
        "kmf",
        "krw",
        "mga",
        "pyg",
        "rwf",
        "vnd",
        "vuv",
        "xaf",
        "xof",
        "xpf",
    }
)
_THREE_DECIMAL: Final = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
# Two decimals for older clients, but no fractions: an amount ends in 00.
_WHOLE_ONLY: Final = frozenset({"isk", "ugx"})
# In minor units. For others Stripe's minimum is half a dollar's worth, which is not
# known here.
_LEAST_MINOR: Final[Mapping[str, int]] = MappingProxyType(
    {
        "aed": 200,
        "aud": 50,
        "bgn": 100,
        "brl": 50,
        "cad": 50,
        "chf": 50,
        "czk": 1_500,
        "dkk": 250,
        "eur": 50,
        "gbp": 30,
        "hkd": 400,
        "huf": 17_500,
        "inr": 50,
        "jpy": 50,
        "mxn": 1_000,
        "myr": 200,
        "nok": 300,
        "nzd": 50,
        "pln": 200,
        "ron": 200,
        "sek": 300,
        "sgd": 50,
        "thb": 1_000,
        "usd": 50,
    }
)


def least_minor(currency: str) -> int:
    """Return the smallest amount that can be charged, in minor units."""
    return _LEAST_MINOR.get(currency, 1)


def require_chargeable(amount: int, currency: str) -> None:
    """Refuse an amount, in minor units, that cannot be charged in this currency.

    Raises:
        ApiError: it is too small, or more precise than the currency allows.
    """
    least = least_minor(currency)
    if amount < least:
        raise ApiError(
            400,
            f"Amount must be at least {_shown(least, currency)} {currency}",
            code="amount_too_small",
            param="amount",
        )
    step = 10 if currency in _THREE_DECIMAL else 100 if currency in _WHOLE_ONLY else 1
    if amount % step:
        raise invalid(
            f"Invalid amount: in {currency} it must be a multiple of {step}.",
            "amount",
        )


def _shown(amount: int, currency: str) -> str:
    if currency in _ZERO_DECIMAL:
        return str(amount)
    return f"{amount // 100}.{amount % 100:02d}"
