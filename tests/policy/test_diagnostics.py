"""Every diagnostic of the policy language: where it points, what it says, what it advises.

``diagnostics.golden`` holds one policy per case and, below ``---``, everything that is to be
reported about it, in order.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from motte import policy
from motte.policy.diagnostics import Diagnostic, InvalidPolicyError, Location, Severity, Source
from motte.policy.language import parse

GOLDEN = Path(__file__).with_name("diagnostics.golden")

DEVICE = '[role.a]\nmatch = { group = "x" }\n'


def problems(text: str) -> tuple[Diagnostic, ...]:
    """Everything reported about a policy."""
    try:
        return parse(text).warnings
    except InvalidPolicyError as error:
        return error.diagnostics


def cases() -> dict[str, tuple[str, list[str]]]:
    found = {}
    for part in GOLDEN.read_text(encoding="utf-8").split("=== ")[1:]:
        name, _, rest = part.partition("\n")
        text, _, expected = rest.partition("---\n")
        found[name] = (text, expected.strip().split("\n"))
    return found


CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    text, expected = CASES[name]
    assert [str(problem) for problem in problems(text)] == expected


def match_of(attributes: int) -> str:
    pairs = ", ".join(f'a{number} = "x"' for number in range(attributes))
    return f'[role.a]\nmatch = {{ {pairs} }}\npublish = ["a"]\n'


def rules_in_a_list(count: int) -> str:
    lines = "".join(f'"a/{number}",\n' for number in range(count))
    return f'{DEVICE}publish = ["a/+"]\ndeny = [\n{lines}]\n'


def roles(count: int) -> str:
    return "".join(f'[role.a{n}]\nmatch = {{ group = "g{n}" }}\n' for n in range(count))


def groups(count: int) -> str:
    names = ", ".join(f'"g{number}"' for number in range(count))
    return f'[role.a]\nmatch = {{ service = "x" }}\nsubscribe = ["a"]\nshare = [{names}]\n'


def rules(roles: int) -> str:
    topics = [f"t{number}" for number in range(100)]
    heads = (f'[role.a{n}]\nmatch = {{ group = "g{n}" }}\n' for n in range(roles))
    return "".join(f"{head}publish = {topics}\n" for head in heads)


PLACEHOLDERS = "/".join(f"{{site{number}}}" for number in range(12))

BIG = {
    f'{DEVICE}publish = ["{"a" * 1025}"]\n': "policy.toml:3:12: error: the topic has 1025 bytes "
    "(hint: shorten it: 1024 bytes is the most that the broker accepts)",
    f'{DEVICE}publish = ["{"/".join("a" * 33)}"]\n': "policy.toml:3:12: error: the topic has 33 "
    "levels (hint: use fewer `/`: 32 levels is the most that the broker accepts)",
    match_of(13): "policy.toml:2:9: error: the match has 13 attributes, an identity has 12 at most "
    "(hint: leave some out)",
    f'{DEVICE}publish = ["{PLACEHOLDERS}"]\n': "policy.toml:3:12: error: the topic and the role's "
    "match need 13 attributes of one identity (hint: an identity has 12 at most, so nobody could "
    "ever use this)",
    rules_in_a_list(101): "policy.toml:105:1: error: `deny` has 101 rules, 100 is the most of one "
    "role (hint: use placeholders or wildcards, or split the role in two with the same match)",
    groups(17): "policy.toml:4:112: error: `share` has 17 groups, 16 is the most of one role "
    "(hint: split the role in two with the same match)",
    roles(257): "policy.toml:513:7: error: the policy has 257 roles, 256 is the most (hint: a role "
    "is for a kind of thing: tell single things apart with `{device}` and attributes)",
    rules(41): "policy.toml:1:1: error: the policy has 4100 grants and denials, 4096 is the most "
    "(hint: placeholders such as `{device}` say for all devices what is written out here)",
}
"""Policies too large to be read in the golden file, and the error that each must have."""


@pytest.mark.parametrize(("text", "expected"), BIG.items(), ids=range(len(BIG)))
def test_too_large(text: str, expected: str) -> None:
    errors = [one for one in problems(text) if one.severity is Severity.ERROR]
    assert [str(error) for error in errors] == [expected]


AT_THE_LIMIT = [
    f'{DEVICE}publish = ["{"a" * 1024}"]\n',
    f'{DEVICE}publish = ["{"/".join("a" * 32)}"]\n',
    match_of(12),
    rules_in_a_list(100),
    roles(256),
]


@pytest.mark.parametrize("text", AT_THE_LIMIT, ids=range(len(AT_THE_LIMIT)))
def test_the_limit_itself_is_allowed(text: str) -> None:
    assert parse(text).policy.roles


def test_every_kind_of_problem_is_shown_by_a_case() -> None:
    """A diagnostic that no case provokes would be text that nobody has ever seen."""
    folder = Path(policy.__file__).parent
    written = {
        code
        for file in (*folder.glob("*.py"), folder / "lint" / "roles.py")
        for code in re.findall(
            r"\.(?:error|warning)\(\s*\"([a-z0-9-]+)\"", file.read_text(encoding="utf-8")
        )
    }
    texts = [text for text, _ in CASES.values()] + list(BIG)
    shown = {problem.code for text in texts for problem in problems(text)}
    # The encoding of a file is tested where files are read.
    assert written - shown == {"not-utf-8"}
    assert shown <= written


def test_messages_have_the_house_style() -> None:
    for text, _ in CASES.values():
        for problem in problems(text):
            assert not problem.message.endswith("."), problem
            assert not problem.hint.endswith("."), problem
            assert problem.message[0] == "`" or not problem.message[0].isupper(), problem
            assert problem.hint, problem


def test_line_ends_tabs_and_wide_characters_do_not_shift_columns() -> None:
    text = '[role.a]\r\nmatch = { group = "x" }\r\n\tpublish = ["温度/{device}", "温度/b+"]\r\n'
    (problem,) = problems(text)
    assert (problem.line, problem.column) == (3, 32)
    source = Source.of("policy.toml", text)
    assert source.render(problem).split("\n")[3:5] == [
        '3 |     publish = ["温度/{device}", "温度/b+"]',
        # A tab is four cells wide, each of the four ideographs two.
        "  | " + " " * 38 + "^^",
    ]


def test_an_error_is_rendered_with_its_line_and_a_caret() -> None:
    with pytest.raises(InvalidPolicyError) as caught:
        parse(f'{DEVICE}pubish = ["a"]\npublish = ["b+"]\n')
    assert caught.value.message == (
        "policy.toml has 2 errors\n"
        "\n"
        "error: unknown key `pubish` in role `a`\n"
        " --> policy.toml:3:1\n"
        "  |\n"
        '3 | pubish = ["a"]\n'
        "  | ^^^^^^\n"
        "  = hint: did you mean `publish`?\n"
        "\n"
        "error: `+` shares a level with other text in `b+`\n"
        " --> policy.toml:4:13\n"
        "  |\n"
        '4 | publish = ["b+"]\n'
        "  |             ^^\n"
        "  = hint: a wildcard takes a whole level, between two `/`"
    )
    assert caught.value.hint == "correct the file and run `motte policy check`"
    assert caught.value.exit_code == 4


def test_what_the_file_says_cannot_steer_the_terminal() -> None:
    hostile = "\x1b]0;owned\x07\u202e"
    texts = [f'{DEVICE}publish = ["{hostile}"]', f'["{hostile}"]', f"# {hostile}\nx = 1", hostile]
    for text in texts:
        with pytest.raises(InvalidPolicyError) as caught:
            parse(text)
        shown = caught.value.message
        assert not any(character in shown for character in "\x1b\x07\u202e"), text
        assert all(line.isprintable() for line in shown.split("\n")), text


def test_a_very_long_line_is_cut_around_the_caret() -> None:
    text = f'{DEVICE}publish = ["{"x" * 400}", "b+", "{"y" * 400}"]\n'
    with pytest.raises(InvalidPolicyError) as caught:
        parse(text)
    line, caret = caught.value.message.split("\n")[-3:-1]
    assert len(line) < 200
    assert line[caret.index("^") :].startswith("b+")


def test_only_the_first_hundred_problems_are_printed() -> None:
    keys = "\n".join(f"xyzzy{number} = 1" for number in range(150))
    with pytest.raises(InvalidPolicyError) as caught:
        parse(f'{DEVICE}publish = ["a"]\n{keys}\n')
    assert len(caught.value.diagnostics) == 150
    assert caught.value.message.count("error: unknown key") == 100
    assert caught.value.message.endswith("… and 50 more")


def test_a_problem_without_a_line_is_shown_all_the_same() -> None:
    diagnostic = Diagnostic(Severity.WARNING, "x", "policy.toml", 1, 1, "what", "do")
    assert Source.of("policy.toml", "").render(diagnostic) == (
        "warning: what\n --> policy.toml:1:1\n  |\n1 |\n  | ^\n  = hint: do"
    )


def test_places_inside_strings() -> None:
    source = Source.of("p", 'a = "x/y"\nb = "x\\u002fy"\n')
    assert source.inside(Location(1, 5), "x/y", 2) == Location(1, 8)
    # An escape sequence moves what follows: the string's start is all that can be said.
    assert source.inside(Location(2, 5), "x/y", 2) == Location(2, 5)
