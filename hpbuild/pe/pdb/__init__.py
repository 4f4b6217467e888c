"""Program databases (PDB): container, debug information stream, symbol records."""
