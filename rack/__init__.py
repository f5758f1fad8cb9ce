"""The rack manager: what should run here and what does."""
