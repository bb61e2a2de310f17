"""A hospital in a folder: synthetic films, a stand-in PACS, and the whole path shown on one machine."""
