"""The control plane in the foreground: keeps a data plane running and up to date.

The data plane does not need it: when this process is killed, devices stay connected and the last
good policy stays in force. The next one finds the running data plane and goes on.
"""

import contextlib
import select
import time
from dataclasses import dataclass
from typing import Any, Final, Protocol

from motte.errors import DataPlaneError, MotteError
from motte.plane.context import ControlPlane
from motte.plane.control import Follower, Status, connect
from motte.plane.data_plane import settings_json
from motte.plane.process import DataPlane, PreparedDataPlane, find_data_plane, publish_lock
from motte.plane.publisher import Published, Source
from motte.plane.setup import keep_server_certificate
from motte.plane.signals import Signals

__all__ = ["Observer", "Supervisor"]

RECHECK_SECONDS: Final = 5.0
"""How often the generation in force is compared with the registry. Commands install what they
change themselves; this only catches a command that died half-way."""
FIRST_BACKOFF_SECONDS: Final = 0.2
"""Pause before a data plane that died is started again."""
LONGEST_BACKOFF_SECONDS: Final = 30.0
"""Longest such pause; each failure doubles it up to here."""
CERTIFICATE_CHECK_SECONDS: Final = 3600.0
"""How often the broker's own certificate is looked at; it is renewed in the last third of its life,
so an hour is soon enough for any that lives a day."""
HEALTHY_SECONDS: Final = 60.0
"""A data plane that ran this long counts as healthy: the next pause is the first one again."""


class Observer(Protocol):
    """Whoever shows what happens to a person."""

    def running(self, status: Status, *, attached: bool) -> None:
        """A data plane listens; ``attached`` if it was running before."""

    def published(self, published: Published) -> None:
        """A snapshot was put in force."""

    def records(self, records: tuple[dict[str, Any], ...], dropped: int) -> None:
        """Evidence records arrived, and ``dropped`` more did not."""

    def progress(self, what: str) -> None:
        """Something was made or renewed."""

    def trouble(self, error: MotteError) -> None:
        """Something failed, and the supervisor goes on."""

    def died(self, pid: int, restart_in: float) -> None:
        """The data plane ended by itself and is started again after a pause."""

    def stopping(self) -> None:
        """The data plane is asked to end."""

    def stopped(self, how: str) -> None:
        """The data plane has ended."""


@dataclass(slots=True)
class _Watched:
    """A running data plane, and its events if they could be subscribed."""

    process: DataPlane
    follower: Follower | None
    since: float


