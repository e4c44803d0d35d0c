"""Measurements of acncodec and of classical codecs on the data sets that the documentation reports."""
