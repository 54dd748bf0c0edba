"""EMQX, AWS IoT and HiveMQ: what their documentation says a file means."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from motte.cli import main
from motte.errors import ExitCode, PolicyError
from motte.policy.foreign import aws_iot, emqx, hivemq
from motte.policy.foreign.formats import Format
from motte.policy.foreign.importing import Options, read_foreign
from motte.policy.foreign.translation import MAXIMUM_FILE_BYTES, Severity, Translation
from motte.policy.radius.analysis import Question, Scope, analyse
from tests.policy.foreign.decisions import allows

EMQX_DEFAULT = """\
%% The file that EMQX comes with.
{allow, {username, {re, "^dashboard$"}}, subscribe, ["$SYS/#"]}.
{allow, {ipaddr, "127.0.0.1"}, all, ["$SYS/#", "#"]}.
{deny, all, subscribe, ["$SYS/#", {eq, "#"}]}.
{allow, all}.
"""


def severities(translation: Translation) -> list[tuple[int, str]]:
    return [(remark.line, remark.severity.value) for remark in translation.remarks]


def widest(translation: Translation, question: Question = Question.OBSERVE) -> Scope:
    analysis = analyse(translation.policy)
    return max(
        (analysis.widest(question, role.place) for role in analysis.roles),
        key=lambda scope: scope.width,
    )


class TestEmqx:
    def test_the_first_rule_that_matches_decides(self) -> None:
        translation = emqx.translate(
            '{deny, all, publish, ["a/secret"]}.\n'
            '{allow, all, publish, ["a/#"]}.\n'
            '{allow, {user, "u"}, all, ["u/${username}/+"]}.\n'
            '{deny, all, all, ["#"]}.\n',
            "acl.conf",
            no_match_denies=True,
        )
        other, listed = {"listed": "no"}, {"listed": "yes"}
        assert allows(translation, "x", "publish", "a/b", other)
        assert not allows(translation, "x", "publish", "a/secret", other)
        assert not allows(translation, "x", "publish", "b", other)
        assert allows(translation, "u", "read", "u/u/1", listed)
        assert not allows(translation, "x", "read", "u/x/1", other)
        assert translation.remarks == ()

    def test_no_match_is_allowed_unless_somebody_changed_it(self) -> None:
        text = '{deny, all, all, ["a"]}.\n'
        open_ = emqx.translate(text, "acl.conf")
        assert allows(open_, "x", "publish", "b", {"listed": "no"})
        assert not allows(open_, "x", "publish", "a", {"listed": "no"})
        assert severities(open_) == [(2, "note")]
        assert widest(open_) is Scope.EVERYONE
        assert widest(emqx.translate(text, "acl.conf", no_match_denies=True)) is Scope.ISOLATED

    def test_a_denial_of_one_spelling_does_not_help(self) -> None:
        translation = emqx.translate('{deny, all, subscribe, [{eq, "#"}]}.\n{allow, all}.\n', "a")
        assert allows(translation, "x", "read", "a/b", {"listed": "no"})

    def test_the_file_that_emqx_comes_with(self) -> None:
        translation = emqx.translate(EMQX_DEFAULT, "acl.conf")
        assert [one for one in severities(translation) if one[1] == "wider"] == [
            (2, "wider"),
            (3, "wider"),
        ]
        assert widest(translation) is Scope.EVERYONE

    def test_a_client_id_is_a_claim(self) -> None:
        claimed = emqx.translate(
            '{allow, all, all, ["c/${clientid}/#"]}.', "a", no_match_denies=True
        )
        named = emqx.translate('{allow, all, all, ["c/${username}/#"]}.', "a", no_match_denies=True)
        assert (widest(claimed), widest(named)) == (Scope.EVERYONE, Scope.ISOLATED)
        assert severities(claimed) == [(1, "wider")]

    def test_what_has_no_translation_is_named(self) -> None:
        text = '{allow, all, sing, ["a"]}.\n{allow, all, publish, [7]}.\n{nothing}.\n'
        found = emqx.translate(text, "acl.conf", no_match_denies=True)
        assert severities(found) == [(1, "left out"), (2, "left out"), (3, "left out")]

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("{allow, all}", "acl.conf:1: "),
            ('\n{allow, all, publish, ["a]}.', "acl.conf:2: "),
            ("{allow all}.", "acl.conf:1: `,` is expected"),
            ("[" * 100, "acl.conf:1: too many brackets"),
            ("{allow, ALL}.", "acl.conf:1: "),
        ],
    )
    def test_a_wrong_file(self, text: str, place: str) -> None:
        with pytest.raises(PolicyError) as caught:
            emqx.translate(text, "acl.conf")
        assert caught.value.message.startswith(place)
        assert caught.value.hint


def policy(*statements: dict[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, indent=1)


def arn(kind: str, rest: str) -> str:
    return f"arn:aws:iot:eu-west-1:123456789012:{kind}/{rest}"


def allow(action: object, *resources: str, **more: object) -> dict[str, object]:
    return {"Effect": "Allow", "Action": action, "Resource": list(resources), **more}


THING = "${iot:Connection.Thing.ThingName}"


class TestAws:
    def test_everything_for_everybody(self) -> None:
        translation = aws_iot.translate(policy(allow("iot:*", "*")), "p.json")
        assert widest(translation) is Scope.EVERYONE
        assert widest(translation, Question.RETAINED) is Scope.EVERYONE

    def test_own_topics_isolate(self) -> None:
        text = policy(
            allow("iot:Connect", arn("client", THING)),
            allow(["iot:Publish", "iot:Receive"], arn("topic", f"dev/{THING}/*")),
            allow("iot:Subscribe", arn("topicfilter", f"dev/{THING}/*")),
        )
        translation = aws_iot.translate(text, "p.json")
        assert translation.remarks == ()
        assert widest(translation) is Scope.ISOLATED
        assert allows(translation, "t", "publish", "dev/t/a/b")
        assert not allows(translation, "t", "publish", "dev/t")
        assert not allows(translation, "t", "publish", "dev/t/a", retain=True)
        assert not allows(translation, "t", "read", "dev/u/a")

    def test_a_client_id_is_a_claim_unless_connect_binds_it(self) -> None:
        own = allow(["iot:Publish", "iot:Receive"], arn("topic", "d/${iot:ClientId}"))
        read = allow("iot:Subscribe", arn("topicfilter", "d/${iot:ClientId}"))
        claimed = aws_iot.translate(policy(own, read, allow("iot:Connect", "*")), "p")
        bound = policy(own, read, allow("iot:Connect", arn("client", THING)))
        assert widest(claimed) is Scope.EVERYONE
        assert widest(aws_iot.translate(bound, "p")) is Scope.ISOLATED

    def test_reading_takes_both_rights(self) -> None:
        subscribe = allow("iot:Subscribe", arn("topicfilter", "a/*"))
        receive = allow("iot:Receive", arn("topic", "a/b"))
        only = aws_iot.translate(policy(subscribe), "p")
        both = aws_iot.translate(policy(subscribe, receive), "p")
        assert not allows(only, "t", "read", "a/b")
        assert allows(both, "t", "read", "a/b")
        assert not allows(both, "t", "read", "a/c")

    def test_a_denial_wins_where_it_can_be_said(self) -> None:
        deny: dict[str, object] = {
            "Effect": "Deny",
            "Action": "iot:Publish",
            "Resource": arn("topic", "a/secret"),
        }
        text = policy(allow("iot:Publish", arn("topic", "a/*")), deny)
        translation = aws_iot.translate(text, "p")
        assert allows(translation, "t", "publish", "a/b")
        assert not allows(translation, "t", "publish", "a/secret")
        inexact = {**deny, "Resource": arn("topic", "a/se*")}
        wide = aws_iot.translate(policy(allow("iot:Publish", arn("topic", "a/*")), inexact), "p")
        assert allows(wide, "t", "publish", "a/secret")
        assert "left out" in {severity for _, severity in severities(wide)}

    def test_wildcards_of_mqtt_are_characters_in_a_topic(self) -> None:
        translation = aws_iot.translate(policy(allow("iot:Publish", arn("topic", "a/#"))), "p")
        assert not allows(translation, "t", "publish", "a/b")
        assert severities(translation)[0][1] == "note"

    @pytest.mark.parametrize("text", ["[", "{}", "7", '{"Statement": 7}', "[" * 100_000])
    def test_a_wrong_file(self, text: str) -> None:
        with pytest.raises(PolicyError) as caught:
            aws_iot.translate(text, "p.json")
        assert caught.value.message.startswith("p.json:1: ")


HIVEMQ = """\
<?xml version="1.0"?>
<file-rbac>
  <users>
    <user><name>alice</name><password>x</password><roles><id>own</id></roles></user>
    <user><name>bob</name><password>x</password><roles><id>own</id><id>gone</id></roles></user>
    <user><name>admin</name><password>x</password><roles><id>all</id></roles></user>
  </users>
  <roles>
    <role>
      <id>own</id>
      <permissions>
        <permission><topic>data/${{username}}/#</topic><retain>NOT_RETAINED</retain></permission>
        <permission><topic>news/+</topic><activity>SUBSCRIBE</activity></permission>
      </permissions>
    </role>
    <role><id>all</id><permissions><permission><topic>#</topic></permission></permissions></role>
  </roles>
