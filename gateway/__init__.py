"""The one published port: requests go to ready replicas."""
