"""TOML is read in a time that its length bounds."""

import pytest

from payments_adapters.toml_text import DOTS_MAX, TomlError, read_toml


def test_t66_what_is_no_toml_or_too_costly_is_refused() -> None:
    """
    With its place; a value is not quoted.
    """
    for text, told in (
        ('a = "secret', "Illegal character|Unterminated|Expected"),
        ("a = " + "[" * 5_000, "too deep"),
        ("a = " + "9" * 5_000, "a number is too long"),
        ("\n" + "a." * 30_000 + "a = 1", "at line 2"),
        ("[" + "a." * 10_000 + "a]", "at line 1"),
    ):
        with pytest.raises(TomlError, match=told) as raised:
            read_toml(text)
        assert "secret" not in str(raised.value)


def test_a_key_may_have_parts() -> None:
    """
    Any number, and again in each line.
    """
    assert read_toml("a.b = 1\n[c.d]\ne = '.'") == {
        "a": {"b": 1},
        "c": {"d": {"e": "."}},
    }
    assert read_toml(f"a = '{'.' * DOTS_MAX}'\nb = '.'")["b"] == "."
