"""What operators mount, import and keep: settings, catalogues, endpoints, users."""

import io
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir
from typing import Final

import msgspec

from fuzz.reader import CANARY, Reader
from fuzz.readers.tokens import JWKS
from payments_adapters.webhooks_out import read_endpoints
from payments_client.rows import Features, Rows
from payments_client.saved_copy import SavedCopy, load
from payments_client.shapes import FeedPage
from payments_core.errors import InvalidValue
from payments_service.catalogue_file import read_catalogue
from payments_service.cli.customer_file import CustomerFile, FileFormat, SeenRows
from payments_service.settings import Settings, SettingsError

_CATALOGUE: Final = """[products.prod_pro]
name = "Pro"
prices = ["price_pro_month", 'price_pro_year']
features = ["reports", "api"]
trial_days = 14
days_after_end = 5
[products.prod_pro.price_features]
price_pro_year = ["priority_support"]
[prepaid]
features = ["reports"]
"""
_KEY: Final = b64encode(sha256(CANARY.encode()).digest()).decode()
_ENDPOINTS: Final = f"""[endpoints.crm]
url = "https://crm.example:8443/hooks?a=b"
secrets = ["whsec_{_KEY}", "whsec_{CANARY}"]
secrets_files = ["secret"]
timeout_s = 20
allow_private = false
from_start = true
[endpoints.mail]
url = "https://[2001:db8::1]/x"
secrets = ["whsec_{_KEY}"]
"""
_ENV: Final = f"""PAYMENTS_ENV=development
PAYMENTS_DATABASE_URL=postgres://app:{CANARY}@db.example:5432/payments
PAYMENTS_STRIPE_API_BASE=http://127.0.0.1:12111
PAYMENTS_STRIPE_WEBHOOK_SECRETS=whsec_{CANARY}{CANARY},whsec_{CANARY}
PAYMENTS_JWT_ISSUER=https://users.example
PAYMENTS_JWT_AUDIENCE=payments
PAYMENTS_JWT_KEYS={JWKS}
PAYMENTS_ERASURE_KEY={CANARY}
PAYMENTS_PORT=8000
PAYMENTS_GRACE_DAYS=3
PAYMENTS_KEEP_BODIES_DAYS=31
PAYMENTS_LOG_LEVEL=info
PAYMENTS_OTHER={CANARY}"""
_ROWS_OF_USERS: Final = f"""user_id,email,customer_id
ada,Ada@example.org,cus_1
"bob","{CANARY}@bücher.example",cus_{CANARY}
"""
_OBJECTS_OF_USERS: Final = f"""{{"user_id":"ada","email":"a@b.c","customer_id":"cus_1"}}
{{"refused":"why","user_id":"{CANARY}","email":"{CANARY}","customer_id":"cus_2"}}
"""
_PRODUCT: Final = """{"product":"prod_pro","name":"Pro","prices":["price_1"],
"features":["reports"],"price_features":{"price_1":["api"]}}"""
_PAGE: Final = """{"changes":[{"position":7,"user_id":"ada","version":2,
"at":"2026-01-01T12:00:00Z","payment_status":"paid",
"payment_expire_date":"2026-02-01T12:00:00Z","entitled_until":"2026-02-01T12:00:00Z",
"grants":[{"product":"prod_pro","price":"price_1","until":"2026-02-01T12:00:00+01:00",
"because":{"kind":"invoice","id":"in_1"}}],"cause":"x"}],
"next":"7","has_more":false,"catalogue":"c1"}"""


def _catalogue(data: bytes) -> object:
    return len(read_catalogue(data.decode(errors="surrogateescape")).products)


_NAME_IS_SECRET: Final = re.compile(
    rf"""(?m)^\s*\[.*{re.escape(CANARY)}|{re.escape(CANARY)}[^\n"'\],]*["']?\s*="""
)


def _secret_file(_: str) -> str:
    return f"whsec_{CANARY}"


def _endpoints(data: bytes) -> object:
    text = data.decode(errors="surrogateescape")
    # What is in the place of a name may be shown.
    if _NAME_IS_SECRET.search(text):
        return None
    return len(read_endpoints(text, _secret_file))


def _settings(data: bytes) -> object:
    """Read an environment; of a file there is nothing."""
    text = data.decode(errors="surrogateescape")
    pairs = (line.partition("=") for line in text.split("\n"))
    env = {
        name: value
        for name, _, value in pairs
        # What is in the place of a name may be shown.
        if not (name.endswith("_FILE") or CANARY in name)
    }
    return Settings.from_env(env).log_level


def _users(form: FileFormat, data: bytes) -> object:
    stream = io.TextIOWrapper(
        io.BytesIO(data), encoding="utf-8", errors="surrogateescape", newline=""
    )
    file, seen, kinds = CustomerFile(stream, form), SeenRows(), set[str]()
    try:
        for row in file.rows():
            try:
                seen.add(row.read())
            except InvalidValue as error:
                file.refused(row.text, error.reason)
                kinds.add(error.field)
    finally:
        seen.close()
    return tuple(sorted(kinds))


_CATALOGUE_OF_CLIENT: Final = f'{{"version":"c1","products":[{_PRODUCT}]}}'


def _features() -> Features:
    copy = msgspec.json.decode(_COPY, type=SavedCopy)
    return Features(copy.catalogue)


def _feed(data: bytes) -> object:
    """Read a page of the feed as the client does."""
    try:
        page = msgspec.json.decode(data, type=FeedPage)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    rows = Rows(_FEATURES)
    for change in page.changes:
        rows.take(change)
    return (len(rows), rows.until("ada", "reports") > 0)


_COPY: Final = f"""{{"format":1,"after":"7","heard_at":1.5,
"catalogue":{_CATALOGUE_OF_CLIENT},"rows":{{"ada":[2,{{"reports":1.5}}],"bob":[1,null]}}}}
"""
_FEATURES: Final = _features()
_COPY_PATH: Final = Path(gettempdir()) / "payments-fuzz-copy.json"


def _copy(data: bytes) -> object:
    _COPY_PATH.write_bytes(data)
    try:
        found = load(_COPY_PATH)
    finally:
        _COPY_PATH.unlink()
    return found is not None and len(Rows(Features(found.catalogue), found.rows))


FILES: Final = (
    Reader("catalogue", _catalogue, [_CATALOGUE.encode()], (ValueError,), 70_000),
    Reader(
        "webhook endpoints", _endpoints, [_ENDPOINTS.encode()], (InvalidValue,), 70_000
    ),
    Reader(
        "settings", _settings, [_ENV.encode()], (SettingsError,), 70_000, weight=0.2
    ),
    Reader(
        "users in CSV",
        lambda data: _users(FileFormat.CSV, data),
        [_ROWS_OF_USERS.encode(), f"refused,{_ROWS_OF_USERS}".encode()],
        (InvalidValue,),
        70_000,
        weight=0.3,
    ),
    Reader(
        "users in JSON",
        lambda data: _users(FileFormat.JSONL, data),
        [_OBJECTS_OF_USERS.encode(), *_OBJECTS_OF_USERS.encode().splitlines()],
        (InvalidValue,),
        70_000,
        weight=0.3,
    ),
    Reader("feed", _feed, [_PAGE.encode()], (ValueError,), 100_000),
    Reader("saved copy", _copy, [_COPY.encode()], (ValueError,), weight=0.3),
)
