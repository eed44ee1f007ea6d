"""Trains a pipeline and writes its artifact and model card. No serving process imports this package."""
