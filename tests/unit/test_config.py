from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from motte import config
from motte.config import Config, load, parse
from motte.errors import ConfigError
from tests.support.fleet import assert_helpful, text_of


def test_the_default_file_says_the_defaults_and_every_key() -> None:
    text = config.default_text()
    assert parse(text) == Config()
    for name, field in Config.model_fields.items():
        assert f"[{name}]" in text
        table = field.annotation
        assert table is not None
        for key in table.model_fields:
            if not key.startswith("danger_"):
                assert re.search(rf"^{key} = ", text, re.MULTILINE), key


def test_nothing_that_opens_up_is_on_by_default() -> None:
    defaults = Config()
    assert defaults.listener.is_loopback
    assert defaults.certificates.danger_long_lived_identities is False
    assert defaults.metrics.address is None
    assert "danger_" not in config.default_text()


def test_an_empty_file_is_all_defaults() -> None:
    assert parse("") == Config()


@pytest.mark.parametrize(
    ("text", "line", "says", "hint"),
    [
        ("[listener]\nprot = 1", 2, "listener.prot: there is no such key", "did you mean `port`?"),
        ("[lisener]\nport = 1", 1, "lisener: there is no such key", "did you mean `listener`?"),
        ("\n\nfleet = 3", 3, "fleet: this is a table", ""),
        ('[listener]\nport = "8883"', 2, "whole number without quotes; it says `8883`", ""),
        ("[listener]\nport = 65536", 2, "listener.port", ""),
        ("[listener]\nport = -1", 2, "listener.port", ""),
        ('[listener]\naddress = "localhost"', 2, "not an IP address", ""),
        ('[listener]\nnames = ["a b"]', 2, "not a DNS host name", ""),
        ('[fleet]\nname = "Home"', 2, "a-z 0-9", ""),
        ('[fleet]\nname = ""', 2, "a-z 0-9", ""),
        ("[network]\nhandshake_burst = 0", 2, "network.handshake_burst", ""),
        ("[network]\nmaximum_connections = true", 2, "whole number", ""),
        ('[network]\n\nbanned = ["10.0.0.0/33"]', 3, "not an IP address or network", ""),
        ('[network]\nbanned = "10.0.0.0/8"', 2, "must be a list", ""),
        ("[certificates]\nidentity_days = 91", 1, "danger_long_lived_identities = true", ""),
        ('[metrics]\nlisten = "9464"', 2, "neither", ""),
        ('[metrics]\nlisten = "localhost:9464"', 2, "neither", ""),
        ('[metrics]\nlisten = "127.0.0.1:65536"', 2, "neither", ""),
        ('[metrics]\nlisten = "0.0.0.0:9464"', 1, "danger_beyond_loopback = true", ""),
        ('[metrics]\nlisten = "[::]:9464"', 1, "danger_beyond_loopback = true", ""),
        ('[log]\nformat = "xml"', 2, "one of the words", ""),
        ("[certificates]\nserver_days = 398", 2, "certificates.server_days", ""),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, line: int, says: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "motte.toml")
    assert caught.value.message.startswith(f"motte.toml:{line}: ")
    assert says in caught.value.message
    assert hint in str(caught.value.hint)
    assert_helpful(caught.value)


@pytest.mark.parametrize(
    ("text", "where"),
    [("[listener", "motte.toml"), ("port = = 1", "motte.toml:1:8"), ("a = 1\na = 2", "motte.toml")],
)
def test_a_syntax_error_is_placed(text: str, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "motte.toml")
    assert caught.value.message.startswith(where)
    assert_helpful(caught.value)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse('[listener]\nprot = 1\nport = "x"\n[fleet]\nname = 1')
    assert len(caught.value.message.splitlines()) == 3


def test_what_a_person_wrote_cannot_drive_the_terminal() -> None:
    with pytest.raises(ConfigError) as caught:
        parse('[fleet]\nname = "\\u001b[2J"')
    assert "\x1b" not in text_of(caught.value)


def test_long_lived_identities_need_a_frightening_name() -> None:
    text = "[certificates]\nidentity_days = {}\n{}"
    assert parse(text.format(90, "")).certificates.identity_days == 90
    with pytest.raises(ConfigError):
        parse(text.format(91, ""))
    frightening = "danger_long_lived_identities = true"
    assert parse(text.format(3650, frightening)).certificates.identity_days == 3650
    with pytest.raises(ConfigError):
        parse(text.format(3651, frightening))


def test_another_address_must_be_written_down() -> None:
    listener = parse('[listener]\naddress = "0.0.0.0"').listener
    assert not listener.is_loopback
    assert listener.is_wildcard
    assert listener.host == "localhost"
    assert parse('[listener]\naddress = "::1"').listener.is_loopback
    named = parse('[listener]\naddress = "0.0.0.0"\nnames = ["Broker.Example"]').listener
    assert named.host == "broker.example"


def test_a_configuration_cannot_be_changed_after_it_was_checked() -> None:
    settings = Config()
    with pytest.raises(ValidationError):
        settings.fleet.name = "other"  # type: ignore[misc]


class TestTheFile:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"motte\.toml is missing") as caught:
            load(tmp_path / "motte.toml")
        assert_helpful(caught.value)

    def test_not_text(self, tmp_path: Path) -> None:
        path = tmp_path / "motte.toml"
        path.write_bytes(b'[fleet]\nname = "\xff"\n')
        with pytest.raises(ConfigError, match="2: not UTF-8") as caught:
            load(path)
        assert_helpful(caught.value)

    def test_anybody_may_write(self, tmp_path: Path) -> None:
        path = tmp_path / "motte.toml"
        path.write_text(config.default_text())
        path.chmod(0o666)
        with pytest.raises(ConfigError, match="can be changed by every user") as caught:
            load(path)
        assert f"chmod o-w {path}" in str(caught.value.hint)

    def test_the_largest_and_one_byte_more(self, tmp_path: Path) -> None:
        path = tmp_path / "motte.toml"
        path.write_bytes(b"#" * config.MAXIMUM_FILE_BYTES)
        assert load(path) == Config()
        path.write_bytes(b"#" * (config.MAXIMUM_FILE_BYTES + 1))
        with pytest.raises(ConfigError, match="larger than 256 KiB"):
            load(path)

    def test_a_folder(self, tmp_path: Path) -> None:
        from motte.errors import MotteError

        with pytest.raises(MotteError, match="it is a folder") as caught:
            load(tmp_path)
        assert_helpful(caught.value)
