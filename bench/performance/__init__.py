"""Time and memory of hpbuild, side by side with what limits it and with other tools."""
