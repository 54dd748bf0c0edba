"""The boundary to the data plane: starts it, sends snapshots and commands down, reads events.

Nothing here stands in the path of a message. When this process dies, the data plane goes on with
the snapshot it has.
"""
