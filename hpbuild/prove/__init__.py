"""Closure proof: baseline + patch == fixed, shown with a decoder that the builder does not use."""
