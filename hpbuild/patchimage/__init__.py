"""The patch image: a linker from plan to PE file, its strict reader, and the mover (design, section 6)."""
