"""Floor 1: mistakes as data, their wording and their pages, and how they are drawn for people and tools."""
