"""A field's value as a vendor keeps it, and back: typed converters, of which manifests choose. Pure."""
