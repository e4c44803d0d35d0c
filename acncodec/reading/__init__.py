"""Reading of archives: file lists, random access, restoring, description and the ledger of bits."""
