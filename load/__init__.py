"""The Locust pack: simulated people who watch, read, change and break a rack, and judge what it answers.

It speaks HTTP only and imports nothing else of ours, so it loads any rack that it can reach. What is pure
(shapes, invariants, thresholds, the reader of the stream) knows no Locust; importing Locust patches the
standard library, which only ``locustfile.py`` and the users may ask for. docs/load.md tells how to use it.
"""
