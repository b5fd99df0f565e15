"""What is in a picture or a sound: classes, the AudioSet ontology, segments, and their tables."""
