"""The bundle file: statement, deterministic writer, strict reader, safe output."""
