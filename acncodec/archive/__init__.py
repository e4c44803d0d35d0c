"""The archive as bytes: primitive fields, the sectioned container, the header, stored files, safe writing.

Nothing here knows of networks or images; the layers above decide what the sections hold.
"""
