"""Experiments: a story a newcomer runs, and the claims of the paper put to the test."""
