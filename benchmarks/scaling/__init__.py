"""What another worker is worth: the composed system with 1, 2 and 4 of them, and taken from 4 to 1 under load."""
