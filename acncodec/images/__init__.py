"""Image directories as data: which files they hold, which of these are supported images, how names are compressed."""
