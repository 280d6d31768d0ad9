"""What losslang costs beside hand-written torch and the libraries: `python -m bench`."""
