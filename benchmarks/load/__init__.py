"""What `locustfile.py` judges a run by, and the picture of one."""
