"""The code that all programs of Stopit share. Importing it does nothing."""

__version__ = "0.1.0"
