"""All limits on what a reader accepts from an archive; a writer keeps to the same ones.

Apart from them, no reader allocates memory because a number in the archive says so: the bytes must be there first.
"""

# The container
MAX_SECTIONS = 2**20  # a table of this size takes about 150 MB to read
MAX_SECTION_BYTES = 2**40  # offsets stay far below 2^63, whatever the table says

# Entries
MAX_ENTRIES = 2**24  # files in an archive: lists of them stay below a few GB
MAX_FOLDERS = MAX_ENTRIES  # a folder is named only if it holds an entry
MAX_EMPTY = MAX_ENTRIES  # an empty directory costs the reader as much as a file
MAX_NAME_BYTES = 2**32  # of all names together

# Parts
MAX_PARTS = 2**20  # a manifest lists them

# Models
MAX_MODELS = 16  # each is up to 2^28 bytes in memory
MAX_MODEL_NAME_BYTES = 255  # it is printed on one line
MAX_CARRIED_BYTES = 2**26  # of an embedded model, unpacked: a hundred times the bundled ones

# Classes of pictures
MAX_CLASSES = 2**20  # a list of this size takes a few hundred MB in memory
MAX_CLASSES_BYTES = 2**28  # of section FORM unpacked: LZMA can expand 40 kB to this
MAX_FORM_BYTES = 2**24  # a picture's metadata: with more, the file is stored unchanged
MAX_PLANES = 4  # a picture has at most four channels
MAX_PIXELS = 2**26  # of a picture: a decoder holds several arrays of this size
MAX_ELEMENT_PIXELS = 2**16  # of a tile, or of a plane that is coded whole: bounds the memory and the time of a step
MAX_TILE = 2**8  # side of a tile, which is an element
MAX_TILES = 2**18  # of a plane: they are held in a list
MAX_ALL_PIXELS = 2**36  # of all pictures together: bounds a reader's running time

# Blocks
MAX_LANES = 512  # decoded in parallel: bounds the memory of a step
MAX_STEP_PIXELS = 2**20  # over all lanes of a step, if more than one: bounds its memory
MAX_GROUPS = 2**20  # of elements in a block: four planes of many sizes
MAX_SEED_WORDS = 2**26  # the seed is generated: 256 MB
MAX_STACKS = 2**6  # of a block: each costs a reader some kilobytes
MAX_BLOCK_SAMPLES = 2**28  # over all pictures of a block, which is decoded as a whole

# Stored files
MAX_DICTIONARY_BITS = 26  # of LZMA: 64 MiB, as for xz -9, which a reader must allocate
MAX_STORED_BYTES = 2**40  # of a FILE section's items unpacked: more than a disk holds in one file, less than 2^63
