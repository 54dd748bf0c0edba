"""``motte policy radius`` and ``diff``: what people see, what programs read, how they end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from motte.cli.policy_radius import RADIUS_GREW
from motte.deployment import Deployment
from motte.errors import ExitCode
from motte.policy.radius.analysis import Question
from tests.policy.command import BROKEN, Ran

HOME = """\
[role.thermostat]
match     = { group = "thermostat" }
publish   = ["home/{site}/{device}/telemetry"]
subscribe = ["home/{site}/{device}/command", "home/{site}/alarm"]

[role.siren]
match   = { group = "siren" }
publish = ["home/{site}/alarm"]

[role.hub]
match     = { service = "hub" }
publish   = ["home/+/+/command"]
subscribe = ["home/+/+/telemetry"]
wildcards = true
relays    = [{ from = "home/+/+/telemetry", to = "home/+/+/command" }]
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home.toml"
    path.write_text(HOME)
    return path


class TestRadius:
    def test_the_answer_comes_first(self, motte: Callable[..., Ran], home: Path) -> None:
        ran = motte("radius", str(home))
        assert (ran.code, ran.err) == (ExitCode.OK, "")
        assert [line.rstrip() for line in ran.out.splitlines()[:5]] == [
            "home.toml: if one device is stolen, its holder can …",
            "  read other devices              same site   thermostat → siren",
            "  send to other devices           same site   siren → thermostat",
            "  pass for other devices          same site   siren → siren",
            "  reach devices through services  everyone   thermostat → thermostat",
        ]

    def test_every_leak_has_its_witness(self, motte: Callable[..., Ran], home: Path) -> None:
        out = motte("radius", str(home)).out
        assert "thermostat can reach, through services, thermostat: everyone\n" in out
        assert (
            "  device/device-1 (group=thermostat, site=site-1) → service/hub  on  "
            "home/site-1/device-1/telemetry\n"
            '    home.toml:3 role.thermostat publish "home/{site}/{device}/telemetry"\n'
            '    home.toml:13 role.hub subscribe "home/+/+/telemetry"\n'
        ) in out

    def test_what_one_of_each_role_may_use(self, motte: Callable[..., Ran], home: Path) -> None:
        limits = 'limits = { messages = "7/s", connections = 3 }\n[role.hub]'
        home.write_text(home.read_text().replace("[role.hub]", limits))
        lines = [line.split() for line in motte("radius", str(home)).out.splitlines()]
        begin = next(place for place, line in enumerate(lines) if line[:3] == ["one", "of", "it"])
        assert lines[begin][5:] == ["messages", "payload", "retained", "waiting", "connections"]
        rows = {line[0]: line[1:] for line in lines[begin + 1 : begin + 4]}
        assert rows["siren"] == ["7/s", "64KiB/s", "64KiB", "1MiB", "3"]
        assert rows["thermostat"][0] == "10/s"
        # Several roles may limit one identity.
        one = motte("radius", str(home), "--as", "t1", "-a", "group=thermostat", "-a", "site=n")
        assert "may use" not in one.out

    def test_of_one_identity(self, motte: Callable[..., Ran], home: Path) -> None:
        ran = motte("radius", str(home), "--as", "t1", "-a", "group=thermostat", "-a", "site=n")
        assert ran.out.startswith("home.toml: if t1 is stolen, its holder can …\n")
        assert "read other devices              where the other's site is `n`" in ran.out
        assert "send to other devices           nobody" in ran.out

    def test_for_programs(self, motte: Callable[..., Ran], home: Path) -> None:
        found = motte("radius", str(home), "--json").json
        assert found["devices"] == {
            "observe": "class",
            "influence": "class",
            "influence-retained": "isolated",
            "influence-will": "class",
            "impersonate": "class",
            "reach": "everyone",
        }
        thermostat = found["roles"][0]
        assert thermostat["scopes"]["observe"] == {"siren": "class", "hub": "everyone"}
        assert thermostat["exhaust"]["messages_per_second"] == 10
        reach = next(leak for leak in found["leaks"] if leak["question"] == "reach")
        assert [hop["topic"] for hop in reach["findings"][0]["witness"]] == [
            "home/site-1/device-1/telemetry",
            "home/site-2/device-2/command",
        ]
        assert found["fleet"] is None

    def test_the_fleet_in_numbers(self, motte: Callable[..., Ran], deployment: Deployment) -> None:
        ran = motte("radius")
        assert ran.code == ExitCode.OK
        assert deployment.policy_file.name in ran.out
        found = motte("radius", "--json").json
        assert set(found["fleet"]["radius"]) == {question.value for question in Question}

    def test_a_wrong_file_gives_no_answer(self, motte: Callable[..., Ran], tmp_path: Path) -> None:
        path = tmp_path / "policy.toml"
        path.write_text(BROKEN)
        page = tmp_path / "page.html"
        ran = motte("radius", str(path), "--html", str(page))
        assert (ran.code, ran.out) == (ExitCode.POLICY, "")
        assert "policy.toml:3:1" in ran.err
        assert not page.exists()

    @pytest.mark.parametrize("wrong", ["a/b/c", "device/", "gadget/x", "a b", ""])
    def test_a_wrong_identity(self, motte: Callable[..., Ran], home: Path, wrong: str) -> None:
        ran = motte("radius", str(home), "--as", wrong)
        assert ran.code == ExitCode.ENROLLMENT
        assert "hint: " in ran.err
        assert "Traceback" not in ran.err


