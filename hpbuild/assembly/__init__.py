"""From the stages' results to the parts of a package: loading pairs, certificates, manifest entries."""
