"""Bob's steps fused into a few Triton kernels, for CUDA: a whole pixel's networks in one launch."""
