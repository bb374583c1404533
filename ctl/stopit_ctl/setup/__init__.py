"""`stopitctl setup`: the lines that an MTA needs for Stopit, worked out for this host.

`main_cf` and `master_cf` edit the text of the two files and take the edits out again; `change` decides which edits
this host needs; all three are pure. `files` writes and keeps what was there; `postfix` asks postconf, writes, and
puts back; `command` is what the postmaster sees.
"""
