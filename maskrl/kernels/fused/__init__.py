"""Fused kernels on the CPU: masked categorical choices over segments of logits, compiled."""
