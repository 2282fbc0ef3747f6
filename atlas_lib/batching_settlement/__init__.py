"""Netting, batching, solving and execution of what is due."""
