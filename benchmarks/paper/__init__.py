"""Everything of the ACN paper that can be tried here: its tables and figures, with its values beside ours."""
