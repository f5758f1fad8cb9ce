"""The figures, measured: `./claw bench`."""
