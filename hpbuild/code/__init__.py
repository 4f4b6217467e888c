"""Machine code: function boundaries, references, jump tables, exception data."""
