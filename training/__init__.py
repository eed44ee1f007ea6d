"""Data in, artifact and model card out. Never imported while serving."""
