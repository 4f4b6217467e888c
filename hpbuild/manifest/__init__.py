"""The wire model of a package: manifest values, their codec, schemas and consistency."""
