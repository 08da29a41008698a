"""Distillation: a smaller model learns from the original."""
