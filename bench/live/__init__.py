"""Live patching of a program under load."""
