"""What images cost under models and under other codecs, and what models imagine: the paper's tables, and benchmarks."""
