"""The pages of threats, faults and properties say what the tests prove."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from support.proven import LAST, PAGES, ROOT, answered, listed, named, rewritten


@pytest.fixture(scope="module")
def files() -> Mapping[str, list[str]]:
    return named(ROOT / "tests")


@pytest.mark.parametrize("letter", PAGES)
def test_each_id_that_a_test_names_has_a_line(
    files: Mapping[str, list[str]], letter: str
) -> None:
    """
    A reader who finds an id in a test can look up what it means.
    """
    of_tests = sorted(name for name in files if name.startswith(letter))

    assert of_tests
    assert [it for it in of_tests if it not in listed(PAGES[letter].read_text())] == []


@pytest.mark.parametrize("letter", PAGES)
def test_each_id_has_a_line(letter: str) -> None:
    """
    In order, each once: the page says so where a number is left out.
    """
    numbers = range(1, LAST[letter] + 1)

    assert listed(PAGES[letter].read_text()) == [f"{letter}{it:02}" for it in numbers]


@pytest.mark.parametrize("letter", PAGES)
def test_each_line_has_a_test_or_says_why_not(
    files: Mapping[str, list[str]], letter: str
) -> None:
    """
    A page claims only what a test names, what another layer does in an existing file,
    and what is not taken.
    """
    page = PAGES[letter].read_text()
    said = {*files, *answered(page)}

    assert [name for name in listed(page) if name not in said] == []


@pytest.mark.parametrize("letter", PAGES)
def test_each_line_names_the_files_that_prove_it(
    files: Mapping[str, list[str]], letter: str
) -> None:
    """
    `python tests/support/proven.py` updates them.
    """
    page = PAGES[letter].read_text()

    assert page == rewritten(page, files)


def test_ids_are_found_where_tests_name_them(tmp_path: Path) -> None:
    """
    In the name of a function, or in a docstring; not in other code or text.
    """
    (tmp_path / "test_some.py").write_text(
        '"""A module about T90."""\n'
        "async def test_f91_p92_it_holds():\n"
        '    """Also F93, but not X94 or P9."""\n'
        '    return "T95", p96_name\n'
    )

    assert sorted(named(tmp_path)) == ["F91", "F93", "P92", "T90"]


def test_a_line_without_a_test_names_its_layer_or_a_reason() -> None:
    """
    "Not taken" needs a reason, and a layer is an existing file.
    """
    page = (
        "| T01 | Layer: `deploy/base` keeps it. | |\n| T02 | It is not. |  |\n"
        "| T03 | Not taken: it costs too much. | |\n| T04 | Not taken: | |\n"
    )

    assert answered(page) == ["T01", "T03"]
    with pytest.raises(FileNotFoundError, match="T01: deploy/ingress"):
        answered(page.replace("deploy/base", "deploy/ingress"))
