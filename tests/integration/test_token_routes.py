"""Who may call, and how a token is revoked, over real HTTP."""

import base64
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from support.plain_http import TLS
from support.service import ServiceProcess

CALLS = [
    ("GET", "/users/a/payment-status"),
    ("PUT", "/users/a"),
    ("GET", "/users"),
    ("GET", "/users/a/payments"),
    ("GET", "/users/a/timeline"),
    ("POST", "/tokens/invalidate"),
    ("POST", "/users/a/tokens/invalidate"),
    ("GET", "/tokens/invalidated"),
]


def asks(service: ServiceProcess, token: str) -> int:
    user = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["sub"]
    return service.call("GET", f"/users/{user}/payment-status", token).status_code


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer x", "Basic eyJ.e30.x", "Bearer a.b.c d"],
)
def test_every_route_needs_a_token(
    service: ServiceProcess, method: str, path: str, authorization: str | None
) -> None:
    """
    Without a token: 401 with a challenge, before the body is read.
    """
    headers = {} if authorization is None else {"Authorization": authorization}

    answer = httpx.request(method, service.url + path, headers=headers, verify=TLS)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["code"] in {"token_required", "invalid_token"}


def test_t28_t35_a_token_that_does_not_hold_is_refused(
    service: ServiceProcess,
) -> None:
    """
    Expired, for another audience, unsigned, or signed by another key: 401.
    """
    world = service.world
    good = world.token("u", email="u@example.com")
    header, payload, _ = good.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"test"}').decode().rstrip("=")
    past = datetime.now(UTC) - timedelta(hours=2)
    bad = {
        "expired": world.token("u", at=past),
        "wrong audience": world.token("u", audience="another-service"),
        "alg none": f"{none}.{payload}.",
        "alg none, signed": f"{none}.{payload}.{good.split('.')[2]}",
        "another's signature": f"{header}.{payload}.{'A' * 43}",
        "padded": good + "=",
    }

    answers = {case: asks(service, token) for case, token in bad.items()}

    assert answers == dict.fromkeys(bad, 401)
    assert asks(service, good) == 200


def test_two_authorization_headers_are_refused(service: ServiceProcess) -> None:
    """
    It is not defined which of two counts.
    """
    token = f"Bearer {service.world.admin()}"

    answer = httpx.get(
        f"{service.url}/tokens/invalidated",
        headers=[("Authorization", token), ("Authorization", token)],
        verify=TLS,
    )

    assert answer.status_code == 401


def test_a_user_invalidates_their_own_token(service: ServiceProcess) -> None:
    """
    Revoked at once, also with a trailing `=`; the user's other token stays valid.
    """
    token = service.world.token("bye", email="bye@example.com")
    other = service.world.token("bye", email="bye@example.com")
    assert asks(service, token) == 200

    done = service.call("POST", "/tokens/invalidate", token, {"token": token})

    assert (done.status_code, done.json()) == (200, {"invalidated": True})
    assert asks(service, token) == 401
    assert asks(service, token + "=") == 401
    assert asks(service, other) == 200
    again = service.call("POST", "/tokens/invalidate", other, {"token": token})
    assert again.status_code == 200


def test_t47_another_users_token_is_not_ours_to_kill(service: ServiceProcess) -> None:
    """
    Another user's token is 404 and stays valid; an admin may revoke it; a text that is
    no token is 200.
    """
    theirs = service.world.token("theirs", email="t@example.com")
    mine = service.world.token("mine", email="m@example.com")

    refused = service.call("POST", "/tokens/invalidate", mine, {"token": theirs})
    junk = service.call("POST", "/tokens/invalidate", mine, {"token": "junk"})

    assert (refused.status_code, refused.json()["code"]) == (404, "token_not_found")
    assert junk.status_code == 200
    assert asks(service, theirs) == 200
    service.call("POST", "/tokens/invalidate", service.world.admin(), {"token": theirs})
    assert asks(service, theirs) == 401


