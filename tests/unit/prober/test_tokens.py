from __future__ import annotations

from pathlib import Path

import pytest

from prober.tokens import TokenFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with two tokens."""
    file = tmp_path / "tokens"
    file.write_text("first-token\n\n  second-token  \n")
    return file


@pytest.mark.parametrize(
    ("authorization", "accepted"),
    [
        ("Bearer first-token", True),
        ("bearer second-token", True),
        ("Bearer  second-token ", True),
        ("Bearer third-token", False),
        ("Bearer first-toke", False),
        ("Bearer first-token2", False),
        ("Bearer", False),
        ("Bearer ", False),
        ("Basic first-token", False),
        ("first-token", False),
        ("", False),
        ("Bearer \udcff", False),
    ],
)
def test_any_token_of_the_file_is_accepted(path: Path, authorization: str, accepted: bool) -> None:
    """Every line is a token, and nothing else is."""
    assert TokenFile(path).accepts(authorization) is accepted


def test_a_rotated_file_is_read_again(path: Path) -> None:
    """A token that is no longer in the file is no longer accepted, one that came is."""
    tokens = TokenFile(path)
    assert tokens.accepts("Bearer first-token")
    newer = path.with_name("newer")
    newer.write_text("second-token\nthird-token\n")
    newer.replace(path)
    assert not tokens.accepts("Bearer first-token")
    assert tokens.accepts("Bearer second-token")
    assert tokens.accepts("Bearer third-token")


def test_without_tokens_nobody_is_accepted(path: Path) -> None:
    """A missing or empty file accepts nobody, and is usable again when it is back."""
    tokens = TokenFile(path)
    assert tokens.is_usable()
    path.unlink()
    assert not tokens.is_usable()
    assert not tokens.accepts("Bearer first-token")
    path.write_text("\n \n")
    assert not tokens.is_usable()
    assert not tokens.accepts("Bearer ")
    path.write_text("first-token")
    assert tokens.accepts("Bearer first-token")