class TestReports:
    def test_sarif(self, motte: Callable[..., Ran], home: Path, tmp_path: Path) -> None:
        path = tmp_path / "radius.sarif"
        assert motte("radius", str(home), "--sarif", str(path)).code == ExitCode.OK
        document = json.loads(path.read_text())
        assert document["version"] == "2.1.0"
        (run,) = document["runs"]
        rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        lines = HOME.splitlines()
        assert run["results"]
        for result in run["results"]:
            assert rules[result["ruleIndex"]] == result["ruleId"]
            for location in (*result["locations"], *result["relatedLocations"]):
                physical = location["physicalLocation"]
                assert physical["artifactLocation"]["uri"] == home.as_posix()
                shown = lines[physical["region"]["startLine"] - 1]
                (topic,) = re.findall(
                    '"(.*)"', location["logicalLocations"][0]["fullyQualifiedName"]
                )
                assert f'"{topic}"' in shown
        assert {result["level"] for result in run["results"]} == {"error", "warning"}

    def test_the_page_loads_and_runs_nothing(
        self, motte: Callable[..., Ran], tmp_path: Path
    ) -> None:
        path, page = tmp_path / "<script>alert(1)<.toml", tmp_path / "page.html"
        path.write_text(
            '[role.a]\nmatch = { group = "a" }\npublish = ["<img src=x onerror=alert(1)>"]\n'
            'subscribe = ["<img src=x onerror=alert(1)>"]\n'
        )
        assert motte("radius", str(path), "--html", str(page)).code == ExitCode.OK
        text = page.read_text()
        assert "default-src 'none'" in unescape(text)
        assert "<script" not in text
        assert "<img" not in text
        assert "&lt;img src=x onerror=alert(1)&gt;" in text
        assert re.findall(r'(?:src|href)="', text) == []

    def test_the_picture_draws_leaks_and_work_apart(
        self, motte: Callable[..., Ran], home: Path, tmp_path: Path
    ) -> None:
        page = tmp_path / "page.html"
        motte("radius", str(home), "--html", str(page))
        titles = re.findall(r'class="line (\w+)".*?<title>(.*?)</title>', page.read_text())
        assert set(titles) == {
            ("everyone", "thermostat → thermostat: reach (everyone)"),
            ("class", "thermostat → siren: observe (class)"),
            ("class", "siren → thermostat: influence (class)"),
            ("class", "siren → siren: impersonate (class)"),
            ("quiet", "thermostat → hub: influence (everyone)"),
            ("quiet", "hub → thermostat: influence (everyone)"),
        }

    def test_many_roles_that_are_alike_are_one_box(
        self, motte: Callable[..., Ran], tmp_path: Path
    ) -> None:
        path, page = tmp_path / "many.toml", tmp_path / "page.html"
        roles = [
            f'[role.r{n}]\nmatch = {{ group = "g{n}" }}\npublish = ["t{n}/{{device}}"]\n'
            for n in range(200)
        ]
        path.write_text(
            "\n".join(roles)
            + '[role.s]\nmatch = { service = "s" }\nsubscribe = ["#"]\nwildcards = true\n'
        )
        motte("radius", str(path), "--html", str(page))
        boxes = re.findall(r'<g class="box (\w+) (\w+)">', page.read_text())
        assert boxes == [("device", "isolated"), ("service", "isolated")]
        assert ">r0 + 199</text>" in page.read_text()


