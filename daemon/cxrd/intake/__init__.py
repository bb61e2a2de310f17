"""DICOM in: accept, write down, answer. Nothing is judged here and no pixel is decoded."""
