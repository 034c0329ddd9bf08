"""Masking for deep reinforcement learning, in PyTorch."""
