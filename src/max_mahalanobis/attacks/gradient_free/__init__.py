"""Attacks that ask a model for logits and never for a gradient."""
