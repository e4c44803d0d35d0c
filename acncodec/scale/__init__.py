"""Archives of many parts, made by one process or by many: shards of a source, stages, and the engine that runs them."""
