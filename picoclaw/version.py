"""This package's version, and the upstream release whose files and output it keeps to."""

VERSION = "0.1.0"
UPSTREAM = "0.2.9"
