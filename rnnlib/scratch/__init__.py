"""Recurrent nets, losses, optimisers and gradient checks in NumPy alone.

Everything here is time-major: inputs are ``(T, B, I)``, states ``(T, B, H)``.
Nothing in this package imports PyTorch.
"""
