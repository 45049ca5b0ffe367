"""The formats that people share weights in, one module each."""
