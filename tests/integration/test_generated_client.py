"""A typed client, generated from the OpenAPI document as another team would do it.

`make prove` runs it: the generator needs an environment of its own.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from support.openapi_document import KEPT
from support.profiles import only_in_prove
from support.service_with_sandbox import ServiceWithSandbox

ROOT: Final = Path(__file__).parents[2]
# How another team's code uses it.
READS: Final = """
import json, sys
from generated import AuthenticatedClient
from generated.api.lists import get_users
from generated.api.subscriptions import start_subscription
from generated.api.users import get_payment_status
from generated.models import CardUpdatedOut, OrderIn, PaymentStatus, PaymentStatusOut
from generated.models import Problem, SubscribedOut, UsersOut

base, token, admin, user, product = sys.argv[1:]
with AuthenticatedClient(base_url=base, token=token) as client:
    order = OrderIn(product=product)
    ask = start_subscription.sync
    begun = ask(user, client=client, body=order, idempotency_key="k")
    assert isinstance(begun, SubscribedOut), begun
    status = get_payment_status.sync(user, client=client)
    assert isinstance(status, PaymentStatusOut), status
    refused = ask(user, client=client, body=order)
    assert isinstance(refused, Problem), refused
with AuthenticatedClient(base_url=base, token=admin) as client:
    listed, cursor = [], {}
    while cursor is not None:
        page = get_users.sync(
            client=client, status=PaymentStatus.PAID, limit=1, **cursor
        )
        assert isinstance(page, UsersOut), page
        listed += page.items
        cursor = {"cursor": page.next_cursor} if page.next_cursor else None
    print(json.dumps({
        "listed": [[it.user_id, it.entitled, it.products] for it in listed],
        "status": status.payment_status is PaymentStatus.PAID,
        "until": status.payment_expire_date.isoformat(),
        "card": status.card.last4,
        "product": [it.product for it in status.subscriptions],
        "refused": [refused.status, refused.code],
    }))
"""


def generator(folder: Path, *words: str | Path) -> str:
    """Run a command where the generator is installed, without our packages."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    group = ("--isolated", "--frozen", "--only-group", "client-generator")
    done = subprocess.run(
        [uv, "run", "--project", ROOT, *group, *words],
        cwd=folder,
        env={**os.environ, "UV_SYSTEM_CERTS": "1", "UV_PYTHON": sys.executable},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@only_in_prove
def test_a_generated_client_subscribes_reads_a_status_and_lists_users(
    stack: ServiceWithSandbox, tmp_path: Path
) -> None:
    """
    The generator gives no warning; answers and problems are types, values are enums.
    """
    payer, other = stack.user(), stack.user()
    payer.give_card().raise_for_status()
    other.subscribed()

    said = generator(
        tmp_path,
        *("openapi-python-client", "generate", "--fail-on-warning", "--meta", "none"),
        *("--path", KEPT, "--output-path", tmp_path / "generated"),
    )
    base = stack.service.url.removesuffix("/payments-gateway/api")
    read: dict[str, Any] = json.loads(
        generator(
            tmp_path,
            *("python", "-c", READS, base, payer.token, stack.world.admin()),
            *(payer.id, stack.product),
        )
    )

    assert "WARNING" not in said
    listed = read.pop("listed")
    for whose in (payer, other):
        assert [whose.id, True, [stack.product]] in listed
    assert read == {
        "status": True,
        "until": payer.status["payment_expire_date"].replace("Z", "+00:00"),
        "card": "4242",
        "product": [stack.product],
        "refused": [409, "already_subscribed"],
    }
