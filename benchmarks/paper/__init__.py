"""Tables and figures of the ACN paper, reproduced with its values beside ours."""
