"""Config files: finds, places and rewrites the expressions in YAML, TOML, JSON and .loss files.

    read("conf/train.yaml").sources[0].place(0)     # the file's own row and column

An expression is the text under a key called `loss`, `criterion` or `objective`, at any depth, in
lists and in every document of a YAML file; `read` says what else counts.
"""

from losslang.tools.configfile.reading import SUFFIXES, read
from losslang.tools.configfile.rewriting import rewrite

__all__ = ["SUFFIXES", "read", "rewrite"]
