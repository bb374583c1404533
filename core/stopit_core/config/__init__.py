"""The configuration: one TOML file, frozen when read, with every key documented in its definition.

`load(path)` returns `Settings` or raises a ConfigError with all faults. `describe()` generates the file that ships as
config/stopit.toml from the same definitions.
"""

from stopit_core.config.describe import describe, describe_key
from stopit_core.config.loading import config_path, load, parse, restart_keys
from stopit_core.config.sections import (
    Campus,
    Cases,
    FlagWords,
    Identity,
    LedgerStore,
    Office,
    PolicyRules,
    QueueStore,
    Settings,
    SingleRecipient,
    Smtp,
    Tls,
)
from stopit_core.config.values import has_password

__all__ = [
    "Campus",
    "Cases",
    "FlagWords",
    "Identity",
    "LedgerStore",
    "Office",
    "PolicyRules",
    "QueueStore",
    "Settings",
    "SingleRecipient",
    "Smtp",
    "Tls",
    "config_path",
    "describe",
    "describe_key",
    "has_password",
    "load",
    "parse",
    "restart_keys",
]