</file-rbac>
"""


HIVEMQ_REALM = """\
<?xml version="1.0"?>
<ese-file-realm>
  <mqtt>
    <users>
      <user>
        <name>press</name>
        <password>x</password>
        <permissions>
          <permission>
            <topic>#</topic><qos>ALL</qos><activity>ALL</activity><retain>ALL</retain>
          </permission>
        </permissions>
      </user>
      <user>
        <name>reader</name>
        <roles><role>readers</role></roles>
      </user>
      <user><name>idle</name></user>
    </users>
    <roles>
      <role>
        <id>readers</id>
        <permissions>
          <permission><topic>press/#</topic><activity>SUBSCRIBE</activity></permission>
        </permissions>
      </role>
    </roles>
  </mqtt>
  <control-center>
    <users>
      <user>
        <name>boss</name>
        <permissions><permission>HIVEMQ_SUPER_ADMIN</permission></permissions>
      </user>
    </users>
  </control-center>
</ese-file-realm>
"""


class TestHivemq:
    def test_permissions_of_roles(self) -> None:
        translation = hivemq.translate(HIVEMQ, "credentials.xml")
        assert [role.name for role in translation.policy.roles] == ["alice", "bob", "admin"]
        assert allows(translation, "alice", "publish", "data/alice/x")
        assert not allows(translation, "alice", "publish", "data/alice/x", retain=True)
        assert not allows(translation, "alice", "publish", "data/bob/x")
        assert not allows(translation, "alice", "publish", "news/x")
        assert allows(translation, "alice", "read", "news/x")
        assert allows(translation, "admin", "publish", "data/bob/x", retain=True)
        assert severities(translation) == [(5, "left out")]

    def test_a_client_id_is_a_claim(self) -> None:
        claimed = HIVEMQ.replace("${{username}}", "${{clientid}}")
        translation = hivemq.translate(claimed, "credentials.xml")
        assert (12, "wider") in severities(translation)
        assert allows(translation, "alice", "read", "data/bob/x")

    def test_the_file_realm_of_the_enterprise_extension(self) -> None:
        translation = hivemq.translate(HIVEMQ_REALM, "ese-file-realm.xml")
        assert [role.name for role in translation.policy.roles] == ["press", "reader", "idle"]
        assert allows(translation, "press", "publish", "press/7/state", retain=True)
        assert allows(translation, "reader", "read", "press/7/state")
        assert not allows(translation, "reader", "publish", "press/7/state")
        # What is not understood is not taken for a user without rights in silence.
        assert severities(translation) == [(18, "note")]

    @pytest.mark.parametrize(
        "text",
        [
            "<file-rbac>",
            "<other/>",
            '<!DOCTYPE a [<!ENTITY b "c">]><file-rbac>&b;</file-rbac>',
            "<file-rbac>" + "<a>" * 1000,
            "no",
        ],
    )
    def test_a_wrong_file(self, text: str) -> None:
        with pytest.raises(PolicyError) as caught:
            hivemq.translate(text, "credentials.xml")
        assert caught.value.message.startswith("credentials.xml:1: ")


class TestImport:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("pattern readwrite #\n", Format.MOSQUITTO_ACL),
            ("", Format.MOSQUITTO_ACL),
            (EMQX_DEFAULT, Format.EMQX),
            (policy(allow("iot:*", "*")), Format.AWS_IOT),
            ('{"clients": [], "roles": []}', Format.MOSQUITTO_DYNSEC),
            (HIVEMQ, Format.HIVEMQ),
        ],
    )
    def test_what_a_file_is_can_be_seen(self, tmp_path: Path, text: str, expected: Format) -> None:
        (tmp_path / "rules").write_text(text)
        assert read_foreign(tmp_path / "rules", None, Options()).source == expected.value

    @pytest.fixture
    def imported(self, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
        def run(*arguments: str) -> tuple[int, str, str]:
            code = main(["policy", "import", *arguments])
            out, err = capsys.readouterr()
            return code, out, err

        return run

    def test_the_radius_of_a_file(
        self, imported: Callable[..., tuple[int, str, str]], tmp_path: Path
    ) -> None:
        (tmp_path / "acl").write_text("pattern readwrite #\npattern read x/%c\n")
        code, out, err = imported(str(tmp_path / "acl"), "--html", str(tmp_path / "page.html"))
        assert code == ExitCode.OK
        assert "read other devices              everyone" in out
        assert "wider: acl:2: `%c` in `x/%c` is whatever a client says" in err
        assert (tmp_path / "page.html").exists()
        code, out, _ = imported(str(tmp_path / "acl"), "--json")
        assert json.loads(out)["remarks"][0]["severity"] == Severity.WIDER.value

    @pytest.mark.parametrize("data", [b"\xff\xfe", b"x" * (MAXIMUM_FILE_BYTES + 1), b"nonsense\n"])
    def test_a_wrong_file_gives_no_answer(
        self, imported: Callable[..., tuple[int, str, str]], tmp_path: Path, data: bytes
    ) -> None:
        (tmp_path / "acl").write_bytes(data)
        code, out, err = imported(str(tmp_path / "acl"))
        assert (code, out) == (ExitCode.POLICY, "")
        assert "hint: " in err
        assert imported(str(tmp_path / "none"))[0] == ExitCode.POLICY
        assert imported(str(tmp_path))[0] == ExitCode.POLICY
