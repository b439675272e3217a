"""The tables that are made from the code stand in the docs as the code has them."""

from __future__ import annotations

import re

import pytest

from tests.docs.generated import DOCS, TABLES, between, table

MARK = re.compile(r"^<!-- generated: (\S+) -->$", re.MULTILINE)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_as_the_code_has_it(name: str) -> None:
    """Between the marks of a table stands what the code makes; ``python -m tests.docs.generated`` writes it."""
    page, _ = TABLES[name]
    assert between(name).findall((DOCS / page).read_text()) == [table(name)]


def test_every_mark_has_its_table() -> None:
    """A page says of no other table that it is made from the code."""
    marked = [name for page in DOCS.glob("**/*.md") for name in MARK.findall(page.read_text())]
    assert sorted(marked) == sorted(TABLES)
