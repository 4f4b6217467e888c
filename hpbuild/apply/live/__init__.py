"""Patching a running process: the driver, and what it says to the agent and hears from it."""
