"""Floor 9: the outside: the command line, config files, the pydantic field."""
