"""What models know and cost, for researchers: the tables and pictures of the ACN paper."""
