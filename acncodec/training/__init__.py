"""Algorithm 1 of the ACN paper on integer networks: data, objective, loop, checkpoints, export."""
