"""Damaged copies of small valid files, for every reader of the project that reads what others wrote."""

from __future__ import annotations
