"""`stopitctl setup`: find the changes to the MTA's configuration that this host needs, and apply or undo them.

`main_cf` and `master_cf` edit the text of the two files and undo the edits; `change` decides which edits this host
needs; all three are pure. `files` replaces files and keeps copies; `postfix` reads the configuration with postconf,
writes it, and restores it after an error; `command` has the commands.
"""
