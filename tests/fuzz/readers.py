"""All readers that the fuzzers damage files for."""

from __future__ import annotations

from tests.fuzz import annotation_files, bag_files, image_files, model_files, training_files

READERS = (
    *model_files.READERS,
    *annotation_files.READERS,
    *image_files.READERS,
    *bag_files.READERS,
    *training_files.READERS,
)
