"""Integer arithmetic that gives the same bits on every machine; it knows nothing of images or networks."""
