"""stopit-milter: traces every message, makes reports of flags, withholds the flagging replies. Imports do nothing."""
