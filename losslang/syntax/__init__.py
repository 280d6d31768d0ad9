"""Floor 2: text to tree and back: the parser over grammars/loss.lark, and the formatter."""
