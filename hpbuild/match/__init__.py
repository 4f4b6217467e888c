"""Functions by functions and data by data: the address map and the changes, with evidence."""