class Supervisor:
    """Runs one deployment until a signal arrives."""

    def __init__(
        self,
        plane: ControlPlane,
        observer: Observer,
        signals: Signals,
        prepared: PreparedDataPlane,
    ) -> None:
        self._plane = plane
        self._prepared: PreparedDataPlane | None = prepared
        self._observer = observer
        self._signals = signals
        self._watched: _Watched | None = None
        self._backoff = FIRST_BACKOFF_SECONDS
        self._next_check = time.monotonic() + RECHECK_SECONDS
        self._checked_change = 0
        self._next_certificate_check = 0.0

    def run(self) -> None:
        """Starts or finds the data plane, keeps it going, and stops it at the end."""
        try:
            self._bring_up(first=True)
            while self._signals.received is None:
                if self._watched is None:
                    self._try_again()
                else:
                    self._watch(self._watched)
        finally:
            if self._watched is not None:
                self._stop(self._watched)

    def _bring_up(self, *, first: bool) -> None:
        """Sees to a running data plane with the present policy, started if there is none.

        A starting data plane reads its snapshot from disk, so that is brought up to date before:
        it never serves a moment with a policy that is already history.
        """
        with publish_lock(self._plane.deployment):
            process = find_data_plane(self._plane.deployment)
            published = self._publish(process, Source.FILE if first else Source.IN_FORCE)
            if process is None:
                process = self._start()
            self._watched = _Watched(process, self._follow(), time.monotonic())
        if published is not None:
            self._observer.published(published)
        self._observer.running(process.status, attached=process.attached)

    def _start(self) -> DataPlane:
        """A new data plane: the first time the one that was prepared for it."""
        settings = settings_json(self._plane.config, self._plane.deployment)
        prepared, self._prepared = self._prepared, None
        with prepared or PreparedDataPlane(self._plane.deployment) as starting:
            return starting.start(settings)

    def _publish(self, process: DataPlane | None, source: Source) -> Published | None:
        """Publishes as well as can be: a broken ``policy.toml`` leaves the old policy in force."""
        publisher = self._plane.publisher
        try:
            return publisher.publish_locked(source, process, why="motte up")
        except MotteError as error:
            self._observer.trouble(error)
        if source is Source.FILE:
            # Who is revoked must be known even if the policy cannot be compiled.
            with contextlib.suppress(MotteError):
                return publisher.publish_locked(Source.IN_FORCE, process, why="motte up")
        return None

    def _watch(self, watched: _Watched) -> None:
        """Waits for whatever happens next, and deals with it."""
        poller = select.poll()
        poller.register(self._signals.fileno(), select.POLLIN)
        poller.register(watched.process.fileno(), select.POLLIN)
        if watched.follower is not None:
            poller.register(watched.follower.fileno(), select.POLLIN)
        left = max(0.0, self._next_check - time.monotonic())
        ready = {descriptor for descriptor, _ in poller.poll(left * 1000)}
        if self._signals.received is not None:
            return
        if watched.follower is not None and watched.follower.fileno() in ready:
            self._read(watched)
        if watched.process.ended():
            self._lost(watched)
        elif time.monotonic() >= self._next_check:
            self._recheck(watched)

    def _read(self, watched: _Watched) -> None:
        follower = watched.follower
        try:
            batches = follower.read() if follower else []
        except DataPlaneError as error:
            self._observer.trouble(error)
            batches = None
        if batches is None:
            self._unfollow(watched)
        for batch in batches or []:
            self._observer.records(batch.events, batch.dropped)

    def _recheck(self, watched: _Watched) -> None:
        """Installs what a command that died half-way left undone, and follows again."""
        self._next_check = time.monotonic() + RECHECK_SECONDS
        if watched.follower is None:
            watched.follower = self._follow()
        registry, publisher = self._plane.registry, self._plane.publisher
        try:
            change = registry.last_change()
            with connect(self._plane.deployment.control_socket) as client:
                behind = client.status().generation < registry.generation()
            # A command may have died after the registry and before there was a new generation.
            # One that is under way publishes the same: whoever comes second has nothing to do.
            if behind or (change != self._checked_change and publisher.misses_exceptions()):
                self._observer.published(publisher.publish(Source.IN_FORCE, why="motte up"))
            self._checked_change = change
            self._keep_certificate()
        except MotteError as error:
            self._observer.trouble(error)

    def _keep_certificate(self) -> None:
        """Renews the broker's own certificate under the running data plane when that is due."""
        if time.monotonic() < self._next_certificate_check:
            return
        keep_server_certificate(self._plane, self._observer.progress)
        self._next_certificate_check = time.monotonic() + CERTIFICATE_CHECK_SECONDS

    def _follow(self) -> Follower | None:
        try:
            return connect(self._plane.deployment.control_socket).follow()
        except DataPlaneError as error:
            self._observer.trouble(error)
            return None

    def _unfollow(self, watched: _Watched) -> None:
        if watched.follower is not None:
            watched.follower.close()
            watched.follower = None

    def _lost(self, watched: _Watched) -> None:
        """Notes that the data plane is gone, and how long to wait before the next one."""
        self._watched = None
        self._unfollow(watched)
        watched.process.close()
        if time.monotonic() - watched.since >= HEALTHY_SECONDS:
            self._backoff = FIRST_BACKOFF_SECONDS
        self._observer.died(watched.process.pid, self._backoff)

    def _try_again(self) -> None:
        """Waits out the pause, then starts the data plane again."""
        poller = select.poll()
        poller.register(self._signals.fileno(), select.POLLIN)
        poller.poll(self._backoff * 1000)
        if self._signals.received is not None:
            return
        self._backoff = min(self._backoff * 2, LONGEST_BACKOFF_SECONDS)
        try:
            self._bring_up(first=False)
        except MotteError as error:
            self._observer.trouble(error)

    def _stop(self, watched: _Watched) -> None:
        """Ends the data plane, also when there is nobody left to tell about it."""
        self._unfollow(watched)
        try:
            self._observer.stopping()
        finally:
            with contextlib.closing(watched.process):
                how = watched.process.stop(self._plane.deployment.control_socket)
        self._observer.stopped(how)
