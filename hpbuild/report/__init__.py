"""Result documents and their renderings: one JSON-able dictionary per command, many ways to show it."""
