"""Floor 9: what people and programs call: the command line, config files, the pydantic field."""
