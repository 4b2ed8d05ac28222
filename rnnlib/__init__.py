"""What the chapters of *Recurrent Neural Networks, executed* import."""

__version__ = "0.1.0"
