"""Archives of many parts, made by one or many processes: shards of a source, stages, and the engine that runs them."""
