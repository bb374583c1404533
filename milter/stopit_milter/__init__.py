"""stopit-milter: traces every message, makes reports of flags, and withholds flagging replies."""
