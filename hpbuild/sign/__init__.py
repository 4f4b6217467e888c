"""Keys, signers and DSSE envelopes."""
