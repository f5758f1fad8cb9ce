"""The `claw` command."""
