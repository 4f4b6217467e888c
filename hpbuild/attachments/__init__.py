"""Attachments: documents about the package that other programs read, written from one value."""
