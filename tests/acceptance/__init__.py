"""What a newcomer does: the README's commands, whole."""
