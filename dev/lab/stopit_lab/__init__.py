"""The lab: real servers in a temporary directory, for the demo and the integration tests.

It starts what a mail host runs (Postfix, Dovecot, Redis, the two daemons) on spare ports, with its own configuration
and queue. It leaves no process and no file behind and does not change the servers of the system. It is not shipped.
"""
