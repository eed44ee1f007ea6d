"""What `locustfile.py` judges a run by, and draws it with."""