class TestDiff:
    @pytest.fixture
    def diff(
        self, motte: Callable[..., Ran], tmp_path: Path
    ) -> Callable[[str, str], tuple[int, list[str], list[str]]]:
        def run(old: str, new: str) -> tuple[int, list[str], list[str]]:
            (tmp_path / "old.toml").write_text(old)
            (tmp_path / "new.toml").write_text(new)
            ran = motte("diff", str(tmp_path / "old.toml"), str(tmp_path / "new.toml"), "--json")
            found = ran.json
            assert found["grew"] == (ran.code == RADIUS_GREW)
            assert all(
                change["witness"] for key in ("possible", "impossible") for change in found[key]
            )
            return (
                ran.code,
                [change["what"] for change in found["possible"]],
                [change["what"] for change in found["impossible"]],
            )

        return run

    def test_nothing_changed(self, diff: Callable[[str, str], object]) -> None:
        renamed = HOME.replace("thermostat]", "boiler]").replace("role.siren", "role.horn")
        assert diff(HOME, HOME) == (0, [], [])
        assert diff(HOME, renamed) == (0, [], [])

    def test_a_shared_topic_grows_the_radius(
        self, diff: Callable[[str, str], tuple[int, list[str], list[str]]]
    ) -> None:
        wider = HOME.replace(
            '"home/{site}/alarm"]\n\n[role.siren]', '"home/+/alarm"]\n\n[role.siren]'
        )
        code, possible, impossible = diff(HOME, wider)
        assert code == RADIUS_GREW
        assert "thermostat can read what is published by siren: everyone" in possible
        assert "thermostat may subscribe to home/+/alarm" in possible
        assert impossible == []
        code, possible, impossible = diff(wider, HOME)
        assert (code, possible) == (0, [])
        assert "siren can send messages to thermostat: everyone" in impossible

    def test_a_right_that_reaches_nobody_new(
        self, diff: Callable[[str, str], tuple[int, list[str], list[str]]]
    ) -> None:
        more = HOME.replace(
            'telemetry"]\nsubscribe', 'telemetry", "home/{site}/{device}/log"]\nsubscribe'
        )
        assert diff(HOME, more) == (
            0,
            [
                "thermostat may publish to home/{site}/{device}/log",
                "thermostat may leave a will for home/{site}/{device}/log",
            ],
            [],
        )

    def test_a_denial_takes_away(
        self, diff: Callable[[str, str], tuple[int, list[str], list[str]]]
    ) -> None:
        narrower = HOME.replace("[role.hub]", 'deny = ["home/+/alarm"]\n\n[role.hub]')
        code, possible, impossible = diff(HOME, narrower)
        assert (code, possible) == (0, [])
        assert "siren can send messages to thermostat: same site" in impossible
        assert "siren may publish to home/{site}/alarm" in impossible

    def test_a_role_for_more_identities_grows_the_radius(
        self, diff: Callable[[str, str], tuple[int, list[str], list[str]]]
    ) -> None:
        text = '[role.a]\nmatch = {{ {} }}\npublish = ["t"]\nsubscribe = ["t"]\n'
        code, possible, _ = diff(text.format('group = "a", site = "n"'), text.format('group = "a"'))
        assert code == RADIUS_GREW
        assert "a can send messages to a: everyone" in possible

    def test_a_wrong_file(self, motte: Callable[..., Ran], home: Path, tmp_path: Path) -> None:
        (tmp_path / "new.toml").write_text(BROKEN)
        ran = motte("diff", str(home), str(tmp_path / "new.toml"))
        assert ran.code == ExitCode.POLICY
        assert "new.toml:3:1" in ran.err
        assert motte("diff", str(home), str(tmp_path / "none.toml")).code == ExitCode.POLICY
