"""The Rust half of Motte: the data plane, the compiled policy and a TOML reader with positions."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, final

__all__ = [
    "Decision",
    "Needles",
    "Radius",
    "RadiusFinding",
    "RadiusHop",
    "RadiusNumbers",
    "ServeError",
    "Snapshot",
    "SnapshotError",
    "TomlError",
    "TomlValue",
    "back_up_store",
    "check_fleet",
    "check_identity_value",
    "check_store",
    "check_topic_filter",
    "check_topic_name",
    "curve_points",
    "default_limits",
    "filter_contains",
    "filter_intersection",
    "filter_matches",
    "format_spiffe",
    "parse_spiffe",
    "parse_toml",
    "restore_store",
    "run_load",
    "serve",
]

class ServeError(RuntimeError):
    """The data plane cannot start or had to stop; `hint` says what to do."""

    hint: str

class SnapshotError(ValueError):
    """A document is no snapshot; `hint` says what to do."""

    hint: str

class TomlError(ValueError):
    """A text is not TOML; `message`, `line` and `column` (from 1) say why and where."""

    message: str
    line: int
    column: int

@final
class TomlValue:
    """A TOML value and its place. Immutable."""

    @property
    def kind(
        self,
    ) -> Literal["table", "array", "string", "integer", "float", "boolean", "datetime"]:
        """What it is."""

    @property
    def value(
        self,
    ) -> Mapping[str, TomlValue] | tuple[TomlValue, ...] | str | int | float | bool:
        """Tables are read-only mappings, arrays tuples, dates and times text."""

    @property
    def line(self) -> int:
        """The line it begins in, from 1."""

    @property
    def column(self) -> int:
        """The character of the line it begins with, from 1."""

    @property
    def keys(self) -> Mapping[str, tuple[int, int]]:
        """Line and column of each key of a table; empty for everything else."""

@final
class Decision:
    """What the policy answers."""

    @property
    def allowed(self) -> bool:
        """Whether it is allowed."""

    @property
    def cause(
        self,
    ) -> (
        Literal[
            "no-role",
            "not-granted",
            "denied-by-rule",
            "wildcard",
            "share-not-granted",
            "retain-not-granted",
            "qos-not-granted",
            "will-not-granted",
            "reserved",
            "malformed",
        ]
        | None
    ):
        """Why it is not, in one stable word."""

    @property
    def rule(self) -> str | None:
        """The rule that decided."""

    @property
    def nearest(self) -> str | None:
        """The grant that comes nearest where none covers the question."""

    @property
    def counterexample(self) -> str | None:
        """A topic that the subscription would deliver and must not."""

    @property
    def maximum_qos(self) -> int | None:
        """The highest QoS at which it is allowed."""

@final
class Snapshot:
    """A compiled policy: the very thing the data plane enforces."""

    def __new__(cls, json: bytes) -> Snapshot: ...
    @property
    def generation(self) -> int:
        """The number of this snapshot."""

    @property
    def fleet(self) -> str:
        """The fleet it is for."""

    def roles(self, kind: str, identifier: str, attributes: dict[str, str]) -> list[str]:
        """The names of the roles that match an identity, in the order of the policy."""

    def limits(self, kind: str, identifier: str, attributes: dict[str, str]) -> dict[str, int]:
        """The limits of an identity, by the names of the snapshot."""

    def decide(
        self,
        kind: str,
        identifier: str,
        attributes: dict[str, str],
        action: str,
        topic: str,
        qos: int = 0,
        retain: bool = False,
    ) -> Decision:
        """Whether an identity may do something, and which rule says so.

        The action is `publish`, `will`, `subscribe` or `receive`. Exceptions are not looked at.
        """

    def status(self, kind: str, identifier: str) -> Literal["active", "revoked", "quarantined"]:
        """Where an identity stands."""

def filter_matches(topic_filter: str, topic: str) -> bool:
    """Whether the topic filter matches the topic name."""

def filter_contains(grants: Sequence[str], denials: Sequence[str], topic_filter: str) -> str | None:
    """A topic of the filter that is not granted or that is denied; `None` if there is none."""

def filter_intersection(left: str, right: str) -> str | None:
    """The filter of the topics that both filters match; `None` if there are none."""

def check_topic_name(topic: str) -> None:
    """Raises `ValueError` if the text is no topic name."""

def check_topic_filter(topic_filter: str) -> None:
    """Raises `ValueError` if the text is no topic filter."""

def check_identity_value(value: str) -> None:
    """Raises `ValueError` if the text cannot be an id, an attribute key or an attribute value."""

def check_fleet(fleet: str) -> None:
    """Raises `ValueError` if the text cannot be the name of a fleet."""

def parse_spiffe(uri: str, fleet: str) -> tuple[str, str, dict[str, str]]:
    """Kind, id and attributes of a SPIFFE id of the fleet."""

def format_spiffe(kind: str, identifier: str, attributes: dict[str, str], fleet: str) -> str:
    """The one SPIFFE id of an identity."""

def default_limits(kind: str) -> dict[str, int]:
    """What a role of this kind gets where it says nothing, by the names of the snapshot."""

def parse_toml(text: str) -> TomlValue:
    """Reads TOML. Raises `TomlError` with line and column."""

def check_store(state_directory: str | Path) -> str:
    """Looks at the durable store of a deployment, whether a data plane works on it or not.

    Returns a JSON object: `path`, `bytes`, numbers of `sessions`, `subscriptions`, `messages`,
    `held`, `retained` and `wills`, and `problems`, a list of lines. Raises `ServeError`.
    """

def back_up_store(state_directory: str | Path, target: str | Path) -> None:
    """Copies the durable store, whether a data plane works on it or not. Raises `ServeError`."""

def restore_store(
    state_directory: str | Path, *, backup: str | Path | None = None, empty: bool = False
) -> str:
    """Puts a backup, an empty store or what can be read of a damaged one in its place.

    Returns a JSON object: `saved`, as `check_store` does, whose `problems` are what was lost, and
    `set_aside`, where the former file is now. Raises `ServeError`; nothing has been changed then.
    """

def run_load(scenario_json: str) -> None:
    """Puts load on a broker and writes to standard output, in lines of JSON, what came back.

    Raises `RuntimeError` for a scenario beyond the limits and for a broker that fails.
    """

def serve(settings_json: str) -> None:
    """Serves until SIGTERM, SIGINT or the `stop` command. Python does not run meanwhile."""

@final
class RadiusHop:
    """One step from one identity to the next."""

    @property
    def subject(self) -> tuple[str, str, dict[str, str]]:
        """Kind, id and attributes of an identity that could be enrolled."""

    @property
    def object(self) -> tuple[str, str, dict[str, str]]:
        """The same of the other one."""

    @property
    def topic(self) -> str:
        """A topic that both may use."""

    @property
    def subject_rule(self) -> str:
        """The grant of the first."""

    @property
    def object_rule(self) -> str:
        """The grant of the second."""

@final
class RadiusFinding:
    """A way in which one role can do something to another."""

    @property
    def scope(self) -> Literal["named", "class", "everyone"]:
        """For how many it holds."""

    @property
    def equalities(self) -> list[tuple[tuple[str, str], tuple[str, str]]]:
        """What has to be equal: a side and its attribute, and another such pair or a value."""

    @property
    def required(self) -> list[tuple[str, str]]:
        """Attributes that a side needs, whatever their values."""

    @property
    def hops(self) -> list[RadiusHop]:
        """What shows that it is true."""

@final
class RadiusNumbers:
    """How many others each identity of a fleet can do something to."""

    @property
    def distributions(self) -> dict[str, dict[int, int]]:
        """For each question and each number of others, how many identities have it."""

    @property
    def widest(self) -> dict[str, tuple[str, str, dict[str, str]]]:
        """For each question, one of the identities with the highest number."""

    @property
    def collisions(self) -> list[tuple[str, str, dict[str, str]]]:
        """Identities whose id is a literal of a topic, 100 at most."""

@final
class Radius:
    """The answers to all questions about all pairs of roles."""

    def __new__(cls, document: bytes) -> Radius:
        """Raises `ValueError` if the document cannot be analysed."""

    def roles(self) -> list[tuple[str, str]]:
        """Names and kinds of the roles, in the order of the document."""

    def scopes(self, question: str, subject: int) -> list[tuple[int, str]]:
        """The places of the roles that `subject` can do that to, each with the widest scope."""

    def findings(self, question: str, subject: int, other: int) -> list[RadiusFinding]:
        """The ways in which one role can do that to another, the widest first."""

    def numbers(self, identities: Iterable[tuple[str, str, Mapping[str, str]]]) -> RadiusNumbers:
        """The answers in numbers for a fleet of identities, each as kind, id and attributes."""

@final
class Needles:
    """A set of byte strings that are looked for at once, in time linear in the data. Immutable."""

    def __new__(cls, needles: Sequence[bytes]) -> Needles:
        """Prepares 1 to 1024 needles of 1 to 64 bytes; `ValueError` for any other set."""

    def find(self, data: bytes, limit: int) -> list[tuple[int, int]]:
        """Offset and index of every needle that lies whole in `data`, overlapping ones too.

        In order, at most `limit` of them; of several that begin at one place, the first.
        """

def curve_points(data: bytes, limit: int) -> list[int]:
    """Offsets of what could be uncompressed points of P-256 (65 bytes: SEC 1, section 2.3.3).

    A filter, no judgement: bytes that look like chance after a 4, outside of 4 KiB blocks that are
    chance altogether, as compressed data are. At most `limit` of them.
    """
