"""Recorded cases of other libraries, and their constructors in our language.

`cases/` holds one file a library: calls, inputs and the numbers that its own tests assert (`asserted`),
that were copied from them by hand (`literal`), or that its code gave on fixed inputs (`peer_output`).
`peers/` translates the calls; `run` compares. Nothing here knows an expected number.
"""
