"""The archive as bytes: primitive fields, the sectioned container, header, classes, blocks, stored files, atomic writing.

Nothing here depends on networks or image formats; the layers above decide what the sections hold.
"""
