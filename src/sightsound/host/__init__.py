"""Find plugins, resolve the names of models, load embedders with checks around them."""
