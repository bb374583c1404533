"""The rules, pure: what is done with a message, who sent it, and what follows."""
