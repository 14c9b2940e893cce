"""The pages of threats, faults and properties say what the tests prove."""

from pathlib import Path

import pytest

from support.proven import PAGES, ROOT, listed, named, rewritten

FILES = named(ROOT / "tests")


@pytest.mark.parametrize("letter", PAGES)
def test_each_id_that_a_test_names_has_a_line(letter: str) -> None:
    """
    Whoever meets an id in a test can look up what it means.
    """
    of_tests = sorted(name for name in FILES if name.startswith(letter))

    assert of_tests
    assert [it for it in of_tests if it not in listed(PAGES[letter].read_text())] == []


@pytest.mark.parametrize("letter", PAGES)
def test_each_line_is_proven_by_a_test(letter: str) -> None:
    """
    A page claims nothing that no test names; its lines are in order, each once.
    """
    of_page = listed(PAGES[letter].read_text())

    assert [name for name in of_page if name not in FILES] == []
    assert of_page == sorted(set(of_page))
    assert all(name.startswith(letter) for name in of_page)


@pytest.mark.parametrize("letter", PAGES)
def test_each_line_names_the_files_that_prove_it(letter: str) -> None:
    """
    `python tests/support/proven.py` mends it.
    """
    page = PAGES[letter].read_text()

    assert page == rewritten(page, FILES)


def test_ids_are_found_where_tests_name_them(tmp_path: Path) -> None:
    """
    In the name of a function, or in a docstring; not in other code or words.
    """
    (tmp_path / "test_some.py").write_text(
        '"""A module about T90."""\n'
        "async def test_f91_p92_it_holds():\n"
        '    """Also F93, but not X94 or P9."""\n'
        '    return "T95", p96_name\n'
    )

    assert sorted(named(tmp_path)) == ["F91", "F93", "P92", "T90"]
