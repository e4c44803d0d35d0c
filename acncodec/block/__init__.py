"""What packing and reading share, each beside its mirror: a block of pictures, its parts, and the sections of names."""
