"""The archive as bytes: primitive fields, the sectioned container, header, classes, blocks, stored files, safe writing.

Nothing here knows of networks or of image files; the layers above decide what the sections hold.
"""
