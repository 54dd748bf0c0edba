"""Who belongs to the fleet: certificate authority, registry, enrolment, revocation, quarantine.

Nothing here knows the data plane or the command line.
"""
