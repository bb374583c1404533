"""The parts that every daemon has: metrics and health over HTTP, systemd, logs, a probe of the milter's socket."""
