"""The rack on a real Docker engine."""
