"""A pool process: one loaded pipeline that claims, predicts and commits."""
