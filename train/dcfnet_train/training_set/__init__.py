"""Builds the training footage from public git repositories, as a manifest lists it, in OTB's layout."""
