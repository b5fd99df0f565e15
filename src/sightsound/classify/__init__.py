"""Classify images and sounds: selection of classes, the AudioSet ontology, segments, evaluation, and export."""
