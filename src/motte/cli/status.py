"""``motte status``: what is running here."""

import typer

from motte.cli.invocation import DirectoryOption, JsonOption, invocation

__all__ = ["status"]


def status(
    context: typer.Context, directory: DirectoryOption = None, as_json: JsonOption = False
) -> None:
    """Show what the data plane of this deployment is doing."""
    from motte.cli.render import age, print_json, say
    from motte.plane.control import connect

    run = invocation(context, directory, as_json)
    deployment = run.deployment()
    with connect(deployment.control_socket) as client:
        found = client.status()
    if run.json:
        print_json(found.raw)
        return
    raw = found.raw
    host = f"[{found.address}]" if ":" in found.address else found.address
    say(f"data plane   process {found.pid}, up {age(float(raw.get('uptime_seconds', 0)))}")
    say(f"listening    {host}:{found.port}, TLS 1.3 with client certificates")
    in_force = f"snapshot {found.generation}" if found.generation else "none: everybody is refused"
    say(f"policy       {in_force}")
    say(f"clients      {found.connections} connected, {found.sessions} sessions")
    retained, queued = raw.get("retained", {}), raw.get("queued", {})
    say(f"messages     {retained.get('messages', 0)} retained, {queued.get('messages', 0)} queued")
    say(f"folder       {deployment.root}")
