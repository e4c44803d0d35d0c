"""Ordering latent codes: nearest neighbours, tours, schedules and partitions. Depends on nothing but the codes."""
