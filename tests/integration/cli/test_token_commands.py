"""`payments token …`: tokens are issued and invalidated."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest

from support.command_line import Inside
from support.commands import Dev, payments, secretive
from support.service import World


def test_an_issued_token_works_until_it_is_invalidated(dev: Dev) -> None:
    """
    By its text, at once; a dry run changes nothing; the list shows it.
    """
    token, other = dev.token("text"), dev.token("text")
    before = dev.digest()

    dry = dev.run("token", "invalidate", token, "--dry-run", "--json").json
    unchanged = dev.digest() == before
    assert dev.asks(token, "text") == 200
    done = payments("token", "invalidate", token, "--json", env=dev.env).json
    listed = dev.run("token", "list", "--json", "--limit", "1000").json

    assert (dry, unchanged) == ({"would_invalidate": True}, True)
    assert done == {"invalidated": True}
    assert (dev.asks(token, "text"), dev.asks(other, "text")) == (401, 200)
    (item,) = (item for item in listed["items"] if item["user_id"] == "text")
    assert set(item) == {
        "issuer",
        "jti",
        "user_id",
        "expires_at",
        "invalidated_at",
    }
    assert listed["next_cursor"] is None


def test_what_is_no_valid_token_is_said_not_to_be_invalidated(dev: Dev) -> None:
    """
    A truncated paste must not be mistaken for a token that is now revoked.
    """
    token = dev.token("pasted")
    cut_short = dev.run("token", "invalidate", token[:-4])

    assert (cut_short.code, cut_short.out) == (3, "")
    assert "nothing was invalidated" in cut_short.err
    assert dev.asks(token, "pasted") == 200


def test_a_token_may_have_scopes(dev: Dev) -> None:
    """
    The scopes of readers, each by name; an app needs no administrator's scope.
    """
    words = ("token", "issue", "--user", "app", "--json")
    scopes = ("--scope", "payments:feed", "--scope", "payments:read")
    token = dev.run(*words, *scopes).json["token"]
    unknown = dev.run(*words, "--scope", "payments:write")

    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["scope"] == "payments:feed payments:read"
    assert dev.asks(token, "app") == 404
    assert unknown.code == 2
    assert "payments:write" in unknown.err


def test_all_of_a_users_tokens_are_invalidated(dev: Dev) -> None:
    """
    By id or by e-mail; an e-mail without a user is exit code 3.
    """
    token = dev.token("all")
    assert dev.asks(token, "all") == 200
    before = dev.digest()

    dry = dev.run("token", "invalidate", "--user", "all", "--dry-run", "--json").json
    unchanged = dev.digest() == before
    done = dev.run("token", "invalidate", "--user", "all@x.org", "--json").json
    unknown = dev.run("token", "invalidate", "--user", "nobody@x.org")

    assert (set(dry), unchanged) == ({"would_invalidate_until"}, True)
    assert done["user_id"] == "all"
    assert datetime.fromisoformat(done["invalidated_until"]) <= datetime.now(UTC)
    assert dev.asks(token, "all") == 401
    assert (unknown.code, unknown.out) == (3, "")


def test_a_token_is_invalidated_by_its_name(dev: Dev) -> None:
    """
    Issuer, jti and expiry are enough if the text of the token is not available.
    """
    expires = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    name = ["--issuer", "payments-dev", "--jti", "by-name", "--expires-at", expires]
    before = dev.digest()

    dev.run("token", "invalidate", *name, "--dry-run")
    unchanged = dev.digest() == before
    done = dev.run("token", "invalidate", *name)
    items = dev.run("token", "list", "--json", "--limit", "1000").json["items"]

    assert unchanged
    assert (done.code, done.out) == (0, "invalidated: True\n")
    assert ("payments-dev", "by-name") in [
        (item["issuer"], item["jti"]) for item in items
    ]


def test_f55_everybodys_tokens_are_invalidated_up_to_a_moment(dev: Dev) -> None:
    """
    As after a restored backup: tokens issued until then, after a confirmation. Those of
    one user, too; tokens issued later stay valid.
    """
    words = ("token", "invalidate", "--all", "--issued-before")
    token = dev.token("everybody")
    early = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    one = dev.run(
        "token", "invalidate", "--user", "everybody", "--issued-before", early
    )
    asked = payments(*words, "NOW", env=dev.env)
    dry = dev.run(*words, early, "--dry-run", "--json").json
    assert (one.code, dev.asks(token, "everybody")) == (0, 200)
    assert (asked.code, asked.out) == (6, "")
    assert dry == {"would_invalidate_until": early.replace("+00:00", "Z")}

    done = dev.run(*words, early, "--yes", "--json").json
    assert set(done) == {"invalidated_until"}
    assert dev.asks(token, "everybody") == 200

    lower = dev.run(*words, "now", "--dry-run", "--json").json
    assert lower["would_invalidate_until"] > dry["would_invalidate_until"]
    listed = dev.run("token", "list", "--user", "everybody")
    second = done["invalidated_until"]
    assert f"all users: all issued until {second}" in listed.err
    assert f"the user everybody: all issued until {second}" in listed.err
    assert "see --user" in dev.run("token", "list", "--json").err
    assert "the user other: none" in dev.run("token", "list", "--user", "other").err
    # An earlier time changes nothing, and the time that holds is returned.
    again = dev.run(*words, "2020-01-01T00:00:00Z", "--yes", "--json").json
    assert again == {"invalidated_until": second}


def test_a_mistyped_name_is_said(dev: Dev) -> None:
    """
    An unknown issuer is refused. A user without an account may have tokens all the
    same.
    """
    name = ["--jti", "mistyped", "--expires-at", "2030-01-01T00:00:00Z"]
    refused = dev.run("token", "invalidate", "--issuer", "payment-dev", *name)
    assert (refused.code, refused.out) == (2, "")
    assert "not one of payments-dev" in refused.err
    listed = dev.run("token", "list", "--json", "--limit", "1000").json["items"]
    assert "mistyped" not in [it["jti"] for it in listed]

    nobody = dev.run("token", "invalidate", "--user", "mistyped")
    assert (nobody.code, "user_id: mistyped" in nobody.out) == (0, True)
    assert "the user mistyped has no account" in nobody.err
    dev.asks(dev.token("with-account"), "with-account")
    assert not dev.run("token", "invalidate", "--user", "with-account").err


EXPIRES = ["--expires-at", "2030-01-01T00:00:00Z"]


def test_f55_a_workers_settings_are_enough(
    inside: Inside, nowhere: dict[str, str], database_url: str
) -> None:
    """
    After a restore no process serves yet: the command runs in a pod of the worker,
    which has no settings that verify callers.
    """
    env = {
        name: text
        for name, text in World(database_url).env(0, 0).items()
        if "_JWT_" not in name and "WEBHOOK" not in name
    }

    done = inside(
        *("token", "invalidate", "--issued-before", "NOW", "--all", "--yes"),
        env=nowhere | env,
    )

    assert (done.code, done.out[:19]) == (0, "invalidated_until: ")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["text", "--user", "u"],
        ["text", "--jti", "j"],
        ["--user", "u", "--issuer", "i"],
        ["--issuer", "i", "--jti", "j"],
        ["--issuer", "i", *EXPIRES],
        ["--issuer", "i", "--jti", "j", "--expires-at", "tomorrow"],
        ["--issuer", "i", "--jti", "j", "--expires-at", "2030-01-01T00:00:00"],
        ["--user", "a b"],
        ["--all"],
        ["--all", "--user", "u", "--issued-before", "NOW"],
        ["--issued-before", "NOW"],
        ["text", "--issued-before", "NOW"],
        ["--all", "--issued-before", "nou", "--yes"],
        ["--all", "--issued-before", "2999-01-01", "--yes"],
    ],
)
def test_it_has_to_be_clear_which_token_dies(
    inside: Inside, nowhere: dict[str, str], words: list[str]
) -> None:
    """
    No name, two names, or half a name: exit code 2.
    """
    env = {**nowhere, **secretive()}

    answer = inside("token", "invalidate", *words, env=env)

    assert (answer.code, answer.out) == (2, "")


def test_tokens_are_issued_for_development_only(
    dev: Dev, nowhere: dict[str, str]
) -> None:
    """
    Production is refused, whatever else is set; without a service there is no key.
    """
    words = ("token", "issue", "--user", "u")

    production = dev.run(*words, PAYMENTS_ENV="production")
    nobody = payments(*words, env=nowhere)
    no_user = dev.run("token", "issue", "--user", "a b")

    assert (production.code, production.out) == (6, "")
    assert (nobody.code, nobody.out) == (5, "")
    assert (no_user.code, no_user.out) == (2, "")
    bare = dev.run(*words, "--admin").out
    assert dev.asks(bare.strip(), "nobody") == 404
