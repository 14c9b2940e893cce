"""Access by feature, over real HTTP and on a real Postgres, by a catalogue."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import attrs
import httpx
import pytest
from typing_extensions import override

from support import databases
from support.events import SUCCEEDED, event
from support.plain_http import TLS
from support.service import ServiceProcess, World, running

CATALOGUE: Final = """
[products.prod_pro]
name = "Pro"
prices = ["price_pro_month", "price_pro_year"]
features = ["api", "reports"]
trial_days = 14
[products.prod_pro.price_features]
price_pro_year = ["support"]
[prepaid]
features = ["reports"]
days_after_end = 5
"""
GRACE_S: Final = 3 * 86_400


@attrs.frozen
class SoldWorld(World):
    @override
    def env(self, port: int, ops_port: int) -> dict[str, str]:
        found = World.env(self, port, ops_port)
        return {**found, "PAYMENTS_CATALOGUE": CATALOGUE}


@pytest.fixture(scope="module")
def service(postgres: str, template: str) -> Iterator[ServiceProcess]:
    with (
        databases.copy_of(postgres, template) as dsn,
        running(SoldWorld(dsn)) as [service],
    ):
        yield service


def pay(service: ServiceProcess, user: str) -> None:
    service.register(user, f"{user}@example.com")
    now = datetime.now(UTC)
    paid = event(SUCCEEDED, user, at=now, receipt_email=f"{user}@example.com")
    assert service.post_event(paid).status_code == 200


def test_access_is_told_by_product_and_feature(service: ServiceProcess) -> None:
    """
    Features that the user lacks, too; the grant, its end, and the version of the
    catalogue.
    """
    pay(service, "ada")
    token, status = service.world.token("ada"), service.status("ada")
    found = service.call("GET", "/users/ada/access", token).raise_for_status().json()

    features = {it.pop("feature"): it for it in found["features"]}
    products = {it.pop("product"): it for it in found["products"]}
    date = datetime.fromisoformat(status["payment_expire_date"])
    until = datetime.fromisoformat(found["entitled_until"])
    none = {"granted": False, "until": None, "because": None}
    prepaid = {
        "granted": True,
        "until": found["entitled_until"],
        "because": {"kind": "prepaid", "id": None},
    }
    assert (found["user_id"], found["entitled"]) == ("ada", status["entitled"])
    assert (until - date).days == 5
    assert products == {"prod_pro": none, "prepaid": prepaid}
    assert features == {
        "api": {**none, "product": None},
        "reports": {**prepaid, "product": "prepaid"},
        "support": {**none, "product": None},
    }
    catalogue = service.call("GET", "/catalogue", token).json()
    assert found["catalogue"] == catalogue["version"] != "none"


def test_one_feature_is_asked_for(service: ServiceProcess) -> None:
    """
    A feature that the catalogue does not name is not found; a text that cannot be a
    feature's name is refused.
    """
    pay(service, "bob")
    token = service.world.token("bob")

    def ask(feature: str) -> httpx.Response:
        return service.call("GET", f"/users/bob/access?feature={feature}", token)

    found, none = ask("reports").json(), ask("api").json()
    assert (found["user_id"], found["feature"]) == ("bob", "reports")
    assert (found["granted"], found["product"]) == (True, "prepaid")
    assert (none["granted"], none["until"], none["product"]) == (False, None, None)
    for feature, status, code in (
        ("report", 404, "feature_not_found"),
        ("", 400, "invalid_value"),
        ("a%20b", 400, "invalid_value"),
    ):
        answer = ask(feature)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_the_catalogue_is_told_to_any_caller(service: ServiceProcess) -> None:
    """
    The products, the features that they give, and how long access outlives what was
    paid.
    """
    token = service.world.token("anybody")
    found = service.call("GET", "/catalogue", token).raise_for_status().json()

    assert found == {
        "version": found["version"],
        "products": [
            {
                "product": "prod_pro",
                "name": "Pro",
                "prices": ["price_pro_month", "price_pro_year"],
                "features": ["api", "reports"],
                "price_features": {"price_pro_year": ["support"]},
                "trial_days": 14,
                "grace_s": GRACE_S,
            }
        ],
        "prepaid": {
            "product": "prepaid",
            "name": None,
            "prices": [],
            "features": ["reports"],
            "price_features": {},
            "trial_days": None,
            "grace_s": 5 * 86_400,
        },
    }
    assert service.call("GET", "/catalogue").status_code == 401


@pytest.mark.parametrize(
    "path", ["/users/cyd/access", "/users/cyd/access?feature=api", "/catalogue"]
)
def test_what_a_caller_has_already_is_not_sent_again(
    service: ServiceProcess, path: str
) -> None:
    """
    As for a payment status: 304 if the caller sends the tag of this very answer.
    """
    service.register("cyd", "cyd@example.com")
    url, token = service.url + path, service.world.token("cyd")
    bearer = {"Authorization": f"Bearer {token}"}
    first = httpx.get(url, headers=bearer, verify=TLS)
    tag = first.headers["etag"]
    again, other = (
        httpx.get(url, headers={**bearer, "If-None-Match": it}, verify=TLS)
        for it in (f'"x", {tag}', '"x"')
    )

    assert first.headers["cache-control"] == "private, no-cache"
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert (other.status_code, other.content) == (200, first.content)


def test_a_tag_is_of_one_route_one_user_and_one_state(service: ServiceProcess) -> None:
    """
    The answer's only tag is enough for a 304; the tag of an answer that differs in any
    respect is not. A caller without the right is refused, with any tag.
    """
    for user in ("dan", "fay"):
        service.register(user, f"{user}@example.com")
    admin, paths = service.world.admin(), ("", "?feature=api", "?feature=reports")
    urls = [
        *(f"/users/{user}/access{query}" for user in ("dan", "fay") for query in paths),
        "/users/dan/payment-status",
        "/users/fay/payment-status",
    ]

    def ask(url: str, tag: str, token: str = admin) -> int:
        headers = {"Authorization": f"Bearer {token}", "If-None-Match": tag}
        return httpx.get(service.url + url, headers=headers, verify=TLS).status_code

    tags = {url: service.call("GET", url, admin).headers["etag"] for url in urls}
    for url, tag in tags.items():
        assert [ask(other, tag) for other in urls] == [
            304 if other == url else 200 for other in urls
        ]
        assert ask(url, f"W/{tag}") == 304
        assert ask(url, tag, service.world.token("eve")) == 404
        assert ask(url, tag, "x") == 401
    by_email = "/users/dan@example.com/payment-status"
    assert ask(by_email, service.call("GET", by_email, admin).headers["etag"]) == 304

    pay(service, "dan")
    after = [ask(url, tag) for url, tag in tags.items()]
    assert after == [200 if "/dan/" in url else 304 for url in urls]


@pytest.mark.parametrize(
    "tag",
    [
        f'"1.{"f" * 16}..{"0" * 16}"',
        f'"1..{"f" * 16}.{"0" * 16}"',
        f'"{"f" * 16}...{"0" * 16}"',
        '"1..."',
        '"....",',
        f'"1...{"0" * 16}", "1...{"0" * 16}"',
    ],
)
def test_a_tag_that_was_made_up_is_no_error(service: ServiceProcess, tag: str) -> None:
    """
    Whatever time or version it names.
    """
    service.register("gus", "gus@example.com")
    url, token = f"{service.url}/users/gus/payment-status", service.world.token("gus")
    headers = {"Authorization": f"Bearer {token}", "If-None-Match": tag}

    assert httpx.get(url, headers=headers, verify=TLS).status_code == 200


def test_a_body_is_refused_whatever_a_caller_has(service: ServiceProcess) -> None:
    """
    No tag is accepted: it does not matter that the answer would be the same.
    """
    service.register("hal", "hal@example.com")
    url, token = f"{service.url}/users/hal/payment-status", service.world.token("hal")
    bearer = {"Authorization": f"Bearer {token}"}
    tag = httpx.get(url, headers=bearer, verify=TLS).headers["etag"]
    answer = httpx.request(
        "GET", url, headers={**bearer, "If-None-Match": tag}, content=b"x", verify=TLS
    )

    assert answer.status_code == 400


def test_another_users_access_does_not_exist(service: ServiceProcess) -> None:
    """
    Whatever feature is asked for.
    """
    service.register("eve", "eve@example.com")
    service.register("mal", "mal@example.com")
    for query in ("", "?feature=api", "?feature=none"):
        answer = service.call(
            "GET", f"/users/eve/access{query}", service.world.token("mal")
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")