def test_all_of_a_users_tokens_die_together(service: ServiceProcess) -> None:
    """
    Every token issued until now is revoked, and one issued later is not.
    """
    world = service.world
    now = datetime.now(UTC)
    old = [
        world.token("all", email="all@example.com", at=now - timedelta(seconds=s))
        for s in (1, 60, 600)
    ]
    assert [asks(service, token) for token in old] == [200, 200, 200]

    done = service.call("POST", "/users/all/tokens/invalidate", old[0])

    assert done.json()["user_id"] == "all"
    assert [asks(service, token) for token in old] == [401, 401, 401]
    later = datetime.now(UTC) + timedelta(seconds=2)
    assert asks(service, world.token("all", at=later)) == 200
    others = world.token("mine", email="m@example.com")
    foreign = service.call("POST", "/users/all/tokens/invalidate", others)
    assert foreign.status_code == 404


@pytest.mark.parametrize("end", ["2001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"])
def test_t38_a_token_dies_by_its_name_whatever_end_is_said(
    service: ServiceProcess, end: str
) -> None:
    """
    An expiry in the past is not relied on; nor is an earlier wrong one.
    """
    token = service.world.token("named", email="named@example.com")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert asks(service, token) == 200

    admin = service.world.admin()
    for expires_at in ("2000-01-01T00:00:00Z", end):
        name = {"issuer": claims["iss"], "jti": claims["jti"]}
        body = name | {"expires_at": expires_at}
        done = service.call("POST", "/tokens/invalidate", admin, body)
        assert (done.status_code, asks(service, token)) == (200, 401)


def test_an_admin_kills_a_token_by_its_name_and_lists_the_dead(
    service: ServiceProcess,
) -> None:
    """
    The list is paged, with cursors that only the service can read.
    """
    admin = service.world.admin()
    for number in range(3):
        body = {
            "issuer": "zz-listed",
            "jti": f"jti-{number}",
            "expires_at": "2030-01-01T00:00:00Z",
        }
        killed = service.call("POST", "/tokens/invalidate", admin, body)
        assert killed.status_code == 200

    pages, cursor = [], ""
    for _ in range(100):
        path = f"/tokens/invalidated?limit=2{cursor and '&cursor=' + cursor}"
        page = service.call("GET", path, admin).json()
        pages += [item["jti"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert [jti for jti in pages if jti.startswith("jti-")] == [
        "jti-0",
        "jti-1",
        "jti-2",
    ]
    user = service.world.token("u", email="u@example.com")
    assert service.call("GET", "/tokens/invalidated", user).status_code == 403
    for bad in (
        "cursor=%00",
        "cursor=e30",
        "cursor=WyJhIiwiXHUwMDAwIl0",
        "limit=0",
        "limit=101",
        "limit=x",
    ):
        answer = service.call("GET", f"/tokens/invalidated?{bad}", admin)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_value")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"token": "x", "jti": "y"},
        {"issuer": "i", "jti": "j"},
        {"issuer": "i", "jti": "j", "expires_at": "2030-01-01T00:00:00"},
        {"issuer": "i", "jti": "j", "expires_at": "9999-12-31T23:59:59-01:00"},
        {"issuer": "i", "jti": "j", "expires_at": "0001-01-01T00:00:00+01:00"},
        {"issuer": "i", "jti": "j\0", "expires_at": "2030-01-01T00:00:00Z"},
        {"issuer": "i" * 256, "jti": "j", "expires_at": "2030-01-01T00:00:00Z"},
        {"token": 1},
        {"tokens": "x"},
    ],
)
def test_half_a_name_is_refused(
    service: ServiceProcess, body: dict[str, object]
) -> None:
    """
    A token, or all three parts of its name with a time zone; nothing else.
    """
    answer = service.call("POST", "/tokens/invalidate", service.world.admin(), body)

    assert answer.status_code == 400
