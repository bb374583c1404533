"""The lab: real servers in a directory of their own, for the demo and the integration tests.

Everything here starts what a mail host runs (Postfix, Dovecot, Redis, the two daemons) on spare ports, with its own
configuration and queue, and leaves nothing behind: no process, no file, no change to the system's own servers.
Nothing in it is installed on a mail host.
"""
