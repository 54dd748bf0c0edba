"""``motte policy explain``: the answer, its reason, what to change; for people and programs."""

from __future__ import annotations

from collections.abc import Callable

from motte.cli import main
from motte.deployment import Deployment
from motte.errors import ExitCode
from motte.policy import default_policy_text
from tests.policy.command import BROKEN, Ran, lines


class TestExplain:
    def test_refused(self, motte: Callable[..., Ran]) -> None:
        assert motte("apply").code == ExitCode.OK
        ran = motte("explain", "--as", "toaster-1", "subscribe", "home/#")
        assert (ran.code, ran.err) == (ExitCode.REFUSED, "")
        assert lines(ran.out) == [
            "refused  device/toaster-1 subscribe `home/#`",
            "  identity  device/toaster-1 group=toaster",
            "  roles     toaster",
            "  because   a device cannot hold a wildcard subscription",
            "  example   `home` must not reach it",
            (
                "  to change subscribe to concrete topics that are granted; that is: "
                "`toasters/toaster-1/command`"
            ),
            (
                "            a device cannot be granted wildcards: a stolen key would read "
                "everybody's messages"
            ),
            "  in force  the same (snapshot 1)",
        ]

    def test_allowed(self, motte: Callable[..., Ran]) -> None:
        ran = motte(
            "explain", "--as", "toaster-1", "publish", "toasters/toaster-1/state",
            "--qos", "1", "--retain",
        )  # fmt: skip
        assert (ran.code, ran.err) == (ExitCode.OK, "")
        rule = 'policy.toml:16 role.toaster publish "toasters/{device}/state"'
        text = default_policy_text().splitlines()
        line = next(n for n, one in enumerate(text, 1) if "{device}/state" in one)
        assert lines(ran.out) == [
            "allowed  device/toaster-1 publish `toasters/toaster-1/state` with QoS 1 and retain",
            "  identity  device/toaster-1 group=toaster",
            "  roles     toaster",
            f"  because   granted by {rule.replace(':16', f':{line}')}",
            "  in force  nothing yet: every client is refused until a policy is applied",
        ]

    def test_an_edit_that_is_not_in_force(
        self, motte: Callable[..., Ran], deployment: Deployment
    ) -> None:
        assert motte("apply").code == ExitCode.OK
        text = deployment.policy_file.read_text()
        deployment.policy_file.write_text(text.replace("{device}/command", "{device}/orders"))
        ran = motte("explain", "--as", "toaster-1", "subscribe", "toasters/toaster-1/orders")
        assert ran.code == ExitCode.OK
        assert lines(ran.out)[-1] == (
            "  in force  still refused (snapshot 1); `motte policy apply` puts policy.toml in force"
        )
        ran = motte(
            "explain", "--as", "toaster-1", "subscribe", "toasters/toaster-1/command", "--json"
        )
        found = ran.json
        assert (found["allowed"], found["in_force"]["allowed"]) == (False, True)
        assert found["differs_from_in_force"]
        assert "toasters/{device}/command" in found["in_force"]["rule"]

    def test_the_exceptions_of_the_registry_count(self, motte: Callable[..., Ran]) -> None:
        assert motte("apply").code == ExitCode.OK
        assert main(["device", "quarantine", "toaster-1"]) == ExitCode.OK
        ran = motte("explain", "--as", "toaster-1", "receive", "toasters/toaster-1/command")
        assert ran.code == ExitCode.REFUSED
        assert "it is quarantined" in ran.out
        assert "motte device release toaster-1" in ran.out
        assert "in force  the same (snapshot 2)" in ran.out

    def test_who_could_be_enrolled(self, motte: Callable[..., Ran]) -> None:
        question = ("publish", "toasters/toaster-9/telemetry")
        ran = motte("explain", "--as", "toaster-9", "-a", "group=toaster", *question)
        assert ran.code == ExitCode.OK
        ran = motte("explain", "--as", "toaster-9", "-a", "group=lamp", *question)
        assert ran.code == ExitCode.REFUSED
        assert "role `toaster` would match with `group = toaster` (not `lamp`)" in ran.out
        ran = motte("explain", "--as", "toaster-1", "-a", "group=lamp", *question)
        assert "identity  device/toaster-1 group=lamp" in ran.out
        ran = motte("explain", "--as", "reader", "--service", *question)
        assert 'match = { service = "reader" }' in ran.out
        ran = motte("explain", "--as", "service/reader", "-a", "site=x", *question)
        assert "identity  service/reader site=x" in ran.out

    def test_an_id_may_say_its_kind(self, motte: Callable[..., Ran]) -> None:
        ran = motte("explain", "--as", "service/dashboard", "subscribe", "toasters/+/state")
        assert ran.code == ExitCode.OK

    def test_an_unknown_identity(self, motte: Callable[..., Ran]) -> None:
        for name in ("toaster-11", "service/toaster-1"):
            ran = motte("explain", "--as", name, "publish", "a")
            assert (ran.code, ran.out) == (ExitCode.ENROLLMENT, "")
            assert ran.err == (
                f"error: there is no identity `{name}` in this fleet\n\n"
                "hint: did you mean `toaster-1`? to ask about one that could be enrolled, give "
                "its attributes: --attribute group=…\n"
            )

    def test_what_can_be_no_identity(self, motte: Callable[..., Ran]) -> None:
        ran = motte("explain", "--as", "toaster/9", "-a", "group=x", "publish", "a")
        assert ran.code == ExitCode.ENROLLMENT
        assert ran.err.startswith("error: `toaster` is not a kind of identity\n")
        ran = motte("explain", "--as", "toaster 9", "-a", "group=x", "publish", "a")
        assert ran.code == ExitCode.ENROLLMENT
        for attribute in ("group", "=x", "group="):
            ran = motte("explain", "--as", "t", "-a", attribute, "publish", "a")
            assert ran.code == ExitCode.USAGE, attribute
            assert "write key=value" in ran.err

    def test_a_broken_policy(self, motte: Callable[..., Ran], deployment: Deployment) -> None:
        deployment.policy_file.write_text(BROKEN)
        ran = motte("explain", "--as", "toaster-1", "publish", "a")
        assert (ran.code, ran.out) == (ExitCode.POLICY, "")
        assert "unknown key `pubish`" in ran.err

    def test_as_json(self, motte: Callable[..., Ran]) -> None:
        found = motte("explain", "--json", "--as", "toaster-1", "will", "x").json
        assert found["identity"] == {
            "kind": "device",
            "id": "toaster-1",
            "attributes": {"group": "toaster"},
        }
        assert (found["action"], found["allowed"], found["cause"]) == ("will", False, "not-granted")
        assert found["in_force"] is None
        assert not found["differs_from_in_force"]

    def test_a_hostile_topic_cannot_steer_the_terminal(self, motte: Callable[..., Ran]) -> None:
        ran = motte("explain", "--as", "toaster-1", "subscribe", "\x1b]0;owned\x07/#")
        assert ran.code == ExitCode.REFUSED
        assert "\x1b" not in ran.out
        assert "\x07" not in ran.out
