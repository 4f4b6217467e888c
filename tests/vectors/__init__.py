"""The conformance suite for hotpatch packages: cases that any verifier can be run over."""
