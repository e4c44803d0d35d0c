"""Integer arithmetic that gives the same bits on every machine; independent of images and networks."""
